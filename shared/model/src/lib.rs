//! The words of Muster as types: what every part means by machine, process, epoch, position.
//!
//! No I/O, no async runtime, no serialisation: those belong to the layers above (docs/architecture.md).

mod absence;
pub mod boot;
mod firing;
mod group;
mod ids;
mod machine;
mod notify;
mod occurrence;
mod on_error;
mod plan;
mod position;
pub mod power;
mod process;
pub mod pulse;
pub mod quantity;
mod refusal;
mod resource;
mod selector;
mod ssh_key;
mod storage;
mod test_event;
pub mod text;
mod time;
mod trigger;

pub use absence::Absence;
pub use boot::{BootDriver, BootOperation, BootProgress, BootStep, BootVerdict};
pub use firing::{ArmId, Firing, FiringSource, TriggerActed};
pub use group::GroupMaster;
pub use ids::{
    Attempt, CommandId, Dpid, Epoch, IdError, Incarnation, JobNumber, KernelName, MachineId, ModuleName, PowerDomain,
    ProcessId, ProcessNumber, ReservationId, ResourceId, RunId, SnapshotName, SystemId, Term,
};
pub use machine::{Flag, Flags, Phase};
pub use notify::{NOTIFY_SIZE_MAX, NotifyError, NotifyTarget};
pub use occurrence::Occurrence;
pub use on_error::{ON_ERRORS, OnError};
pub use plan::{OnFailure, TaskState};
pub use position::{Lineage, Position, Sequence};
pub use power::{PowerAction, PowerSpec, PowerState, SnapshotAction, SnapshotSpec};
pub use process::{ProcessState, Verdict, describe_exit};
pub use pulse::{Pulse, PulseError, PulseNumber};
pub use refusal::{Place, Refusal, RefusalCode};
pub use resource::ResourceKind;
pub use selector::{Facts, Selector, SelectorError, SelectorTerm, Sets, glob_matches, others_than};
pub use ssh_key::{SSH_KEY_SIZE_MAX, SshKey, SshKeyError};
pub use storage::{FileSystem, StorageOutcome, StorageProgress, StorageStep, StorageTask};
pub use test_event::{TEST_EVENT_DATA_BYTES_MAX, check_test_event};
pub use time::{PoolTime, milliseconds, nanoseconds};
pub use trigger::{
    FiringId, TRIGGER_ACTIONS, TriggerAction, TriggerActionError, TriggerNumber, TriggerOutcome, TriggerPolicy,
};
