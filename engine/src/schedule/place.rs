//! The time zone a person is likely in: named by the contact, else guessed from the number, else UTC, and it
//! says which. A guess: numbers travel, and large countries have several zones.

use crate::address::{Address, AddressKind};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Where a zone was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneSource {
    /// The contact names it.
    Contact,
    /// The number's country or area, or the country of a user id.
    Number,
    /// Nothing is known: UTC.
    Default,
}

/// A time zone and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone {
    /// Its IANA name, e.g. `Asia/Jakarta`.
    pub name: Cow<'static, str>,
    /// Where it was read from.
    pub source: ZoneSource,
}

/// The zone of a recipient. `explicit` is what the contact says; an unknown name counts as none.
#[must_use]
pub fn zone_of(address: &Address, explicit: Option<&str>) -> Zone {
    if let Some(name) = explicit.and_then(canonical) {
        return Zone { name: Cow::Owned(name), source: ZoneSource::Contact };
    }
    let guess = match address.kind() {
        AddressKind::Phone => by_digits(address.value()),
        AddressKind::UserId => address.value().split('.').next().and_then(by_region),
        AddressKind::Lid => None,
    };
    match guess {
        Some(name) => Zone { name: Cow::Borrowed(name), source: ZoneSource::Number },
        None => Zone { name: Cow::Borrowed("UTC"), source: ZoneSource::Default },
    }
}

/// The name as the IANA database writes it; `None` when it has none such.
fn canonical(name: &str) -> Option<String> {
    let zone = TimeZone::get(name.trim()).ok()?;
    zone.iana_name().map(str::to_owned)
}

fn by_digits(digits: &str) -> Option<&'static str> {
    // The longest prefix wins: areas before countries.
    let area = AREAS.iter().flat_map(|(zone, prefixes)| {
        prefixes.split(' ').filter(|prefix| digits.starts_with(prefix)).map(|prefix| (prefix.len(), *zone))
    });
    let country = COUNTRIES
        .iter()
        .filter(|(code, _, _)| digits.starts_with(code))
        .map(|(code, _, zone)| (code.len(), *zone));
    area.chain(country).max_by_key(|(length, _)| *length).map(|(_, zone)| zone)
}

fn by_region(region: &str) -> Option<&'static str> {
    COUNTRIES.iter().find(|(_, name, _)| *name == region).map(|(_, _, zone)| *zone)
}

