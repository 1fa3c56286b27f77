//! `/v1/messages/{id}/why`: everything that happened to a message, step by step, from the request that asked for it to the
//! last attempt of a webhook. The steps are the engine's, read from the journal; here they get their JSON.

use crate::auth::For;
use crate::body::Id;
use crate::openapi::shapes;
use crate::page::Time;
use crate::problem::{Code, Problem};
use crate::routes::Explained;
use crate::state::ApiState;
use crate::telemetry::trace::of_message;
use axum::extract::State;
use kabar_actors::dispatcher::{Attempt, Explanation, Missing};
use kabar_engine::id::{CampaignId, ConversationId, EventId, KeyId, MessageId, SessionId, WebhookId};
use kabar_engine::outgoing::Words;
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use kabar_engine::why::{By, Line, Reason, Source, Step};
use kabar_schema::records::AttemptOutcome;
use serde::Serialize;
use utoipa::ToSchema;

/// How a Cloud API number's messages leave.
const CONNECTOR: &str = "cloud";

/// Why a message is where it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Why, example = json!({
    "id": "msg_0dwd35p6e5amv", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "direction": "out", "status": "sent", "complete": true, "reason": null,
    "steps": [
        {"at": "2026-12-24T11:00:00.000Z", "source": "journal", "event": "evt_0dwd35p6e5amv", "step": "accepted", "by": "key",
         "key": "key_0dwd35p6e5amv", "campaign": null, "index": null, "session": "ses_0dwd35p6e5amv", "chosen": "named",
         "conversation": "cnv_0dwd35p6e5amv", "lane": "transactional", "send_at": "2026-12-24T11:00:00.000Z",
         "valid_until": "2026-12-25T11:00:00.000Z"},
        {"at": "2026-12-24T11:00:00.000Z", "source": "journal", "event": null, "step": "waited", "until": "2026-12-24T11:00:04.000Z",
         "ms": 4000, "reason": "pace", "cause": null},
        {"at": "2026-12-24T11:00:04.000Z", "source": "journal", "event": null, "step": "claimed", "attempt": 1},
        {"at": "2026-12-24T11:00:04.000Z", "source": "journal", "event": null, "step": "called", "connector": "cloud"},
        {"at": "2026-12-24T11:00:04.180Z", "source": "journal", "event": "evt_0dwd35p6e5amw", "step": "taken",
         "provider_id": "wamid.HBgN"}]}))]
pub(crate) struct Shown {
    #[schema(value_type = shapes::MessageId)]
    id: MessageId,
    /// The trace its spans are in: 32 hex digits that follow from the id.
    trace_id: String,
    direction: &'static str,
    #[schema(value_type = shapes::Status)]
    status: Status,
    /// Whether every step is there. What is not is told as far as the message itself remembers it.
    complete: bool,
    /// Why it is not complete.
    #[schema(value_type = Option<shapes::WhyMissing>)]
    reason: Option<&'static str>,
    /// In the order of time. The last one is how it ended, an attempt of a webhook after that, or what it waits for.
    steps: Vec<ShownLine>,
}

/// A step.
#[derive(Serialize, ToSchema)]
#[schema(as = WhyLine)]
struct ShownLine {
    /// When Kabar learned it, by Kabar's clock; of a wait: when it began.
    at: Time,
    #[schema(value_type = shapes::WhySource)]
    source: Source,
    /// The event that tells it to webhooks and streams, where there is one.
    #[schema(value_type = Option<shapes::EventId>)]
    event: Option<EventId>,
    #[serde(flatten)]
    step: ShownStep,
}

