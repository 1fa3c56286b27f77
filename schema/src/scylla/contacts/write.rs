//! How contacts are written: read, merge, write on the condition that nobody wrote meanwhile; refused or not known, the
//! same again from the reading on. By its sealed bytes a writer whose answer was lost knows its own row.

use super::CqlContacts;
use super::row::{Put, Stored, put};
use crate::Answer;
use crate::contacts::{Contact, ContactDraft, Upserted};
use crate::error::StoreError;
use crate::scylla::cluster::{Lwt, all};
use crate::scylla::fault::before;
use crate::scylla::sealed::ensure;
use crate::scylla::slices::of_key;
use futures::StreamExt;
use futures::future::BoxFuture;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use scylla::policies::timestamp_generator::TimestampGenerator;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows of a batch, and addresses of a read.
pub(super) const BATCH: usize = 50;
/// How often a write begins again because somebody was faster or an answer was lost.
const ROUNDS: u64 = 8;
/// Slices written at once.
const SLICES_AT_ONCE: usize = 8;
/// Plain rows written at once.
const AT_ONCE: usize = 16;

/// What is told of one address, in order.
type Drafts = BTreeMap<String, Vec<ContactDraft>>;

/// What an upsert is about.
#[derive(Clone, Copy)]
struct Upsert {
    tenant: TenantId,
    list: Option<ImportId>,
    now: Timestamp,
}

/// What a round found to be written.
#[derive(Default)]
struct Plan {
    puts: Vec<Put>,
    /// Known, and so already.
    same: Vec<String>,
}

/// Rows that were sent without an answer: the sealed bytes, and whether the contact was new.
type Sent = BTreeMap<String, (Vec<u8>, bool)>;

fn batch_of(statement: &PreparedStatement, count: usize) -> Batch {
    let mut batch = Batch::new(BatchType::Unlogged);
    for _ in 0..count {
        batch.append_statement(statement.clone());
    }
    batch
}

/// Whoever was refused waits a little, not all equally long.
async fn pause(round: u64) {
    if round > 0 {
        tokio::time::sleep(Duration::from_millis(rand::random_range(1..=10 * round))).await;
    }
}

/// An error while nothing is known of what was sent before.
fn after(lost: bool) -> impl Fn(StoreError) -> StoreError {
    move |error| if lost { StoreError::Unknown } else { error }
}

fn in_batches(rows: Vec<ContactDraft>) -> BTreeMap<i16, Vec<Drafts>> {
    let mut slices: BTreeMap<i16, Drafts> = BTreeMap::new();
    for row in rows {
        let key = row.address.key();
        slices.entry(of_key(&key)).or_default().entry(key).or_default().push(row);
    }
    let cut = |drafts: Drafts| {
        let mut batches = vec![Drafts::new()];
        for (key, list) in drafts {
            if batches.last().is_none_or(|batch| batch.len() == BATCH) {
                batches.push(Drafts::new());
            }
            batches.last_mut().expect("invariant: one was pushed").insert(key, list);
        }
        batches
    };
    slices.into_iter().map(|(slice, drafts)| (slice, cut(drafts))).collect()
}

impl CqlContacts {
    pub(super) async fn upsert_all(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        rows: Vec<ContactDraft>,
        now: Timestamp,
    ) -> Result<Upserted, StoreError> {
        ensure(&self.keyring, tenant).await?;
        let what = Upsert { tenant, list, now };
        // One batch after the other in a slice: its partition is one, and writers of it would stop each other.
        let mut slices: Vec<BoxFuture<'_, Vec<_>>> = Vec::new();
        for (slice, batches) in in_batches(rows) {
            slices.push(Box::pin(async move {
                let mut answers = Vec::with_capacity(batches.len());
                for batch in batches {
                    answers.push(self.upsert_batch(what, slice, batch).await);
                }
                answers
            }));
        }
        let mut stream = futures::stream::iter(slices).buffer_unordered(SLICES_AT_ONCE);
        let (mut done, mut failed, mut some) = (Upserted::default(), None, false);
        while let Some(answers) = stream.next().await {
            for answer in answers {
                match answer {
                    Ok(part) => {
                        some = true;
                        done.created += part.created;
                        done.updated += part.updated;
                    }
                    // An erased tenant's answer stands over the others: no repeat will change it.
                    Err(error) if failed != Some(StoreError::Conflict) => failed = Some(error),
                    Err(_) => {}
                }
            }
        }
        match failed {
            None => Ok(done),
            Some(StoreError::Conflict) => Err(StoreError::Conflict),
            Some(error) => Err(after(some)(error)),
        }
    }