/// Calling code, region, and the zone most people there live in. +1 and +7 stand for their largest country.
#[rustfmt::skip]
const COUNTRIES: &[(&str, &str, &str)] = &[
    ("1", "US", "America/New_York"), ("7", "RU", "Europe/Moscow"), ("20", "EG", "Africa/Cairo"),
    ("27", "ZA", "Africa/Johannesburg"), ("30", "GR", "Europe/Athens"), ("31", "NL", "Europe/Amsterdam"),
    ("32", "BE", "Europe/Brussels"), ("33", "FR", "Europe/Paris"), ("34", "ES", "Europe/Madrid"),
    ("36", "HU", "Europe/Budapest"), ("39", "IT", "Europe/Rome"), ("40", "RO", "Europe/Bucharest"),
    ("41", "CH", "Europe/Zurich"), ("43", "AT", "Europe/Vienna"), ("44", "GB", "Europe/London"),
    ("45", "DK", "Europe/Copenhagen"), ("46", "SE", "Europe/Stockholm"), ("47", "NO", "Europe/Oslo"),
    ("48", "PL", "Europe/Warsaw"), ("49", "DE", "Europe/Berlin"), ("51", "PE", "America/Lima"),
    ("52", "MX", "America/Mexico_City"), ("53", "CU", "America/Havana"),
    ("54", "AR", "America/Argentina/Buenos_Aires"), ("55", "BR", "America/Sao_Paulo"),
    ("56", "CL", "America/Santiago"), ("57", "CO", "America/Bogota"), ("58", "VE", "America/Caracas"),
    ("60", "MY", "Asia/Kuala_Lumpur"), ("61", "AU", "Australia/Sydney"), ("62", "ID", "Asia/Jakarta"),
    ("63", "PH", "Asia/Manila"), ("64", "NZ", "Pacific/Auckland"), ("65", "SG", "Asia/Singapore"),
    ("66", "TH", "Asia/Bangkok"), ("81", "JP", "Asia/Tokyo"), ("82", "KR", "Asia/Seoul"),
    ("84", "VN", "Asia/Ho_Chi_Minh"), ("86", "CN", "Asia/Shanghai"), ("90", "TR", "Europe/Istanbul"),
    ("91", "IN", "Asia/Kolkata"), ("92", "PK", "Asia/Karachi"), ("93", "AF", "Asia/Kabul"),
    ("94", "LK", "Asia/Colombo"), ("95", "MM", "Asia/Yangon"), ("98", "IR", "Asia/Tehran"),
    ("212", "MA", "Africa/Casablanca"), ("213", "DZ", "Africa/Algiers"), ("216", "TN", "Africa/Tunis"),
    ("218", "LY", "Africa/Tripoli"), ("221", "SN", "Africa/Dakar"), ("225", "CI", "Africa/Abidjan"),
    ("233", "GH", "Africa/Accra"), ("234", "NG", "Africa/Lagos"), ("237", "CM", "Africa/Douala"),
    ("243", "CD", "Africa/Kinshasa"), ("244", "AO", "Africa/Luanda"), ("249", "SD", "Africa/Khartoum"),
    ("250", "RW", "Africa/Kigali"), ("251", "ET", "Africa/Addis_Ababa"), ("254", "KE", "Africa/Nairobi"),
    ("255", "TZ", "Africa/Dar_es_Salaam"), ("256", "UG", "Africa/Kampala"), ("258", "MZ", "Africa/Maputo"),
    ("260", "ZM", "Africa/Lusaka"), ("263", "ZW", "Africa/Harare"), ("351", "PT", "Europe/Lisbon"),
    ("353", "IE", "Europe/Dublin"), ("358", "FI", "Europe/Helsinki"), ("359", "BG", "Europe/Sofia"),
    ("370", "LT", "Europe/Vilnius"), ("371", "LV", "Europe/Riga"), ("372", "EE", "Europe/Tallinn"),
    ("375", "BY", "Europe/Minsk"), ("380", "UA", "Europe/Kyiv"), ("381", "RS", "Europe/Belgrade"),
    ("385", "HR", "Europe/Zagreb"), ("386", "SI", "Europe/Ljubljana"), ("420", "CZ", "Europe/Prague"),
    ("421", "SK", "Europe/Bratislava"), ("502", "GT", "America/Guatemala"), ("503", "SV", "America/El_Salvador"),
    ("504", "HN", "America/Tegucigalpa"), ("505", "NI", "America/Managua"), ("506", "CR", "America/Costa_Rica"),
    ("507", "PA", "America/Panama"), ("591", "BO", "America/La_Paz"), ("593", "EC", "America/Guayaquil"),
    ("595", "PY", "America/Asuncion"), ("598", "UY", "America/Montevideo"), ("670", "TL", "Asia/Dili"),
    ("673", "BN", "Asia/Brunei"), ("675", "PG", "Pacific/Port_Moresby"), ("679", "FJ", "Pacific/Fiji"),
    ("852", "HK", "Asia/Hong_Kong"), ("853", "MO", "Asia/Macau"), ("855", "KH", "Asia/Phnom_Penh"),
    ("856", "LA", "Asia/Vientiane"), ("880", "BD", "Asia/Dhaka"), ("886", "TW", "Asia/Taipei"),
    ("960", "MV", "Indian/Maldives"), ("961", "LB", "Asia/Beirut"), ("962", "JO", "Asia/Amman"),
    ("963", "SY", "Asia/Damascus"), ("964", "IQ", "Asia/Baghdad"), ("965", "KW", "Asia/Kuwait"),
    ("966", "SA", "Asia/Riyadh"), ("967", "YE", "Asia/Aden"), ("968", "OM", "Asia/Muscat"),
    ("970", "PS", "Asia/Hebron"), ("971", "AE", "Asia/Dubai"), ("972", "IL", "Asia/Jerusalem"),
    ("973", "BH", "Asia/Bahrain"), ("974", "QA", "Asia/Qatar"), ("976", "MN", "Asia/Ulaanbaatar"),
    ("977", "NP", "Asia/Kathmandu"), ("992", "TJ", "Asia/Dushanbe"), ("993", "TM", "Asia/Ashgabat"),
    ("994", "AZ", "Asia/Baku"), ("995", "GE", "Asia/Tbilisi"), ("996", "KG", "Asia/Bishkek"),
    ("998", "UZ", "Asia/Tashkent"),
];

