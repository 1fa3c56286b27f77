//! Whether an idempotency key was used before, and for what. Not what a replay answers: that is its askers' business.

use super::{Answer, Effect, Input, Refusal};
use crate::entry::Idempotency;
use crate::id::SessionId;
use crate::once::Once;
use crate::overlay::{IdempotencyRow, Overlay};
use crate::time::{DAY_MS, Timestamp};

impl Overlay {
    /// Where the key of an action counts; `None` when it has none, and while its message is not known here.
    pub(in crate::overlay) fn once(&self, input: &Input) -> Option<Once> {
        let of =
            |idempotency: &Option<Idempotency>, scoped: &dyn Fn(Idempotency) -> Once| idempotency.map(scoped);
        match input {
            Input::Launch { campaign, idempotency, .. } | Input::Move { campaign, idempotency, .. } => {
                of(idempotency, &|asked| Once::of_campaign(*campaign, asked))
            }
            Input::Consent { tenant, session, address, idempotency, .. } => match session {
                Some(session) => of(idempotency, &|asked| Once::in_session(*session, asked)),
                None => of(idempotency, &|asked| Once::of_person(*tenant, address, asked)),
            },
            Input::CancelMessage { message, idempotency, .. } => {
                let session = self.messages.get(message)?.session;
                of(idempotency, &|asked| Once::in_session(session, asked))
            }
            _ => None,
        }
    }

    /// The row of a key that was used within a day.
    pub(super) fn used(&self, place: (SessionId, u128), now: Timestamp) -> Option<&IdempotencyRow> {
        self.idempotency.get(&place).filter(|row| now.since_ms(row.at) < DAY_MS)
    }

    /// The answer to an action whose key was used before: nothing is done again, whatever came after it.
    pub(super) fn met(&self, once: Option<Once>, now: Timestamp) -> Option<Vec<Effect>> {
        let once = once?;
        let row = self.used(once.place(), now)?;
        let same = row.body == once.body;
        Some(vec![Effect::Reply(if same { Ok(Answer::Replayed) } else { Err(Refusal::IdempotencyMismatch) })])
    }
}