    /// At most [`BATCH`] addresses of one slice: all or none.
    async fn upsert_batch(&self, what: Upsert, slice: i16, mut open: Drafts) -> Result<Upserted, StoreError> {
        let (mut done, mut sent) = (Upserted::default(), Sent::new());
        let mut members = Vec::with_capacity(open.len());
        for round in 0..ROUNDS {
            pause(round).await;
            let lost = !sent.is_empty();
            let sql = if round == 0 { &self.sql.get } else { &self.sql.look };
            let keys: Vec<String> = open.keys().cloned().collect();
            let early = self.stamps.next_timestamp();
            let stored = self.stored(sql, (what.tenant, slice), &keys).await.map_err(after(lost))?;
            let late = self.stamps.next_timestamp();
            for (key, (private, new)) in std::mem::take(&mut sent) {
                if stored.get(&key).is_some_and(|row| row.private == private) {
                    count(&mut done, &open.remove(&key).unwrap_or_default(), new);
                    members.push((key, late));
                }
            }
            let plan = self.plan(what, slice, &open, stored)?;
            for key in plan.same {
                count(&mut done, &open.remove(&key).unwrap_or_default(), false);
                members.push((key, early));
            }
            if plan.puts.is_empty() {
                return self.enlist(what, slice, members).await.map(|()| done);
            }
            self.name(&plan.puts, late).await?;
            let mut batch = batch_of(&self.sql.put, plan.puts.len());
            match self.cluster.lwt_batch(&mut batch, &plan.puts).await {
                Ok(Lwt::Applied) => {
                    for put in plan.puts {
                        count(&mut done, &open.remove(&put.10).unwrap_or_default(), put.11.is_none());
                        members.push((put.10, late));
                    }
                    return self.enlist(what, slice, members).await.map(|()| done);
                }
                Ok(Lwt::Refused) => {}
                Err(StoreError::Unknown) => {
                    sent = plan.puts.into_iter().map(|p| (p.10, (p.6, p.11.is_none()))).collect();
                }
                Err(error) => return Err(error),
            }
        }
        Err(after(!sent.is_empty())(StoreError::Overloaded))
    }

