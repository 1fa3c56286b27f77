//! The status machine of a message: where it may go, never backwards. Not the marks of a campaign, which pack
//! the same states into a byte.

use serde::{Deserialize, Serialize};

/// Where a message is. Outbound: queued → sent → delivered → read → played, or an end without delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Status {
    /// Accepted by Kabar and durable; waits, is on the wire, or is parked because its outcome is not known.
    Queued = 1,
    /// Provisional end: it may or may not have been sent. A later status with our reference moves it.
    Unknown = 2,
    /// The provider took it.
    Sent = 3,
    /// It reached the phone.
    Delivered = 4,
    /// The person opened it.
    Read = 5,
    /// The person played the voice message.
    Played = 6,
    /// It was refused or could not be delivered; the cause stands beside.
    Failed = 7,
    /// Its validity ended before it could be sent.
    Expired = 8,
    /// Inbound.
    Received = 9,
}

impl Status {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        use Status::{Delivered, Expired, Failed, Played, Queued, Read, Received, Sent, Unknown};
        [Queued, Unknown, Sent, Delivered, Read, Played, Failed, Expired, Received]
            .into_iter()
            .find(|s| *s as u8 == byte)
    }

    /// Whether `next` may follow. Statuses come twice, out of order, or before the send's own answer, so this
    /// is a join, not a list of steps: delivery beats any doubt, failure beats what is below delivery.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use Status::{Delivered, Expired, Failed, Played, Queued, Read, Received, Sent, Unknown};
        match (self, next) {
            (Received, _) | (_, Received | Queued) => false,
            // Nothing should be heard of what was never sent; a late proof still wins.
            (Failed | Expired, Delivered | Read | Played) => true,
            (Failed, _) => false,
            (Expired, n) => n == Sent,
            (Queued, _) => true,
            (Unknown, n) => n != Unknown && n != Expired,
            (Sent, n) => matches!(n, Delivered | Read | Played | Failed),
            (Delivered, n) => matches!(n, Read | Played),
            (Read, n) => n == Played,
            (Played, _) => false,
        }
    }

    /// The state after hearing `next`.
    #[must_use]
    pub fn join(self, next: Self) -> Self {
        if self.may_become(next) { next } else { self }
    }

    /// Whether the message has ended: nothing more is to be done for it (statuses may still move it).
    #[must_use]
    pub fn is_settled(self) -> bool {
        self != Self::Queued
    }

    /// Whether a provider can report it: the others are Kabar's own conclusions.
    #[must_use]
    pub fn is_reported(self) -> bool {
        self.is_sent() || self == Self::Failed
    }

    /// Whether the provider is known to have taken it.
    #[must_use]
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Sent | Self::Delivered | Self::Read | Self::Played)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Status; 9] = [
        Status::Queued,
        Status::Unknown,
        Status::Sent,
        Status::Delivered,
        Status::Read,
        Status::Played,
        Status::Failed,
        Status::Expired,
        Status::Received,
    ];

    proptest! {
        #[test]
        fn order_and_repeats_of_statuses_do_not_matter(
            heard in proptest::sample::subsequence(
                vec![Status::Sent, Status::Delivered, Status::Read, Status::Played, Status::Failed], 1..=5,
            ).prop_shuffle(),
            again in 0..5_usize,
        ) {
            let end = |list: &[Status]| list.iter().fold(Status::Queued, |s, n| s.join(*n));
            let mut doubled = heard.clone();
            doubled.push(heard[again % heard.len()]);
            let mut sorted = heard.clone();
            sorted.sort();
            prop_assert_eq!(end(&heard), end(&doubled));
            prop_assert_eq!(end(&heard), end(&sorted));
        }
    }

    #[test]
    fn a_message_never_goes_back() {
        for from in ALL {
            assert!(!from.may_become(Status::Queued));
            assert!(!from.may_become(from) || from == Status::Queued, "{from:?}");
        }
        assert!(!Status::Read.may_become(Status::Delivered));
        assert!(Status::Unknown.may_become(Status::Sent));
        assert!(!Status::Delivered.may_become(Status::Failed));
        assert!(Status::Failed.may_become(Status::Delivered));
    }
}
