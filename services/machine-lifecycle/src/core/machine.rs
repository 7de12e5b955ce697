//! One machine: flags, phase and tenure, three axes that are never mixed; and its epoch, protection and inventory.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_model::{Absence, Epoch, Flags, Incarnation, Phase, PoolTime, Position, ProcessId, ResourceId};

use super::power::{PowerOperation, PowerOrder};
use super::{Boot, Claim, Inventory, Past, Preparation, Recent, Settings, Stage, StorageOrder, Tenure};

/// What tests may not touch (CARE), and what people gave to testing all the same (DONT).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Protection {
    /// Protected resources.
    pub protected: BTreeSet<ResourceId>,
    /// Released although they carry a signature or a rule names them.
    pub released: BTreeSet<ResourceId>,
    /// Globs that protect also what is found later.
    pub rules: BTreeSet<String>,
    /// The whole machine.
    pub machine: bool,
}

/// All that the log says of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// Set by people.
    pub flags: Flags,
    /// What is on it.
    pub phase: Phase,
    /// Whose it is.
    pub tenure: Tenure,
    /// Who is next.
    pub claim: Option<Claim>,
    /// Fencing token.
    pub epoch: Epoch,
    /// The epoch that the agent reported as fenced.
    pub fenced_epoch: Epoch,
    /// Newest incarnation that was granted.
    pub incarnation: Incarnation,
    /// Boot id of the last hello; empty before the first.
    pub boot_id: String,
    /// Agent version of the last hello.
    pub agent_version: String,
    /// Number of the newest batch of reports that its agent had written at the last hello.
    pub last_batch: u64,
    /// What was found by probing; none before the first hello.
    pub inventory: Option<Arc<Inventory>>,
    /// What tests may not touch.
    pub protection: Protection,
    /// Position of the last change of its desired state.
    pub generation: Position,
    /// Position of the last change of its protection.
    pub protection_generation: Position,
    /// Generation up to which the agent has its protection on disk.
    pub protection_acknowledged: Position,
    /// Given by people.
    pub tags: BTreeSet<String>,
    /// Down was decided, and no heartbeat has come since.
    pub down: bool,
    /// Why it can not be trusted until a person looks.
    pub quarantine: Option<String>,
    /// How it is booted.
    pub settings: Settings,
    /// The newest order to boot it.
    pub boot: Option<Boot>,
    /// What is done to it once it is the reservation's that asked for it.
    pub preparation: Option<Preparation>,
    /// The newest operation on its power or snapshot.
    pub power: Option<PowerOperation>,
    /// An order for one that waits.
    pub power_order: Option<PowerOrder>,
    /// What came of its newest boots, and what trouble it made.
    pub recent: Recent,
    /// The newest order to prepare a disk.
    pub storage: Option<StorageOrder>,
    /// A test announced that it goes away.
    pub announced: Option<Announcement>,
    /// A reservation gave it back with its newest epoch.
    pub given_back: bool,
}

/// A test announced that its machine goes away, and is back in another boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The process.
    pub process: ProcessId,
    /// How it goes away.
    pub absence: Absence,
    /// It is awaited until then.
    pub until: PoolTime,
}

impl Machine {
    /// A machine without a record yet; its numbers go on from those of a record that was removed.
    #[must_use]
    pub(super) fn after(past: Option<Past>) -> Self {
        let mut machine = Self::default();
        if let Some(Past { epoch, incarnation }) = past {
            (machine.epoch, machine.incarnation) = (epoch, incarnation);
        }
        machine
    }

    /// It was named, and never said hello in this life of its record.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.boot_id.is_empty()
    }

    /// The agent does not have the newest protection on disk yet.
    #[must_use]
    pub fn protection_pending(&self) -> bool {
        self.protection_acknowledged < self.protection_generation
    }

    /// It was ordered into a kernel that is not proven to run: nothing may be started on it.
    #[must_use]
    pub fn boot_pending(&self) -> bool {
        self.boot.as_ref().is_some_and(Boot::is_pending)
    }

    /// Something is done to it from outside, and what became of it is not known yet.
    #[must_use]
    pub fn is_being_switched(&self) -> bool {
        self.power.as_ref().is_some_and(PowerOperation::is_open)
    }

    /// Its agent refuses starts.
    #[must_use]
    pub fn refuses_starts(&self) -> bool {
        let reverts = matches!(self.phase, Phase::Reverting | Phase::Settling);
        matches!(self.tenure.stage, Stage::Draining { .. }) || self.boot_pending() || reverts
    }

    /// A test announced that it goes away, and it is awaited: its absence is nobody's trouble.
    #[must_use]
    pub fn is_awaited(&self, now: PoolTime) -> bool {
        self.announced.as_ref().is_some_and(|announced| !announced.until.is_due(now))
    }

    /// It is the pool's and not changing hands.
    #[must_use]
    pub fn rests_in_pool(&self) -> bool {
        self.tenure == Tenure::default()
    }

    /// Why it is not usable, for people; empty when it is.
    #[must_use]
    pub fn trouble(&self) -> String {
        if let Some(reason) = &self.quarantine {
            return format!("quarantined: {reason}");
        }
        let words = [
            (self.flags.retired, "retired"),
            (self.flags.maintenance, "in maintenance"),
            (!self.flags.active, "not active"),
            (self.down, "down"),
            (self.is_new(), "its agent was never heard"),
            (self.protection.machine, "protected as a whole"),
        ];
        let found = words.iter().find(|(applies, _)| *applies).map(|(_, word)| (*word).to_owned());
        match found {
            Some(word) => word,
            None if self.phase != Phase::Ready => self.phase_in_words(),
            None => String::new(),
        }
    }

    /// Its phase, with what is known of the boot that it is in for.
    fn phase_in_words(&self) -> String {
        let Some(boot) = self.boot.as_ref().filter(|boot| boot.is_pending()) else {
            return match self.power.as_ref().filter(|_| self.phase != Phase::Ready) {
                Some(known) => format!("{}: {}, {}", self.phase, known.task, known.reason),
                None => self.phase.as_str().to_owned(),
            };
        };
        let reason = if boot.reason.is_empty() { String::new() } else { format!(": {}", boot.reason) };
        let (attempt, attempts_max) = (boot.attempts(), self.settings.attempts_max);
        format!("{}, to {}, attempt {attempt} of {attempts_max}{reason}", self.phase, boot.target())
    }
}