/// Areas that differ from their country's row, by their leading digits. Source: the numbering plans of North
/// America, Brazil, Indonesia (fixed lines; mobile numbers say no place), Kazakhstan and Australia.
#[rustfmt::skip]
const AREAS: &[(&str, &str)] = &[
    ("America/Chicago", "1205 1210 1214 1217 1218 1224 1225 1228 1251 1254 1256 1262 1281 1309 1312 1314 1316 1318 \
      1319 1320 1331 1334 1337 1346 1361 1402 1405 1409 1414 1417 1430 1432 1447 1464 1469 1479 1501 1504 1507 1512 \
      1515 1531 1539 1563 1573 1580 1601 1605 1608 1612 1615 1618 1620 1629 1630 1636 1641 1651 1660 1662 1682 1701 \
      1708 1712 1713 1715 1726 1730 1731 1737 1763 1769 1773 1779 1785 1806 1815 1816 1817 1830 1832 1847 1870 1872 \
      1901 1903 1913 1918 1920 1931 1936 1938 1940 1945 1952 1956 1972 1979 1985"),
    ("America/Denver", "1303 1307 1308 1385 1406 1435 1505 1575 1719 1720 1801 1915 1970 1983 1986 1208"),
    ("America/Phoenix", "1480 1520 1602 1623 1928"),
    ("America/Los_Angeles", "1206 1209 1213 1253 1279 1310 1323 1341 1360 1408 1415 1424 1425 1442 1458 1503 1509 \
      1510 1530 1541 1559 1562 1564 1619 1626 1628 1650 1657 1661 1669 1702 1707 1714 1725 1747 1760 1775 1805 1818 \
      1820 1831 1840 1858 1909 1916 1925 1949 1951 1971"),
    ("America/Anchorage", "1907"),
    ("Pacific/Honolulu", "1808"),
    ("America/Toronto", "1226 1249 1289 1343 1365 1416 1418 1437 1438 1450 1514 1519 1548 1579 1581 1613 1647 1705 \
      1819 1873 1905"),
    ("America/Winnipeg", "1204 1431"),
    ("America/Regina", "1306 1639"),
    ("America/Edmonton", "1368 1403 1587 1780 1825"),
    ("America/Vancouver", "1236 1250 1604 1672 1778"),
    ("America/Halifax", "1506 1782 1902"),
    ("America/St_Johns", "1709"),
    ("America/Puerto_Rico", "1787 1939"),
    ("America/Santo_Domingo", "1809 1829 1849"),
    ("America/Jamaica", "1658 1876"),
    ("America/Port_of_Spain", "1868"),
    ("America/Barbados", "1246"),
    ("America/Nassau", "1242"),
    ("Asia/Almaty", "76 77"),
    ("America/Manaus", "5592 5595 5597"),
    ("America/Cuiaba", "5565 5566"),
    ("America/Campo_Grande", "5567"),
    ("America/Porto_Velho", "5569"),
    ("America/Rio_Branco", "5568"),
    ("Asia/Makassar", "62361 62362 62363 62365 62366 62368 62370 62380 62401 62411 62431 62435 62451 62511 62541 \
      62542 62551"),
    ("Asia/Jayapura", "62901 62902 62911 62921 62951 62967 62971 62981 62986"),
    ("Australia/Perth", "6189 61861 61862 61863 61864 61865"),
    ("Australia/Adelaide", "6188"),
    ("Australia/Brisbane", "617"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn phone(digits: &str) -> Address {
        Address::phone_digits(digits).unwrap()
    }

    #[test]
    fn the_contact_is_believed_first_then_the_number() {
        let number = phone("6281234567890");
        for (address, explicit, name, source) in [
            (&number, None, "Asia/Jakarta", ZoneSource::Number),
            (&number, Some("Asia/Makassar"), "Asia/Makassar", ZoneSource::Contact),
            (&number, Some(" asia/makassar "), "Asia/Makassar", ZoneSource::Contact),
            (&number, Some("WIB"), "Asia/Jakarta", ZoneSource::Number),
            (&number, Some(""), "Asia/Jakarta", ZoneSource::Number),
            (&phone("62361123456"), None, "Asia/Makassar", ZoneSource::Number),
            (&phone("14155552671"), None, "America/Los_Angeles", ZoneSource::Number),
            (&phone("15550100001"), None, "America/New_York", ZoneSource::Number),
            (&phone("77012345678"), None, "Asia/Almaty", ZoneSource::Number),
            (&phone("5592991234567"), None, "America/Manaus", ZoneSource::Number),
            (&phone("88000000000"), None, "Asia/Dhaka", ZoneSource::Number),
            (&phone("99999999999"), None, "UTC", ZoneSource::Default),
            (&Address::user_id("ID.123").unwrap(), None, "Asia/Jakarta", ZoneSource::Number),
            (&Address::user_id("ZZ.123").unwrap(), None, "UTC", ZoneSource::Default),
            (&Address::lid("6281234567890").unwrap(), None, "UTC", ZoneSource::Default),
        ] {
            let zone = zone_of(address, explicit);
            assert_eq!((zone.name.as_ref(), zone.source), (name, source), "{explicit:?} {name}");
        }
    }

    #[test]
    fn every_zone_exists_and_every_prefix_stands_once() {
        let zones = COUNTRIES.iter().map(|row| row.2).chain(AREAS.iter().map(|row| row.0));
        for zone in zones {
            assert_eq!(canonical(zone).as_deref(), Some(zone));
        }
        let prefixes: Vec<&str> =
            AREAS.iter().flat_map(|row| row.1.split(' ')).chain(COUNTRIES.iter().map(|row| row.0)).collect();
        assert!(
            prefixes.iter().all(|prefix| prefix.bytes().all(|b| b.is_ascii_digit()) && !prefix.is_empty())
        );
        assert_eq!(prefixes.iter().collect::<BTreeSet<_>>().len(), prefixes.len());
        let regions: BTreeSet<&str> = COUNTRIES.iter().map(|row| row.1).collect();
        assert_eq!(regions.len(), COUNTRIES.len());
        assert!(regions.iter().all(|region| region.parse::<crate::address::Region>().is_ok()));
    }
}