    fn plan(
        &self,
        what: Upsert,
        slice: i16,
        open: &Drafts,
        mut stored: BTreeMap<String, Stored>,
    ) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        for (key, drafts) in open {
            let mut drafts = drafts.iter().cloned();
            let row = stored.remove(key);
            let seen = row.as_ref().map(|row| row.round);
            let list = what
                .list
                .filter(|list| row.as_ref().is_none_or(|row| !row.lists.contains(&list.0.cast_signed())));
            let (mut contact, mut changed) = match row {
                // A tenant that was erased has no contacts any more, and gets none.
                Some(row) => (row.contact.ok_or(StoreError::Conflict)?, list.is_some()),
                None => {
                    let first = drafts.next().expect("invariant: every address has a draft");
                    (Contact::begin(what.tenant, first, what.now), true)
                }
            };
            for draft in drafts {
                changed |= contact.merge(draft, what.now);
            }
            if changed {
                plan.puts.push(put(&self.keyring, &contact, (key.clone(), slice), seen, list)?);
            } else {
                plan.same.push(key.clone());
            }
        }
        Ok(plan)
    }

    /// Notes the ids of new contacts, before they are there.
    async fn name(&self, puts: &[Put], stamp: i64) -> Result<(), StoreError> {
        let mut writes: Vec<Answer<'_, ()>> = Vec::with_capacity(puts.len());
        for put in puts {
            if put.11.is_none() {
                let values = (put.8, put.0, &put.10, stamp);
                writes.push(Box::pin(self.cluster.write(&self.sql.name, values)));
            }
        }
        all(AT_ONCE, writes).await.map_err(before)
    }

    /// Notes the members of the list, after the rows say so.
    async fn enlist(&self, what: Upsert, slice: i16, members: Vec<(String, i64)>) -> Result<(), StoreError> {
        let Some(list) = what.list else { return Ok(()) };
        let (tenant, list) = (what.tenant.0.cast_signed(), list.0.cast_signed());
        let rows: Vec<_> = members.iter().map(|(key, stamp)| (tenant, list, slice, key, *stamp)).collect();
        let mut batch = batch_of(&self.sql.enlist, rows.len());
        // The rows are written already: whatever fails now, something happened.
        self.cluster.write_batch(&mut batch, &rows).await.map_err(after(true))
    }

    pub(super) async fn replace_one(&self, mut contact: Contact, expect: u64) -> Result<u64, StoreError> {
        let (tenant, key) = (contact.tenant, contact.address.key());
        let slice = of_key(&key);
        ensure(&self.keyring, tenant).await?;
        contact.id = Contact::id_of(tenant, &contact.address);
        contact.version = expect + 1;
        let mut sent: Option<Vec<u8>> = None;
        for round in 0..ROUNDS {
            pause(round).await;
            let sql = if round == 0 { &self.sql.get } else { &self.sql.look };
            let stored = self.stored(sql, (tenant, slice), std::slice::from_ref(&key)).await;
            let stored = stored.map_err(after(sent.is_some()))?.remove(&key);
            let version = stored.as_ref().map_or(0, |row| row.version);
            if sent.is_some() && stored.as_ref().map(|row| &row.private) == sent.as_ref() {
                return Ok(contact.version);
            }
            if version != expect {
                // Further than our version: perhaps over ours.
                return Err(after(sent.is_some() && version != contact.version)(StoreError::Conflict));
            }
            let seen = stored.as_ref().map(|row| row.round);
            if let Some(row) = stored {
                contact.created = row.contact.ok_or(StoreError::Conflict)?.created;
            }
            let values = put(&self.keyring, &contact, (key.clone(), slice), seen, None)?;
            self.name(std::slice::from_ref(&values), self.stamps.next_timestamp()).await?;
            match self.cluster.lwt(&self.sql.put, &values).await {
                Ok(Lwt::Applied) => return Ok(contact.version),
                Ok(Lwt::Refused) => sent = None,
                Err(StoreError::Unknown) => sent = Some(values.6),
                Err(error) => return Err(error),
            }
        }
        Err(after(sent.is_some())(StoreError::Overloaded))
    }

    pub(super) async fn restore_one(&self, contact: Contact, lists: Vec<ImportId>) -> Result<(), StoreError> {
        if contact.version == 0 {
            return Err(StoreError::Conflict);
        }
        let (tenant, key) = (contact.tenant, contact.address.key());
        let slice = of_key(&key);
        ensure(&self.keyring, tenant).await?;
        let mut values = put(&self.keyring, &contact, (key.clone(), slice), None, None)?;
        values.7 = lists.iter().map(|list| list.0.cast_signed()).collect();
        let stamp = self.stamps.next_timestamp();
        self.name(std::slice::from_ref(&values), stamp).await?;
        for round in 0..ROUNDS {
            pause(round).await;
            match self.cluster.lwt(&self.sql.put, &values).await {
                Ok(Lwt::Applied) => {}
                Ok(Lwt::Refused) | Err(StoreError::Unknown) => {
                    let stored = self.stored(&self.sql.look, (tenant, slice), std::slice::from_ref(&key));
                    match stored.await.map_err(after(true))?.remove(&key).map(|row| row.contact) {
                        Some(Some(found)) if found == contact => {}
                        Some(_) => return Err(StoreError::Conflict),
                        None => continue,
                    }
                }
                Err(error) => return Err(error),
            }
            let of = tenant.0.cast_signed();
            let mut enlist: Vec<Answer<'_, ()>> = Vec::with_capacity(lists.len());
            for list in &lists {
                let member = (of, list.0.cast_signed(), slice, &key, stamp);
                enlist.push(Box::pin(self.cluster.write(&self.sql.enlist, member)));
            }
            return all(AT_ONCE, enlist).await.map_err(after(true));
        }
        Err(StoreError::Unknown)
    }

    pub(super) async fn delete_one(&self, tenant: TenantId, id: ContactId) -> Result<bool, StoreError> {
        let Some(key) = self.address_of(tenant, id).await? else { return Ok(false) };
        let slice = of_key(&key);
        let mut lost = false;
        for round in 0..ROUNDS {
            pause(round).await;
            let sql = if round == 0 { &self.sql.get } else { &self.sql.look };
            let stored = self.stored(sql, (tenant, slice), std::slice::from_ref(&key)).await;
            let row = stored.map_err(after(lost))?.remove(&key).filter(|row| row.id == id);
            // After the reading: later than whoever put it on a list that is read here.
            let stamp = self.stamps.next_timestamp();
            let Some(row) = row else {
                if lost {
                    self.forget(tenant, id, stamp).await?;
                }
                return Ok(lost);
            };
            let of = tenant.0.cast_signed();
            let mut leave: Vec<Answer<'_, ()>> = Vec::with_capacity(row.lists.len());
            for list in row.lists {
                let values = (stamp, of, list, slice, &key);
                leave.push(Box::pin(self.cluster.write(&self.sql.delete_list, values)));
            }
            all(AT_ONCE, leave).await.map_err(after(true))?;
            match self.cluster.lwt(&self.sql.delete, (of, slice, &key, row.round)).await {
                Ok(Lwt::Applied) => {
                    self.forget(tenant, id, stamp).await?;
                    return Ok(true);
                }
                Ok(Lwt::Refused) => lost = false,
                Err(StoreError::Unknown) => lost = true,
                Err(_) => return Err(StoreError::Unknown),
            }
        }
        Err(StoreError::Unknown)
    }

    /// Forgets where the id leads to: the address is a person's.
    async fn forget(&self, tenant: TenantId, id: ContactId, stamp: i64) -> Result<(), StoreError> {
        let values = (stamp, tenant.0.cast_signed(), id.0.cast_signed());
        self.cluster.write(&self.sql.delete_name, values).await.map_err(after(true))
    }
}

fn count(done: &mut Upserted, drafts: &[ContactDraft], new: bool) {
    let drafts = drafts.len() as u64;
    done.created += u64::from(new);
    done.updated += drafts - u64::from(new).min(drafts);
}
