//! Who a campaign's audience is today: a walk in the order of addresses through contacts that fit, through people named
//! with the campaign, or through those another campaign did not reach, each with what becomes of them. The freezing
//! writes it down, the pre-flight report counts it.

use crate::contact_value::contact_value;
use crate::dispatcher::DispatchError;
use crate::freeze::Consents;
use crate::frequency::Lately;
use crate::node::Node;
use crate::recipients::{OfSender, Recipients};
use kabar_engine::address::Address;
use kabar_engine::audience::{Audience, Filter, Person};
use kabar_engine::cause::Cause;
use kabar_engine::id::{CampaignId, ImportId, TenantId};
use kabar_engine::mark::{Mark, MarkState};
use kabar_engine::template::ContentPattern;
use kabar_engine::time::Timestamp;
use kabar_schema::contacts::{Contact, ContactDraft};
use kabar_schema::records::Campaign as Spec;
use std::collections::VecDeque;
use std::sync::Arc;

/// People read at once.
const PAGE: usize = 1_000;

/// What becomes of somebody of the audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// A recipient.
    Recipient,
    /// They opted out before.
    OptedOut,
    /// A variable without default has no value.
    MissingVariable,
    /// They have had enough marketing lately.
    FrequencyCapped,
}

/// The walk.
pub struct AudienceWalk<'a> {
    node: Arc<Node>,
    tenant: TenantId,
    source: Source<'a>,
    consents: Consents,
    pattern: &'a ContentPattern,
    /// Where the tenant holds its marketing to a cap.
    lately: Option<Lately>,
}

enum Source<'a> {
    Contacts { list: Option<ImportId>, filter: Option<&'a Filter>, after: Option<Address>, ended: bool },
    Named(std::slice::Iter<'a, Person>),
    Unreached(Vec<Stream>),
}

impl<'a> AudienceWalk<'a> {
    /// From the first address on.
    ///
    /// # Errors
    /// What the store could not do; `NotFound` when the other campaign was never frozen.
    pub async fn new(
        node: &Arc<Node>,
        spec: &'a Spec,
        pattern: &'a ContentPattern,
        lately: Option<Lately>,
    ) -> Result<Self, DispatchError> {
        let tenant = spec.tenant;
        let source = match &spec.audience {
            Audience::Contacts { list, filter } => {
                Source::Contacts { list: *list, filter: filter.as_ref(), after: None, ended: false }
            }
            Audience::Named(people) => Source::Named(people.iter()),
            Audience::Unreached { campaign, failed, expired, causes } => {
                let causes = causes.as_slice().into();
                let wanted = Wanted { failed: *failed, expired: *expired, causes };
                Source::Unreached(Stream::all(node, tenant, *campaign, wanted).await?)
            }
        };
        let consents = Consents::new(node, tenant);
        Ok(Self { node: Arc::clone(node), tenant, source, consents, pattern, lately })
    }

    /// The next people; empty behind the last one.
    ///
    /// # Errors
    /// What the store could not do; the walk cannot go on then.
    pub async fn page(&mut self) -> Result<Vec<(Contact, Fate)>, DispatchError> {
        let people = match &mut self.source {
            Source::Contacts { list, filter, after, ended } => {
                let mut people = Vec::new();
                // A page nobody of fits is not the end.
                while people.is_empty() && !*ended {
                    let store = &self.node.store().contacts;
                    let page = store.page(self.tenant, *list, after.clone(), PAGE).await?;
                    *ended = page.is_empty();
                    *after = page.last().map(|c| c.address.clone()).or(after.take());
                    let fits = |c: &Contact| filter.is_none_or(|f| f.fits(&|field| field_of(c, field)));
                    people = page.into_iter().filter(fits).collect();
                }
                people
            }
            Source::Named(people) => {
                let tenant = self.tenant;
                people.by_ref().take(PAGE).filter_map(|person| contact(tenant, person)).collect()
            }
            Source::Unreached(streams) => merge(&self.node, self.tenant, streams).await?,
        };
        let mut told = Vec::with_capacity(people.len());
        if let Some(lately) = &mut self.lately {
            lately.look_ahead(people.iter().map(|person| &person.address)).await?;
        }
        for person in people {
            let fate = if self.consents.opted_out(&person.address).await? {
                Fate::OptedOut
            } else if self.pattern.missing(&|name| contact_value(&person, name)).next().is_some() {
                Fate::MissingVariable
            } else if let Some(lately) = &mut self.lately
                && lately.is_enough(&person.address).await?
            {
                Fate::FrequencyCapped
            } else {
                Fate::Recipient
            };
            told.push((person, fate));
        }
        Ok(told)
    }
}

/// What a filter may ask for: what a variable may be, and the zone.
fn field_of<'c>(contact: &'c Contact, field: &str) -> Option<&'c str> {
    contact_value(contact, field).or_else(|| contact.zone.as_deref().filter(|_| field == "zone"))
}

