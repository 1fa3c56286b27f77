//! What the generated contacts are made of: countries with the mobile ranges of their numbering plans, cities,
//! names. Not the making.

/// How numbers of one country are made and written.
pub(super) struct Country {
    /// Calling code.
    pub(super) code: &'static str,
    /// What a mobile number begins with, behind the calling code.
    pub(super) ranges: &'static [&'static str],
    /// Digits behind that.
    pub(super) digits: usize,
    /// Cities.
    pub(super) cities: &'static [&'static str],
}

/// Seven of ten contacts live here.
pub(super) const HOME: Country = Country {
    code: "62",
    ranges: &["811", "812", "813", "821", "822", "838", "851", "852", "856", "857", "878", "895"],
    digits: 8,
    cities: &[
        "Jakarta",
        "Bandung",
        "Surabaya",
        "Medan",
        "Semarang",
        "Makassar",
        "Yogyakarta",
        "Denpasar",
        "Malang",
        "Palembang",
        "Banjarmasin",
        "Manado",
        "Kota Ambon",
        "Jayapura",
        "Bogor",
        "Depok",
    ],
};

/// And the others here.
pub(super) const ABROAD: [Country; 5] = [
    Country {
        code: "60",
        ranges: &["123", "126", "132", "163", "172", "173", "193"],
        digits: 6,
        cities: &["Kuala Lumpur", "Johor Bahru", "George Town"],
    },
    Country {
        code: "65",
        ranges: &["81", "82", "83", "84", "86", "87", "90", "91", "92", "93", "96", "97"],
        digits: 6,
        cities: &["Singapore"],
    },
    Country {
        code: "63",
        ranges: &["917", "918", "920", "927"],
        digits: 7,
        cities: &["Quezon City", "Cebu", "Davao"],
    },
    Country {
        code: "61",
        ranges: &["40", "41", "42", "43"],
        digits: 7,
        cities: &["Sydney", "Melbourne", "Perth"],
    },
    Country {
        code: "91",
        ranges: &["981", "982", "989", "991"],
        digits: 7,
        cities: &["Mumbai", "Delhi", "Chennai"],
    },
];

/// First names.
pub(super) const FIRST: &[&str] = &[
    "Adi", "Agus", "Andi", "Anisa", "Ayu", "Bayu", "Budi", "Citra", "Dewi", "Dian", "Eka", "Farah", "Fitri",
    "Gilang", "Hana", "Indah", "Joko", "Kartika", "Lestari", "Made", "Maya", "Nadia", "Nur", "Putri", "Rina",
    "Rizky", "Sari", "Siti", "Tika", "Wayan", "Yoga", "Zahra", "José", "Chloé", "Priya", "Mei Ling",
];

/// Last names; some people have none.
pub(super) const LAST: &[&str] = &[
    "",
    "",
    "",
    "Santoso",
    "Wijaya",
    "Pratama",
    "Lestari",
    "Siregar",
    "Nasution",
    "Hidayat",
    "Kusuma",
    "Saputra",
    "Rahmawati",
    "Utami",
    "Halim",
    "Tan",
    "O'Neil",
    "de Souza",
    "Reyes",
    "Sharma",
];

/// What stands in a phone column and is no number.
pub(super) const NO_NUMBER: &[&str] = &[
    "",
    "n/a",
    "-",
    "0812",
    "12345",
    "+62 812 34",
    "0812-3456-789O",
    "6.28123E+12",
    "+999 555 0123",
    "lihat catatan",
];
