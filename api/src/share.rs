//! Places for work that takes as long as its sender likes. No tenant has more than half of them, so that whoever holds
//! all it can get leaves the others theirs. Not what is done there.

use kabar_engine::hash::HashMap;
use kabar_engine::id::TenantId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many places.
#[derive(Debug)]
pub(crate) struct Share {
    places: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    tenants: HashMap<TenantId, usize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    share: Arc<Share>,
    tenant: TenantId,
}

impl Share {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, held: Mutex::default() })
    }

    /// A place for a tenant; `None`: it has its half, or all are taken.
    pub(crate) fn take(self: &Arc<Self>, tenant: TenantId) -> Option<Place> {
        let mut held = self.held();
        let own = held.tenants.get(&tenant).copied().unwrap_or(0);
        // A single place is anybody's.
        if held.all >= self.places || own >= self.places.div_ceil(2) {
            return None;
        }
        held.all += 1;
        held.tenants.insert(tenant, own + 1);
        Some(Place { share: Arc::clone(self), tenant })
    }

    /// Whole after every step, so a panic elsewhere does not spoil it.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.share.held();
        held.all -= 1;
        match held.tenants.get_mut(&self.tenant) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = held.tenants.remove(&self.tenant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tenant_has_half_of_the_places_and_what_is_given_up_is_free() {
        let share = Share::new(4);
        let (one, other) = (TenantId(1), TenantId(2));
        let mut held: Vec<_> = std::iter::from_fn(|| share.take(one)).collect();
        assert_eq!(held.len(), 2);
        let rest: Vec<_> = std::iter::from_fn(|| share.take(other)).collect();
        assert_eq!(rest.len(), 2);
        assert!(share.take(TenantId(3)).is_none());
        held.pop();
        drop(rest);
        assert!(share.take(one).is_some() && share.take(TenantId(3)).is_some());
        drop(held);
        assert!(share.held().tenants.is_empty() && share.held().all == 0);
        assert!(Share::new(1).take(one).is_some());
    }
}
