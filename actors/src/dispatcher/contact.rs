//! What the live system knows of a contact beside its row: whether the person has opted out. And the walk through all
//! contacts with that answer. Not the rows themselves: those are the store's.

use super::{DispatchError, Dispatcher};
use crate::freeze::Consents;
use kabar_engine::address::Address;
use kabar_engine::consent::{latest, newest};
use kabar_engine::id::{ImportId, ShardId, TenantId};
use kabar_engine::optout::Wish;
use kabar_engine::overlay::{Key, Row};
use kabar_engine::time::Timestamp;
use kabar_schema::contacts::{Contact, Contacts};
use std::sync::Arc;

/// Contacts read at once.
const PAGE: usize = 1_000;

impl Dispatcher {
    /// Whether the person has opted out, by the newest wish any shard heard before the call. It waits for no
    /// projector.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn opted_out(&self, tenant: TenantId, address: &Address) -> Result<bool, DispatchError> {
        // First the shards, then the views: a row that a shard has forgotten is in the views by then.
        let mut rows = Vec::new();
        for shard in self.0.all_shards() {
            rows.extend(shard.own_consent(tenant, address).await?.map(Arc::unwrap_or_clone));
        }
        let home = ShardId::of_address(tenant, address);
        let stored = self.0.store().views.load(home, vec![Key::Consent(tenant, address.clone())]).await?;
        for (_, row) in stored {
            if let Row::Consent(stored) = row {
                rows.extend(stored);
            }
        }
        Ok(newest(&latest(rows)).is_some_and(|(wish, _)| wish == Wish::OptOut))
    }

    /// People who have opted out, with when, in the order of their addresses; fewer than `limit` means there are no
    /// more. They are read from the views: the first page begins with a flush, so that it sees every wish heard before.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn opt_outs(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<(Address, Timestamp)>, DispatchError> {
        if after.is_none() {
            self.0.flush().await;
        }
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let rows = self.0.store().views.consents(tenant, after.clone(), PAGE).await?;
            let Some(last) = rows.last() else { return Ok(found) };
            after = Some(last.address.clone());
            // The shards of one address are never torn apart.
            for of_one in rows.chunk_by(|a, b| a.address == b.address) {
                if let Some((Wish::OptOut, at)) = newest(of_one) {
                    found.push((of_one[0].address.clone(), at));
                    if found.len() == limit {
                        return Ok(found);
                    }
                }
            }
            if rows.len() < PAGE {
                return Ok(found);
            }
        }
    }

    /// A walk through the tenant's contacts, all or a list's; it sees every wish that was heard before the call.
    /// The walk reads the views page by page, so it begins with a flush: one for a whole file.
    pub async fn contacts(&self, tenant: TenantId, list: Option<ImportId>) -> ContactWalk {
        self.0.flush().await;
        let contacts = Arc::clone(&self.0.store().contacts);
        ContactWalk { contacts, consents: Consents::new(&self.0, tenant), tenant, list, after: None }
    }
}

/// Contacts in the order of their addresses, a page at a time, each with whether the person has opted out.
pub struct ContactWalk {
    contacts: Arc<dyn Contacts>,
    consents: Consents,
    tenant: TenantId,
    list: Option<ImportId>,
    after: Option<Address>,
}

impl ContactWalk {
    /// The next page, at most 1,000; empty behind the last one.
    ///
    /// # Errors
    /// What the store could not do; the walk cannot go on then.
    pub async fn page(&mut self) -> Result<Vec<(Contact, bool)>, DispatchError> {
        let page = self.contacts.page(self.tenant, self.list, self.after.clone(), PAGE).await?;
        self.after = page.last().map(|c| c.address.clone()).or(self.after.take());
        let mut told = Vec::with_capacity(page.len());
        for contact in page {
            let opted_out = self.consents.opted_out(&contact.address).await?;
            told.push((contact, opted_out));
        }
        Ok(told)
    }
}