/// What happened. New steps may come.
#[derive(Serialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
#[schema(as = WhyStep)]
enum ShownStep {
    /// Kabar accepted it for sending: it is durable.
    Accepted(Box<Accepted>),
    /// A person wrote it.
    Received {
        #[schema(value_type = shapes::SessionId)]
        session: SessionId,
        #[schema(value_type = shapes::ConversationId)]
        conversation: ConversationId,
        /// When, by WhatsApp's clock.
        sent_at: Time,
    },
    /// Its campaign's audience was fixed.
    Frozen {
        /// The recipients of the campaign.
        recipients: u64,
    },
    /// Its part of the campaign began at the number.
    Started {
        /// Which part.
        part: u32,
    },
    /// It waited.
    Waited {
        until: Time,
        ms: i64,
        #[schema(value_type = shapes::WhyReason)]
        reason: Reason,
        /// What WhatsApp had said, when it waited for another try.
        cause: Option<Explained>,
    },
    /// Its claim is durable: it goes on the wire now.
    Claimed {
        /// The how manieth time.
        attempt: u16,
    },
    /// WhatsApp was called, at once after the claim.
    Called { connector: &'static str },
    /// The claim was taken back before a byte was written.
    Released,
    /// WhatsApp took it.
    Taken { provider_id: String },
    /// It was refused for good.
    Rejected { cause: Explained, said: Option<Said> },
    /// It was refused for now.
    PutBack {
        cause: Explained,
        /// Tried again then.
        due: Time,
        said: Option<Said>,
    },
    /// The call ended without an answer that tells whether it was sent.
    Ambiguous,
    /// A node of Kabar took this part of its data anew: after a restart, or from another node.
    Restarted { epoch: u64 },
    /// It was claimed, and nobody is left who could hear the answer: it may have been sent.
    Parked,
    /// The wait for a proof ended.
    Resolved {
        #[schema(value_type = shapes::WhyResolution)]
        outcome: &'static str,
    },
    /// WhatsApp told a status. Repeats are left out.
    Status {
        #[schema(value_type = shapes::Status)]
        status: Status,
        /// When it happened by WhatsApp's clock.
        reported_at: Time,
        cause: Option<Explained>,
        said: Option<Said>,
    },
    /// It was not sent in time.
    Expired,
    /// It was cancelled before it was sent.
    Cancelled,
    /// It failed before it was sent.
    Failed { cause: Explained },
    /// The person answered this campaign's message.
    Replied,
    /// A webhook subscription was told the event.
    Webhook(Box<Webhook>),
    /// It waits, as the question is answered.
    Waiting {
        #[schema(value_type = shapes::WhyReason)]
        reason: Reason,
        /// Until when, where that is known.
        until: Option<Time>,
    },
}

/// What WhatsApp said of a call that it refused, or of a failure, in its own words; null when it said nothing, as where Kabar itself
/// refused or held back.
#[derive(Serialize, ToSchema)]
#[schema(as = WhySaid)]
struct Said {
    /// `error_data.details`, else the message; at most 512 characters.
    detail: String,
    /// `fbtrace_id`: names the call to Meta's support; a failure has none.
    trace: Option<String>,
}

impl From<Words> for Said {
    fn from(Words { detail, trace }: Words) -> Self {
        Self { detail, trace }
    }
}

/// By whom a message was asked, and how it is to leave.
#[derive(Serialize, ToSchema)]
#[schema(as = WhyAccepted)]
struct Accepted {
    /// Null when it is no longer known.
    #[schema(value_type = Option<shapes::WhyBy>)]
    by: Option<&'static str>,
    /// The API key.
    #[schema(value_type = Option<shapes::KeyId>)]
    key: Option<KeyId>,
    /// The campaign.
    #[schema(value_type = Option<shapes::CampaignId>)]
    campaign: Option<CampaignId>,
    /// The recipient's index in the campaign.
    index: Option<u32>,
    /// The number it leaves from.
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    /// How that number was chosen.
    #[schema(value_type = shapes::WhyChosen)]
    chosen: &'static str,
    #[schema(value_type = Option<shapes::ConversationId>)]
    conversation: Option<ConversationId>,
    #[schema(value_type = shapes::Lane)]
    lane: Lane,
    send_at: Time,
    valid_until: Time,
}

/// An attempt of a webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = WhyWebhook)]
struct Webhook {
    #[schema(value_type = shapes::WebhookId)]
    webhook: WebhookId,
    /// The how manieth of this event.
    attempt: u32,
    /// Milliseconds until its outcome.
    took_ms: u32,
    /// The answer's status; null when there was none.
    status: Option<u16>,
    /// Why there was no answer that counts.
    #[schema(value_type = Option<shapes::AttemptError>)]
    error: Option<String>,
    #[schema(value_type = shapes::AttemptOutcome)]
    outcome: AttemptOutcome,
    /// When it is tried again.
    next_attempt: Option<Time>,
}

fn missing(missing: Missing) -> &'static str {
    match missing {
        Missing::Retention => "retention",
        Missing::Length => "length",
        Missing::Webhooks => "webhooks",
    }
}

impl From<Explanation> for Shown {
    fn from(found: Explanation) -> Self {
        let Explanation { row, lines, attempts, missing: gone } = found;
        let mut steps: Vec<ShownLine> = lines.into_iter().map(ShownLine::from).collect();
        let waiting = steps.pop_if(|line| matches!(line.step, ShownStep::Waiting { .. }));
        steps.extend(attempts.into_iter().map(ShownLine::from));
        steps.sort_by_key(|line| line.at.0);
        steps.extend(waiting);
        Self {
            id: row.id,
            trace_id: format!("{:032x}", of_message(row.id)),
            direction: if row.status == Status::Received { "in" } else { "out" },
            status: row.status,
            complete: gone.is_none(),
            reason: gone.map(missing),
            steps,
        }
    }
}

