//! Who must leave when a label has too many residents: the one that was quiet longest.
//!
//! Only actors with an idle limit take part; the others (`idle_ms: None`) live until they stop themselves. Leaving
//! for idleness alone is the supervisors' agenda.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cell::{AnyCell, Phase};
use crate::handle::Refused;

/// Busy residents looked at before an activation is refused.
const MAX_BUSY: usize = 64;
/// Wait suggested when all residents looked at were busy.
const RESIDENT_RETRY_MS: u64 = 100;

/// The passivable residents of a node by label.
pub(crate) struct Residents {
    cap: usize,
    cap_by_label: HashMap<&'static str, usize>,
    queues: Mutex<HashMap<&'static str, Queue>>,
}

/// Residents ordered by the activity last seen; a later one is noticed when the entry comes up.
#[derive(Default)]
struct Queue {
    by_activity: BTreeMap<(u64, u64), Arc<dyn AnyCell>>,
    seen: HashMap<usize, (u64, u64)>,
    turn: u64,
}

impl Queue {
    fn put(&mut self, at_us: u64, cell: Arc<dyn AnyCell>) {
        self.turn += 1;
        self.seen.insert(address(&cell), (at_us, self.turn));
        self.by_activity.insert((at_us, self.turn), cell);
    }

    fn remove(&mut self, cell: &Arc<dyn AnyCell>) {
        if let Some(place) = self.seen.remove(&address(cell)) {
            self.by_activity.remove(&place);
        }
    }

    /// Makes the longest quiet resident leave. False if the first few were all busy.
    fn evict(&mut self) -> bool {
        let mut busy = 0;
        while busy < MAX_BUSY {
            let Some(((seen_us, _turn), cell)) = self.by_activity.pop_first() else { return false };
            self.seen.remove(&address(&cell));
            let active_us = cell.meter().last_active_us();
            if active_us > seen_us {
                self.put(active_us, cell);
            } else if cell.passivate() || !matches!(cell.phase(), Phase::Live | Phase::Starting) {
                return true;
            } else {
                busy += 1;
                let now = cell.meter().label.clock.uptime_us();
                self.put(now, cell);
            }
        }
        false
    }
}

impl Residents {
    pub(crate) fn new(cap: usize, cap_by_label: HashMap<&'static str, usize>) -> Self {
        Self { cap, cap_by_label, queues: Mutex::new(HashMap::new()) }
    }

    /// Makes room for `cell` and enters it. Cells without an idle limit need no room.
    pub(crate) fn admit(&self, cell: &Arc<dyn AnyCell>) -> Result<(), Refused> {
        let meter = cell.meter();
        if meter.idle_ms.is_none() {
            return Ok(());
        }
        let label = meter.label.text;
        let cap = self.cap_by_label.get(label).copied().unwrap_or(self.cap).max(1);
        let mut queues = self.queues.lock();
        let queue = queues.entry(label).or_default();
        while queue.by_activity.len() >= cap {
            if !queue.evict() {
                return Err(meter.label.refuse("resident", RESIDENT_RETRY_MS));
            }
        }
        queue.put(meter.last_active_us(), Arc::clone(cell));
        Ok(())
    }

    /// Forgets `cell`, which ended or is broken.
    pub(crate) fn remove(&self, cell: &Arc<dyn AnyCell>) {
        if cell.meter().idle_ms.is_some()
            && let Some(queue) = self.queues.lock().get_mut(cell.meter().label.text)
        {
            queue.remove(cell);
        }
    }
}

fn address(cell: &Arc<dyn AnyCell>) -> usize {
    Arc::as_ptr(cell).cast::<()>().addr()
}