fn contact(tenant: TenantId, person: &Person) -> Option<Contact> {
    let address = person.address()?;
    let (input, fields) = (address.to_text(), person.fields.clone());
    let draft = ContactDraft { address, input, name: person.name.clone(), zone: person.zone.clone(), fields };
    Some(Contact::begin(tenant, draft, Timestamp::default()))
}

/// Which recipients of the other campaign.
#[derive(Clone)]
struct Wanted {
    failed: bool,
    expired: bool,
    causes: Arc<[Cause]>,
}

impl Wanted {
    fn is(&self, mark: Mark) -> bool {
        match mark.state() {
            MarkState::Expired => self.expired,
            MarkState::Failed => {
                self.failed
                    && (self.causes.is_empty() || mark.cause().is_some_and(|c| self.causes.contains(&c)))
            }
            _ => false,
        }
    }
}

/// One sender's recipients of the other campaign.
struct Stream {
    of: OfSender,
    read: VecDeque<Contact>,
}

impl Stream {
    async fn all(
        node: &Arc<Node>,
        tenant: TenantId,
        campaign: CampaignId,
        wanted: Wanted,
    ) -> Result<Vec<Self>, DispatchError> {
        let all = Recipients::of(node, tenant, campaign).await?.ok_or(DispatchError::NotFound)?;
        let each = OfSender::each(all, Arc::new(move |mark| wanted.is(mark)));
        Ok(each.into_iter().map(|of| Self { of, read: VecDeque::new() }).collect())
    }

    /// Reads on when nothing is read ahead.
    async fn fill(&mut self, node: &Arc<Node>, tenant: TenantId) -> Result<(), DispatchError> {
        if !self.read.is_empty() {
            return Ok(());
        }
        for standing in self.of.more(PAGE).await? {
            let address = standing.recipient.address;
            // A contact that was mended since is taken as it is now; one that is gone as it was.
            let known = node.store().contacts.by_address(tenant, &address).await?;
            self.read.push_back(known.unwrap_or_else(|| {
                let named = standing.columns.iter().zip(&standing.recipient.values);
                let value = |(name, value): (&Arc<str>, &Option<Arc<str>>)| {
                    value.as_ref().map(|value| (name.to_string(), value.to_string()))
                };
                let (input, fields) = (address.to_text(), named.filter_map(value).collect());
                let zone = standing.recipient.zone.as_deref().map(str::to_owned);
                let draft = ContactDraft { address, input, name: None, zone, fields };
                Contact::begin(tenant, draft, Timestamp::default())
            }));
        }
        Ok(())
    }
}

/// The next people of several senders, in the order of their addresses.
async fn merge(
    node: &Arc<Node>,
    tenant: TenantId,
    streams: &mut [Stream],
) -> Result<Vec<Contact>, DispatchError> {
    let mut people = Vec::new();
    while people.len() < PAGE {
        for stream in streams.iter_mut() {
            stream.fill(node, tenant).await?;
        }
        let next = streams
            .iter_mut()
            .filter(|s| !s.read.is_empty())
            .min_by(|a, b| a.read.front().map(|c| &c.address).cmp(&b.read.front().map(|c| &c.address)));
        let Some(person) = next.and_then(|stream| stream.read.pop_front()) else { break };
        people.push(person);
    }
    Ok(people)
}