impl From<Attempt> for ShownLine {
    fn from(Attempt { webhook, line }: Attempt) -> Self {
        let step = ShownStep::Webhook(Box::new(Webhook {
            webhook,
            attempt: line.attempt,
            took_ms: line.took_ms,
            status: line.status,
            error: line.error,
            outcome: line.outcome,
            next_attempt: line.next.map(Time),
        }));
        Self { at: Time(line.at), source: Source::WebhookLog, event: Some(line.event), step }
    }
}

impl From<Line> for ShownLine {
    fn from(line: Line) -> Self {
        let began = line.at;
        let step = match line.step {
            Step::Accepted { .. } => ShownStep::Accepted(Box::new(accepted(line.step))),
            Step::Received { session, conversation, sent_at } => {
                ShownStep::Received { session, conversation, sent_at: Time(sent_at) }
            }
            Step::Frozen { recipients } => ShownStep::Frozen { recipients },
            Step::Started { part } => ShownStep::Started { part },
            Step::Waited { until, reason, cause } => {
                let (ms, cause) = (until.since_ms(began), cause.map(Explained::from));
                ShownStep::Waited { until: Time(until), ms, reason, cause }
            }
            Step::Claimed { attempt } => ShownStep::Claimed { attempt },
            Step::Called => ShownStep::Called { connector: CONNECTOR },
            Step::Released => ShownStep::Released,
            Step::Taken { provider_id } => ShownStep::Taken { provider_id },
            Step::Rejected { cause, words } => {
                ShownStep::Rejected { cause: cause.into(), said: words.map(Said::from) }
            }
            Step::PutBack { cause, due, words } => {
                ShownStep::PutBack { cause: cause.into(), due: Time(due), said: words.map(Said::from) }
            }
            Step::Ambiguous => ShownStep::Ambiguous,
            Step::Restarted { epoch } => ShownStep::Restarted { epoch },
            Step::Parked => ShownStep::Parked,
            Step::Resolved { again } => {
                ShownStep::Resolved { outcome: if again { "sent_again" } else { "unknown" } }
            }
            Step::Status { status, reported_at, cause, words } => {
                let (reported_at, cause) = (Time(reported_at), cause.map(Explained::from));
                ShownStep::Status { status, reported_at, cause, said: words.map(Said::from) }
            }
            Step::Expired => ShownStep::Expired,
            Step::Cancelled => ShownStep::Cancelled,
            Step::Failed { cause } => ShownStep::Failed { cause: cause.into() },
            Step::Replied => ShownStep::Replied,
            Step::Waiting { reason, until } => ShownStep::Waiting { reason, until: until.map(Time) },
        };
        Self { at: Time(line.at), source: line.source, event: line.event, step }
    }
}

fn accepted(step: Step) -> Accepted {
    let Step::Accepted { by, session, conversation, lane, due, valid_until } = step else {
        unreachable!("invariant: asked of an acceptance alone")
    };
    let (word, key, recipient) = match by {
        Some(By::Key(key)) => (Some("key"), Some(key), None),
        Some(By::Operator) => (Some("operator"), None, None),
        Some(By::Campaign(campaign, index)) => (Some("campaign"), None, Some((campaign, index))),
        None => (None, None, None),
    };
    Accepted {
        by: word,
        key,
        campaign: recipient.map(|(campaign, _)| campaign),
        index: recipient.map(|(_, index)| index),
        session,
        chosen: if recipient.is_some() { "split" } else { "named" },
        conversation,
        lane,
        send_at: Time(due),
        valid_until: Time(valid_until),
    }
}

/// `GET /v1/messages/{id}/why`. What was refused at once has no message and no steps: the problem's `trace_id` is the
/// thing to look for in the log.
#[utoipa::path(get, path = "/v1/messages/{id}/why", tag = "messages", operation_id = "explainMessage", summary = "Read why a message is where it is, step by step",
    params(("id" = shapes::MessageId, Path, description = "The message.")), responses((status = 200, body = Shown, description = "Its steps as far as they are kept.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<MessageId>,
) -> Result<axum::Json<Shown>, Problem> {
    super::found(&state, &whom, id).await?;
    // Each may read much of the journal: they go a few at a time, within their deadlines.
    let closed = |_| Problem::new(Code::Unavailable, "The server is ending.");
    let _turn = state.whys.acquire().await.map_err(closed)?;
    let found = state.dispatcher.why(whom.tenant, id).await?;
    Ok(axum::Json(found.ok_or_else(|| Problem::no_such("message"))?.into()))
}
