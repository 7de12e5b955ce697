//! Every bound of the core, by name.

use std::time::Duration;

/// Processes of one start.
pub const PROCESSES_MAX: u32 = 65_535;
/// Roles of one gang.
pub const ROLES_MAX: usize = 16;
/// Resources that a dry run names one by one.
pub const PREVIEWED_MAX: usize = 4_000;
/// Attempts of one process before it is given up.
pub const ATTEMPTS_MAX: u32 = 3;
/// Modules in the catalogue.
pub const MODULES_MAX: usize = 1_000;
/// Ended jobs that are kept in the state; older ones are in the archive alone.
pub const ENDED_JOBS_MAX: usize = 1_000;
/// Processes of ended jobs that are kept in the state: 33 jobs of 3,000, or the newest whatever its size.
pub const ENDED_PROCESSES_MAX: usize = 100_000;
/// A process is lost when its machine has been down for so long.
pub const LOST_AFTER: Duration = Duration::from_secs(300);
/// A process with clients is lost when its machine has been down for so long.
pub const MASTER_LOST_AFTER: Duration = Duration::from_secs(25);
/// Processes with clients that are said to be over in one decision.
pub const GROUPS_DUE_MAX: usize = 100;
/// Processes that time ends in one decision, so that it fits into a message; the others follow at the next tick.
pub const TICK_CHANGES_MAX: usize = 1_000;
/// Reports of a fenced machine are waited for so long, before what is left of older epochs is lost.
pub const FENCE_PATIENCE: Duration = Duration::from_secs(10);
/// A machine is silent when no heartbeat was heard for so long.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);
/// When no agent at all was heard for less than this, the bus or this replica was away: machine-lifecycle calls a machine down after it.
pub const SUSPECT_UNTIL: Duration = Duration::from_secs(15);
/// Heartbeats in a row that may differ from the log at the same generation, before the agent is asked for its list.
pub const MISMATCHES_MAX: u32 = 3;
/// Ping results in a row that show a process answering which the log calls otherwise, before its agent is asked for its list.
pub const ANSWERS_MAX: u32 = 10;
/// An agent that knows all its reports to be stored is believed without them after so long: they are read, or are lost for good.
pub const REPORTS_PATIENCE: Duration = Duration::from_secs(30);
/// Longest text of a parameter, a reason or a selector that is taken, bytes.
pub const TEXT_MAX_BYTES: usize = 4_096;
/// Records on one page of an answer.
pub const PAGE_MAX: usize = 1_000;
/// Firings of triggers that are remembered; older ones are in the archive alone.
pub const FIRINGS_MAX: usize = 1_000;
/// Jobs that one arm of a trigger may name as those that fire it.
pub const FROM_JOBS_MAX: usize = 64;
/// What one machine may be told about all of its arms, bytes.
pub const ARMS_MAX_BYTES: usize = 64 * 1024;
/// Longest grace of a stop.
pub const GRACE_MAX: Duration = Duration::from_secs(24 * 3_600);
/// What one message to an agent may hold, bytes (design: 512 KiB), less what its envelope takes.
pub const UPDATE_MAX_BYTES: usize = 500 * 1024;
/// A command center that is not heard for so long is master no more.
pub const MASTER_LAPSES_AFTER: Duration = Duration::from_secs(10);
/// What was heard of centers is looked at at least so often; after a longer pause the time above begins again.
pub const CENTER_LOOK_MAX: Duration = Duration::from_secs(2);
/// Longest id of a command center, and longest name of its machine, bytes.
pub const CENTER_TEXT_MAX: usize = 64;
/// Process or job numbers that a refusal names before it says how many more there are.
pub const NAMED_MAX: usize = 5;
/// Jobs that are named of those that a pulse gates.
pub const GATED_JOBS_MAX: usize = 1_000;

/// Reservations that are ready, or for which a start waits.
pub const ATTACHED_MAX: usize = 4_096;
/// A start that waited for its reservation waits no longer than this for machines that are said to be ready.
pub const ATTACHED_PATIENCE: Duration = Duration::from_secs(30);

/// Events of tests that are remembered; older ones are in the log and the archive alone.
pub const TEST_EVENTS_MAX: usize = 256;
/// Events are counted over so long.
pub const TEST_EVENTS_WINDOW: Duration = Duration::from_secs(10);
/// Events that one job, or people, may say in that time.
pub const TEST_EVENTS_OF_ONE_MAX: usize = 20;
/// Events that all of them may say in that time.
pub const TEST_EVENTS_TOGETHER_MAX: usize = 200;

/// Events of one batch of reports that are kept, so that they fit into a message; the others are counted as dropped.
pub const TEST_EVENTS_OF_BATCH_MAX: usize = 64;
/// Errands of one batch of reports that are started, so that they fit into a message.
pub const ERRANDS_OF_BATCH_MAX: usize = 32;
/// Errands that one process may ask for in its life.
pub const ERRANDS_MAX: usize = 16;
/// Longest name of an errand, bytes.
pub const ERRAND_NAME_MAX: usize = 64;

/// Longest name of a sync point, bytes.
pub const SYNC_NAME_MAX: usize = 64;
/// Others are awaited at a sync point for no less.
pub const SYNC_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Others are awaited at a sync point for no longer.
pub const SYNC_TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Roles and processes that one arrival may name.
pub const SYNC_WITH_MAX: usize = 64;
/// Rounds of one job that are open at once.
pub const ROUNDS_OPEN_MAX: usize = 16;
/// Rounds of one job that are remembered, for who comes late.
pub const ROUNDS_MAX: usize = 64;
/// Processes that an outcome names of those who voted against it.
pub const NO_VOTERS_MAX: usize = 16;

/// Steps of one plan.
pub const STEPS_MAX: usize = 64;
/// Tasks of one plan.
pub const TASKS_MAX: usize = 256;
/// Longest time that a task may be given.
pub const TASK_LIMIT_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Longest name of a plan, a step, a task or a role, bytes.
pub const PLAN_NAME_MAX: usize = 64;
/// How often one task is tried where the infrastructure fails.
pub const TASK_ATTEMPTS_MAX: u32 = 3;
/// Agents that are heard are waited for no longer than this to let go of an attempt that is over, before its task is tried again; what one
/// keeps longer it is told with its next list.
pub const LET_GO_PATIENCE: Duration = Duration::from_secs(30);
/// Events of plans in one decision, about, so that it fits into a message; other plans follow at the next tick.
pub const PLAN_EVENTS_MAX: usize = 64;
/// Processes of tasks that are placed in one decision, about, likewise; a single task may have more.
pub const PLACED_AT_ONCE_MAX: u32 = 4_000;
/// Tasks that are tried to be placed in one decision; the others are tried in the next ones, in turn.
pub const TASKS_PLACED_MAX: usize = 16;
/// How far a job that an agent knows may be above the last one of the log: further than any backup is behind.
pub const JOBS_AHEAD_MAX: u32 = 1_000_000;
