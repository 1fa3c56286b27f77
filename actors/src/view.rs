//! What everybody may look at: a message with its timeline, a campaign with its totals, a session. Plain data
//! for the api; not JSON.

use kabar_engine::campaign::{CampaignRow, Phase};
use kabar_engine::cause::Cause;
use kabar_engine::entry::Frozen;
use kabar_engine::id::MediaId;
use kabar_engine::mark::Mark;
use kabar_engine::message::MessageRow;
use kabar_engine::part::Totals;
use kabar_engine::time::Timestamp;

/// A message as it stands now; for a campaign's message the status is its recipient's mark and the content is
/// rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageView {
    /// The row.
    pub row: MessageRow,
    /// What it waits for, when it does; told of a message that is asked for alone.
    pub wait: Option<Wait>,
    /// Of a received message: where the file is that came with it.
    pub media: Option<MediaState>,
}

/// Where a file is that a person sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaState {
    /// Still at the provider.
    Pending,
    /// Kept here.
    Stored(MediaId),
    /// Nowhere that could be reached.
    Failed(Cause),
}

impl From<MessageRow> for MessageView {
    fn from(row: MessageRow) -> Self {
        Self { row, wait: None, media: None }
    }
}

/// Where a campaign is, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CampaignState {
    /// Never launched.
    Draft,
    /// Launched; its start, or the next time of a recurring one, is waited for.
    Scheduled,
    /// The audience is being frozen.
    Freezing,
    /// Sending.
    Running,
    /// Everything is sent; some outcomes are not known yet.
    Settling,
    /// Paused.
    Paused,
    /// Cancelled.
    Cancelled,
    /// Every recipient has ended.
    Finished,
}

/// A campaign as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignView {
    /// Where it is.
    pub state: CampaignState,
    /// The launch.
    pub launched: Timestamp,
    /// When it begins: the launch, or the start it was given.
    pub begins: Timestamp,
    /// The end.
    pub ended: Option<Timestamp>,
    /// Contacts in the audience, once frozen.
    pub audience: u64,
    /// Of them opted out before.
    pub opted_out: u64,
    /// Of the rest, without a variable that has no default.
    pub missing_variable: u64,
    /// Of the rest, those that had enough marketing.
    pub frequency_capped: u64,
    /// The recipients.
    pub totals: Totals,
    /// What it waits for, the earliest end first.
    pub waits: Vec<Wait>,
}

/// Something that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// What.
    pub reason: WaitReason,
    /// Until when, where that is known.
    pub until: Option<Timestamp>,
    /// How many recipients wait for it; 0 before the audience is frozen, 1 of a single message.
    pub recipients: u64,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// The start the campaign was given.
    Start,
    /// The next time of a recurring campaign.
    Recurrence,
    /// A resume.
    Paused,
    /// The end of a blackout day where the recipients are.
    Blackout,
    /// The end of quiet hours there.
    QuietHours,
    /// The opening of the send window there.
    SendWindow,
    /// Another try: WhatsApp refused for a passing reason.
    Retry,
    /// The sender is throttled by WhatsApp.
    Throttled,
    /// The sender's credentials do not work.
    LinkLost,
    /// WhatsApp restricts the sender's account.
    Restricted,
    /// WhatsApp holds the template.
    Template,
    /// Their turn: the sender's pace.
    Pace,
}

impl From<kabar_engine::schedule::Closed> for WaitReason {
    fn from(closed: kabar_engine::schedule::Closed) -> Self {
        use kabar_engine::schedule::Closed;
        match closed {
            Closed::Blackout => Self::Blackout,
            Closed::QuietHours => Self::QuietHours,
            Closed::SendWindow => Self::SendWindow,
        }
    }
}

impl CampaignView {
    /// Puts the phase and the parts' totals together.
    #[must_use]
    pub fn new(row: &CampaignRow, totals: Totals) -> Self {
        let state = match row.phase {
            Phase::Freezing => CampaignState::Freezing,
            Phase::Running if totals.is_finished() => CampaignState::Finished,
            Phase::Running if totals.is_settling() => CampaignState::Settling,
            Phase::Running => CampaignState::Running,
            Phase::Paused => CampaignState::Paused,
            Phase::Cancelled => CampaignState::Cancelled,
            Phase::Finished => CampaignState::Finished,
        };
        let count = |of: fn(&Frozen) -> u64| row.frozen.as_ref().map_or(0, |f| of(f));
        Self {
            state,
            launched: row.launched,
            begins: row.launched,
            ended: row.ended,
            audience: count(|f| f.audience),
            opted_out: count(|f| f.opted_out),
            missing_variable: count(|f| f.missing_variable),
            frequency_capped: count(|f| f.frequency_capped),
            totals,
            waits: Vec::new(),
        }
    }
}

/// A session as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Messages in its outbox, on the wire or parked.
    pub outbox: usize,
    /// `idle`, `working`, `throttled`, `restricted` or `link_lost`.
    pub state: &'static str,
    /// Throttled until.
    pub paused_until: Option<Timestamp>,
    /// The last time the provider accepted something, since this node began.
    pub last_success: Option<Timestamp>,
}

/// Puts a recipient's mark over the row that stands for it in the conversation.
pub fn overlay_mark(row: &mut MessageRow, mark: Mark, launched: Timestamp) {
    row.status = mark.state().status();
    row.cause = mark.cause();
    row.times.sent = mark.sent().begin(launched).filter(|_| row.status.is_sent());
    row.times.delivered = mark.delivered().begin(launched);
    row.times.read = mark.read().begin(launched);
}
