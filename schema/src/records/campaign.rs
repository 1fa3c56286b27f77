//! The campaign's spec: what the tenant asked for. Not its phase, which is entries, and not its recipients.

use super::Noun;
use kabar_engine::audience::Audience;
use kabar_engine::content::Content;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, SessionId, TenantId};
use kabar_engine::schedule::{Hours, Recurrence, SendWindow};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A campaign as it was asked for; never changed. Sealed: it holds what will be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant calls it.
    pub name: String,
    /// What is sent; may hold `{{variables}}` and spintax.
    pub content: Content,
    /// Whether spintax is read.
    pub spintax: bool,
    /// The sessions it leaves from.
    pub senders: Vec<SessionId>,
    /// Whom it goes to.
    pub audience: Audience,
    /// When.
    pub timing: Timing,
    /// What its turns count for beside the sender's other campaigns: 1 to 100.
    #[serde(default = "weight")]
    pub weight: u32,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
    /// The campaign it was made from, and how.
    pub origin: Option<Origin>,
    /// Hash of the request that made it, so that a repeat is told from another request.
    pub body_hash: String,
    /// When it was created.
    pub created: Timestamp,
}

/// When a campaign is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Not before then; at its launch when nothing is said.
    pub start_at: Option<Timestamp>,
    /// Recipients not sent this long after it began expire (ms).
    pub valid_for_ms: i64,
    /// The hours it may arrive in.
    pub hours: Hours,
    /// When it comes again. Such a campaign sends nothing itself: each time is a campaign of its own.
    pub recurrence: Option<Recurrence>,
}

/// Where a campaign comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other campaign.
    pub campaign: CampaignId,
    /// How.
    pub relation: Relation,
}

/// How a campaign comes from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The same once more.
    Clone,
    /// To those the other did not reach.
    Retry,
    /// One time of a recurring one.
    Occurrence,
}

impl Campaign {
    /// The index of campaigns by the one they were made from.
    pub const ORIGIN: &'static str = "origin";
    /// The weight of a campaign that says nothing.
    pub const WEIGHT: u32 = 10;
    /// The greatest weight.
    pub const WEIGHT_MAX: u32 = 100;

    /// When it begins, once launched: marks and validity count from here.
    #[must_use]
    pub fn begins(&self, launched: Timestamp) -> Timestamp {
        self.timing.start_at.map_or(launched, |start| start.max(launched))
    }
}

fn weight() -> u32 {
    Campaign::WEIGHT
}

impl Noun for Campaign {
    const KIND: &'static str = "campaign";
    const VERSION: u32 = 3;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        self.origin.iter().map(|origin| (Self::ORIGIN, origin.campaign.to_string())).collect()
    }
    fn read(version: u32, json: &str) -> Result<Self, serde_json::Error> {
        match version {
            1 => serde_json::from_str::<First>(json).map(Self::from),
            _ => serde_json::from_str(json),
        }
    }
}

/// Version 1: a list, a window and a validity.
#[derive(Deserialize)]
struct First {
    id: CampaignId,
    tenant: TenantId,
    name: String,
    content: Content,
    #[serde(default)]
    spintax: bool,
    senders: Vec<SessionId>,
    list: ImportId,
    valid_for_ms: i64,
    #[serde(default)]
    send_window: Option<SendWindow>,
    body_hash: String,
    created: Timestamp,
}

impl From<First> for Campaign {
    fn from(first: First) -> Self {
        Self {
            id: first.id,
            tenant: first.tenant,
            name: first.name,
            content: first.content,
            spintax: first.spintax,
            senders: first.senders,
            audience: Audience::Contacts { list: Some(first.list), filter: None },
            timing: Timing {
                start_at: None,
                valid_for_ms: first.valid_for_ms,
                hours: Hours { send_window: first.send_window, ..Hours::default() },
                recurrence: None,
            },
            weight: Self::WEIGHT,
            purpose: Purpose::default(),
            origin: None,
            body_hash: first.body_hash,
            created: first.created,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_of_the_first_version_is_read() {
        let json = r#"{"id":"cmp_0000000000001","tenant":"ten_0000000000001","name":"c",
            "content":{"type":"text","text":{"body":"hi"}},"senders":["ses_0000000000001"],"list":"imp_0000000000002",
            "valid_for_ms":60000,"send_window":{"from_minute":1,"until_minute":2,"days":[true,true,true,true,true,true,true]},
            "body_hash":"h","created":7}"#;
        let campaign = Campaign::read(1, json).unwrap();
        assert!(matches!(campaign.audience, Audience::Contacts { list: Some(_), filter: None }));
        assert_eq!(
            (campaign.timing.valid_for_ms, campaign.timing.hours.send_window.unwrap().until_minute),
            (60_000, 2)
        );
        let again = serde_json::to_string(&campaign).unwrap();
        assert_eq!(Campaign::read(2, &again).unwrap(), campaign);
        assert!(Campaign::read(2, json).is_err());
        // Version 2 had neither weight nor purpose.
        let second = again.replace("\"weight\":10,\"purpose\":\"marketing\",", "");
        assert!(!second.contains("purpose"));
        assert_eq!(Campaign::read(2, &second).unwrap(), campaign);
    }
}
