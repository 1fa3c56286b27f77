//! Ids in this dialect of the files that people sent: made from the message a file came with, so that they can be told before
//! the file is here. Whether it is, is asked when it is read. Not its fetching, which is `actors/src/media/received.rs`.

use super::super::no_such_object;
use crate::auth::For;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use kabar_actors::view::MediaState;
use kabar_engine::content::Content;
use kabar_engine::id::{MediaId, MessageId};
use kabar_engine::message::MessageRow;
use kabar_engine::status::Status;

/// In front, so that the number is larger than that of any file of the tenant's own, which has at most 20 digits.
const HEAD: &str = "1";
/// Digits of the message's id and of a check.
const DIGITS: usize = 19;
const CHECK: usize = 3;
/// Looks for a file that is still being fetched, and the wait between them.
const LOOKS: u32 = 40;
const LOOK_MS: u64 = 50;
/// So long after a message it is noted at the latest that its file is to be fetched.
const NOTED_MS: i64 = 5_000;

/// Folded over an id it says that the id is of this kind.
fn check(id: u64) -> u64 {
    id.to_be_bytes().into_iter().fold(0x4b_u64, |sum, byte| (sum * 31 + u64::from(byte)) % 997)
}

/// The id of what came with a message.
pub(crate) fn id_of(message: MessageId) -> String {
    format!("{HEAD}{:0DIGITS$}{:0CHECK$}", message.0, check(message.0))
}

/// The message an id of this kind names.
pub(crate) fn message(text: &str) -> Option<MessageId> {
    let rest = text.strip_prefix(HEAD).filter(|rest| rest.len() == DIGITS + CHECK)?;
    let digits = rest.bytes().all(|b| b.is_ascii_digit());
    let (id, said) = rest.split_at_checked(DIGITS).filter(|_| digits)?;
    let (id, said): (u64, u64) = (id.parse().ok()?, said.parse().ok()?);
    (said == check(id)).then_some(MessageId(id))
}

/// The file that came with a message; one that is being fetched is waited for.
pub(super) async fn file(
    state: &ApiState,
    whom: &For,
    message: MessageId,
) -> Result<Option<MediaId>, Problem> {
    for look in 0..LOOKS {
        let Some(found) = state.dispatcher.message(whom.tenant, message).await? else { return Ok(None) };
        let coming = found.media.is_none() && is_noted_now(state, &found.row);
        match found.media {
            // To a key of other numbers it is nobody's, as at Meta.
            _ if !whom.may_use(found.row.session) => return Err(no_such_object()),
            Some(MediaState::Stored(id)) => return Ok(Some(id)),
            // For good: Meta does not have it, or not so that it can be kept.
            Some(MediaState::Failed(_)) => return Ok(None),
            None if !coming => return Ok(None),
            Some(MediaState::Pending) | None if look + 1 < LOOKS => {
                state.node.clock().sleep_ms(LOOK_MS).await;
            }
            Some(MediaState::Pending) | None => {}
        }
    }
    Err(Problem::new(Code::Unavailable, "The file is still being fetched from WhatsApp."))
}

/// Whether a message came with a file just now: that it is to be fetched is noted beside the message, and the one may be seen
/// before the other.
fn is_noted_now(state: &ApiState, row: &MessageRow) -> bool {
    let file = row.content.as_deref().and_then(Content::received_file).is_some();
    let age = state.node.clock().now_ms() - row.times.accepted.0;
    row.status == Status::Received && file && age < NOTED_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_message_and_is_no_other_files() {
        for id in [0, 1, 81, 389_001_122_334_455_667, u64::MAX >> 1] {
            let text = id_of(MessageId(id));
            assert_eq!((message(&text), super::super::id(&text)), (Some(MessageId(id)), None), "{text}");
            for place in 0..text.len() {
                let mut other = text.clone().into_bytes();
                other[place] = b'0' + (other[place] - b'0' + 1) % 10;
                assert_eq!(message(std::str::from_utf8(&other).unwrap()), None, "{text}, {place}");
            }
        }
        for text in ["", "1", "912682020999755", "9223372036854775807", "1000000000000000000001é"] {
            assert_eq!(message(text), None, "{text}");
        }
    }
}
