//! What a key may, to be compared with what it wants to give: no key gives more than it has. Not the check of a request,
//! which is the gate's.

use super::ring::limits_of;
use crate::config::Limits;
use crate::problem::{Code, Problem};
use kabar_actors::Networks;
use kabar_engine::id::SessionId;
use kabar_engine::time::Timestamp;
use kabar_schema::records::{Key, Scope};
use std::collections::BTreeSet;

/// What a key may; nothing said is no limit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rights {
    pub(crate) scopes: Option<BTreeSet<Scope>>,
    pub(crate) sessions: Option<BTreeSet<SessionId>>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) networks: Networks,
    pub(crate) limits: Option<Limits>,
}

/// Whether one of these rates is above the other's; 0 is no limit.
fn faster(wanted: Limits, own: Limits) -> bool {
    let above = |(rate, burst): (u32, u32), (most, most_at_once): (u32, u32)| {
        most > 0 && (rate == 0 || rate > most || burst > most_at_once)
    };
    above((wanted.api_per_second, wanted.api_burst), (own.api_per_second, own.api_burst))
        || above((wanted.send_per_second, wanted.send_burst), (own.send_per_second, own.send_burst))
}

fn all_of<T: Ord>(part: Option<&BTreeSet<T>>, whole: Option<&BTreeSet<T>>) -> bool {
    match (part, whole) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(part), Some(whole)) => part.is_subset(whole),
    }
}

impl Rights {
    /// Of a stored key, where the installation's rates hold unless it has its own.
    pub(crate) fn of(key: &Key, configured: Limits) -> Self {
        Self {
            scopes: key.scopes.clone(),
            sessions: key.sessions.clone(),
            expires: key.expires,
            networks: key.networks.join(",").parse().unwrap_or_default(),
            limits: Some(limits_of(key.limits, configured)),
        }
    }

    /// Refuses what these rights do not hold, and names it.
    pub(crate) fn cover(&self, wanted: &Self) -> Result<(), Problem> {
        let longer = match (wanted.expires, self.expires) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(wanted), Some(own)) => wanted > own,
        };
        // Networks that are none are all.
        let farther = !self.networks.is_empty()
            && (wanted.networks.is_empty() || !wanted.networks.within(&self.networks));
        let faster = self.limits.is_some_and(|own| wanted.limits.is_none_or(|wanted| faster(wanted, own)));
        let more = [
            ("scopes", !all_of(wanted.scopes.as_ref(), self.scopes.as_ref())),
            ("sessions", !all_of(wanted.sessions.as_ref(), self.sessions.as_ref())),
            ("expires", longer),
            ("networks", farther),
            ("limits", faster),
        ];
        match more.into_iter().find(|(_, more)| *more) {
            None => Ok(()),
            Some((field, _)) => {
                let detail = format!("`{field}` would be more than the key that asks has.");
                Err(Problem::new(Code::ExceedsKey, detail).at(field))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(
        scopes: Option<&[Scope]>,
        sessions: Option<&[u64]>,
        expires: Option<i64>,
        networks: &str,
    ) -> Rights {
        Rights {
            scopes: scopes.map(|list| list.iter().copied().collect()),
            sessions: sessions.map(|list| list.iter().copied().map(SessionId).collect()),
            expires: expires.map(Timestamp),
            networks: networks.parse().unwrap(),
            limits: None,
        }
    }

    #[test]
    fn no_rate_is_given_that_is_not_had() {
        let of = |api: (u32, u32), send: (u32, u32)| Rights {
            limits: Some(Limits {
                api_per_second: api.0,
                api_burst: api.1,
                send_per_second: send.0,
                send_burst: send.1,
            }),
            ..Rights::default()
        };
        let own = of((5, 10), (0, 1));
        own.cover(&own).unwrap();
        own.cover(&of((4, 10), (9, 9))).unwrap();
        Rights::default().cover(&of((0, 1), (0, 1))).unwrap();
        for more in [of((6, 10), (0, 1)), of((5, 11), (0, 1)), of((0, 10), (0, 1)), Rights::default()] {
            let refused = format!("{:?}", own.cover(&more).unwrap_err());
            assert!(refused.contains("ExceedsKey") && refused.contains("limits"), "{refused}");
        }
    }

    #[test]
    fn nothing_is_given_that_is_not_had() {
        let (read, send) = (Scope::MessagesRead, Scope::MessagesSend);
        let all = Rights::default();
        let some = rights(Some(&[read, send]), Some(&[1, 2]), Some(100), "10.0.0.0/8");
        all.cover(&some).unwrap();
        all.cover(&all).unwrap();
        some.cover(&some).unwrap();
        some.cover(&rights(Some(&[read]), Some(&[2]), Some(99), "10.1.0.0/16")).unwrap();
        for (wanted, field) in [
            (rights(None, Some(&[1]), Some(1), "10.0.0.1"), "scopes"),
            (rights(Some(&[Scope::KeysWrite]), Some(&[1]), Some(1), "10.0.0.1"), "scopes"),
            (rights(Some(&[read]), None, Some(1), "10.0.0.1"), "sessions"),
            (rights(Some(&[read]), Some(&[1, 3]), Some(1), "10.0.0.1"), "sessions"),
            (rights(Some(&[read]), Some(&[1]), None, "10.0.0.1"), "expires"),
            (rights(Some(&[read]), Some(&[1]), Some(101), "10.0.0.1"), "expires"),
            (rights(Some(&[read]), Some(&[1]), Some(1), ""), "networks"),
            (rights(Some(&[read]), Some(&[1]), Some(1), "10.0.0.1,11.0.0.0/8"), "networks"),
        ] {
            let refused = format!("{:?}", some.cover(&wanted).unwrap_err());
            assert!(refused.contains("ExceedsKey") && refused.contains(field), "{field}: {refused}");
        }
    }
}
