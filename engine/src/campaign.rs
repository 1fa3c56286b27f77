//! A campaign's phase: what the tenant wants, whether its audience is frozen, which parts have obeyed. Not its
//! totals, which are the sum of its parts'; not its spec, which is a record.

use crate::entry::{Frozen, Position};
use crate::id::{CampaignId, CommandId, TenantId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a tenant can want of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Verb {
    /// Freeze the audience and send.
    Launch = 1,
    /// Send nothing more for now.
    Pause = 2,
    /// Go on.
    Resume = 3,
    /// End what is not sent.
    Cancel = 4,
}

impl Verb {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Launch, Self::Pause, Self::Resume, Self::Cancel].into_iter().find(|s| *s as u8 == byte)
    }
}

/// Where a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Phase {
    /// Launched; the audience is being frozen.
    Freezing = 1,
    /// Sending.
    Running = 2,
    /// Waiting for a resume.
    Paused = 3,
    /// Cancelled; what was not sent has failed with `cancelled`.
    Cancelled = 4,
    /// Every recipient has ended.
    Finished = 5,
}

impl Phase {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Freezing, Self::Running, Self::Paused, Self::Cancelled, Self::Finished]
            .into_iter()
            .find(|s| *s as u8 == byte)
    }
}

/// A campaign as a view row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CampaignRow {
    /// Its id.
    pub id: CampaignId,
    /// Whose.
    pub tenant: TenantId,
    /// Where it is.
    pub phase: Phase,
    /// Whether it is to be paused once frozen.
    pub paused: bool,
    /// The launch.
    pub launched: Timestamp,
    /// The end, when it has ended.
    pub ended: Option<Timestamp>,
    /// The latest command.
    pub command: CommandId,
    /// The verb of the latest command.
    pub verb: Verb,
    /// The parts that took the latest command over.
    pub obeyed: BTreeSet<u32>,
    /// The frozen audience.
    pub frozen: Option<Box<Frozen>>,
    /// The last entry that changed it.
    pub upto: Position,
}

impl CampaignRow {
    /// A campaign that is launched now.
    #[must_use]
    pub fn launched(tenant: TenantId, id: CampaignId, at: Timestamp, command: CommandId) -> Self {
        Self {
            id,
            tenant,
            phase: Phase::Freezing,
            paused: false,
            launched: at,
            ended: None,
            command,
            verb: Verb::Launch,
            obeyed: BTreeSet::new(),
            frozen: None,
            upto: Position::default(),
        }
    }

    /// Whether the verb is possible now.
    #[must_use]
    pub fn may(&self, verb: Verb) -> bool {
        match (self.phase, verb) {
            (_, Verb::Launch) | (Phase::Cancelled | Phase::Finished, _) => false,
            (Phase::Freezing, Verb::Pause) => !self.paused,
            (Phase::Freezing, Verb::Resume) => self.paused,
            (Phase::Running, Verb::Pause) | (Phase::Paused, Verb::Resume) => true,
            (Phase::Running, Verb::Resume) | (Phase::Paused, Verb::Pause) => false,
            (_, Verb::Cancel) => true,
        }
    }

    /// A verb was decided.
    pub fn moved(&mut self, verb: Verb, command: CommandId, at: Timestamp) {
        if command <= self.command || !self.may(verb) {
            return;
        }
        self.command = command;
        self.verb = verb;
        self.obeyed.clear();
        match verb {
            Verb::Launch => {}
            Verb::Pause => self.paused = true,
            Verb::Resume => self.paused = false,
            Verb::Cancel => {
                self.phase = Phase::Cancelled;
                self.ended = Some(at);
            }
        }
        self.settle_phase();
    }

    /// The audience is fixed. A second freezing, or one after a cancel, changes nothing.
    pub fn freeze(&mut self, frozen: &Frozen) {
        if self.frozen.is_none() && self.phase == Phase::Freezing {
            self.frozen = Some(Box::new(frozen.clone()));
            self.settle_phase();
        }
    }

    fn settle_phase(&mut self) {
        if matches!(self.phase, Phase::Cancelled | Phase::Finished) || self.frozen.is_none() {
            return;
        }
        self.phase = if self.paused { Phase::Paused } else { Phase::Running };
    }

    /// Parts took a command over.
    pub fn obeyed(&mut self, command: CommandId, parts: &[u32]) {
        if command == self.command {
            self.obeyed.extend(parts);
        }
    }

    /// Every recipient has ended.
    pub fn finish(&mut self, at: Timestamp) {
        if matches!(self.phase, Phase::Running | Phase::Paused) {
            self.phase = Phase::Finished;
            self.ended = Some(at);
        }
    }

    /// The parts that have not taken the latest command over.
    #[must_use]
    pub fn disobedient(&self) -> Vec<u32> {
        let parts = self.frozen.as_ref().map_or(0, |f| f.parts.len());
        (0..u32::try_from(parts).unwrap_or(u32::MAX)).filter(|p| !self.obeyed.contains(p)).collect()
    }

    /// Whether the campaign's actor has anything left to do.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self.phase {
            Phase::Freezing | Phase::Running | Phase::Paused => true,
            Phase::Cancelled => !self.disobedient().is_empty(),
            Phase::Finished => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::PartLine;
    use crate::id::SessionId;
    use proptest::prelude::*;

    fn frozen() -> Frozen {
        let parts = vec![PartLine { session: SessionId(1), recipients: 3 }; 2];
        Frozen {
            campaign: CampaignId(1),
            attempt: 1,
            audience: 6,
            opted_out: 0,
            missing_variable: 0,
            frequency_capped: 0,
            parts,
            digest: [0; 32],
        }
    }

    proptest! {
        #[test]
        fn what_ended_stays_ended_and_unfrozen_never_runs(acts in proptest::collection::vec((0..6_u8, 0..20_u64), 0..30)) {
            let mut row = CampaignRow::launched(TenantId(1), CampaignId(1), Timestamp(0), CommandId(1));
            for (act, command) in acts {
                let was = row.clone();
                match act {
                    0 => row.freeze(&frozen()),
                    1 => row.moved(Verb::Pause, CommandId(command), Timestamp(9)),
                    2 => row.moved(Verb::Resume, CommandId(command), Timestamp(9)),
                    3 => row.moved(Verb::Cancel, CommandId(command), Timestamp(9)),
                    4 => row.obeyed(CommandId(command), &[0]),
                    _ => row.finish(Timestamp(9)),
                }
                if matches!(was.phase, Phase::Cancelled | Phase::Finished) {
                    prop_assert_eq!(was.phase, row.phase);
                }
                prop_assert!(row.frozen.is_some() || !matches!(row.phase, Phase::Running | Phase::Paused));
                prop_assert!(row.command >= was.command);
            }
        }
    }

    #[test]
    fn a_pause_while_freezing_holds_the_parts_back() {
        let mut row = CampaignRow::launched(TenantId(1), CampaignId(1), Timestamp(0), CommandId(1));
        row.moved(Verb::Pause, CommandId(2), Timestamp(1));
        assert_eq!(row.phase, Phase::Freezing);
        row.freeze(&frozen());
        assert_eq!(row.phase, Phase::Paused);
        row.moved(Verb::Resume, CommandId(3), Timestamp(1));
        assert_eq!((row.phase, row.disobedient()), (Phase::Running, vec![0, 1]));
        row.obeyed(CommandId(3), &[0, 1]);
        assert!(row.disobedient().is_empty());
    }
}
