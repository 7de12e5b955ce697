//! Every bound and time-out of the core, by name.

use std::time::Duration;

/// A machine is silent when its newest heartbeat is older.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);
/// A machine is down when its newest heartbeat is older.
pub const DOWN_AFTER: Duration = Duration::from_secs(15);
/// No down verdict for so long after this service began to listen, or its own connection came back.
pub const LISTEN_BEFORE_VERDICT: Duration = Duration::from_secs(45);
/// The brake: more than so many percent of the active machines silent at once make Muster itself the suspect.
pub const BRAKE_PERCENT: usize = 30;
/// The brake needs at least so many silent machines, or all of them.
pub const BRAKE_MACHINES_MIN: usize = 3;
/// A holder's deadline is enforced from here so long after it; reservation itself is earlier, the agent later.
pub const DEADLINE_GRACE: Duration = Duration::from_secs(5);
/// How long what runs may take to end when a machine goes back to the pool.
pub const RETURN_DRAIN: Duration = Duration::from_secs(5);
/// So many heartbeats of an older incarnation, while the newest one lives, mean that two agents claim one machine.
pub const OLD_HEARTBEATS_MAX: u32 = 3;
/// Machines of one pool.
pub const MACHINES_MAX: usize = 65_536;
/// Resources of one machine.
pub const RESOURCES_MAX: usize = 4_096;
/// Facts decided in one tick; the rest waits for the next.
pub const TICK_FACTS_MAX: usize = 2_000;
/// Facts that one followed event comes to in one decision, about: what is left follows in the next, so that each fits into a message.
pub const FOLLOWED_FACTS_MAX: usize = 1_000;
/// An agent takes an order to prepare a disk within this.
pub const STORAGE_TOLD_WITHIN: Duration = Duration::from_secs(60);
/// An order to prepare a disk has ended within this: its agent gives up before.
pub const STORAGE_WITHIN: Duration = Duration::from_secs(1_800);
/// Tags of one machine.
pub const TAGS_MAX: usize = 64;
/// Length of a tag.
pub const TAG_LENGTH_MAX: usize = 64;
/// Protection globs of one machine.
pub const RULES_MAX: usize = 64;
/// Entries of a pool file.
pub const POOL_ENTRIES_MAX: usize = 4_096;
/// Kernels of one pool.
pub const KERNELS_MAX: usize = 1_000;
/// What a kernel adds to the command line, bytes: x86 takes 2,048 in all.
pub const COMMAND_LINE_MAX: usize = 1_024;
/// Machines of one order to boot.
pub const BOOTS_MAX: usize = 512;
/// Attempts of an order, where nothing else is set.
pub const ATTEMPTS: u32 = 3;
/// More attempts can not be set.
pub const ATTEMPTS_MAX: u32 = 20;
/// A kernel is installed within this, where nothing else is set.
pub const INSTALL_WITHIN: Duration = Duration::from_secs(300);
/// A machine is back within this, where nothing else is set: servers take minutes to test their memory.
pub const BOOT_WITHIN: Duration = Duration::from_secs(720);
/// What runs may take so long to end before a reboot, where nothing else is set.
pub const BOOT_DRAIN: Duration = Duration::from_secs(30);
/// No longer time can be set.
pub const WITHIN_MAX: Duration = Duration::from_secs(24 * 3600);
/// An agent that is back says within this which kernel runs.
pub const VERIFY_WITHIN: Duration = Duration::from_secs(60);
/// So many ends of boots and troubles of a machine are remembered.
pub const RECENT_MAX: usize = 20;
/// A machine is too flaky to be used with so many failures among them.
pub const FLAKY_FAILURES_MIN: usize = 8;
/// And of so many kinds: a single kind may as well be the kernel's fault.
pub const FLAKY_KINDS_MIN: usize = 2;
/// A load number is at most so large.
pub const LOAD_MAX: u32 = 65_535;
/// Power operations at once in one pool: effects have 64 places, and drains and fences need some of them.
pub const POWER_AT_ONCE_MAX: usize = 32;
/// Power operations at once in one power domain.
pub const POWER_IN_DOMAIN_MAX: usize = 4;
/// Between two power operations that begin in one power domain.
pub const POWER_STAGGER: Duration = Duration::from_secs(1);
/// Between two power operations that begin on one machine.
pub const POWER_QUIET: Duration = Duration::from_secs(30);
/// More than so many percent of a power domain's machines failing stop power there.
pub const BREAKER_PERCENT: usize = 20;
/// And at least so many.
pub const BREAKER_FAILURES_MIN: usize = 5;
/// A failure counts for so long.
pub const BREAKER_WINDOW: Duration = Duration::from_secs(3_600);
/// An operation that was begun and not done within this is dropped.
pub const POWER_AGE_MAX: Duration = Duration::from_secs(60);
/// An order of a person waits for the rails no longer than this.
pub const ORDER_AGE_MAX: Duration = Duration::from_secs(600);
/// A machine that says nothing for so long is switched by itself.
pub const RECOVER_AFTER: Duration = Duration::from_secs(300);
/// A machine that was given up is switched this often.
pub const PROBE_EVERY: Duration = Duration::from_secs(1_800);
/// Machines of one order to switch.
pub const POWER_MACHINES_MAX: usize = 512;
/// A machine that was taken back to its snapshot says hello within this, or is dirty until it does.
pub const SETTLE_WITHIN: Duration = Duration::from_secs(120);

/// How far an agent's epoch or incarnation may be above what the log knows of its machine: further than any backup is behind, and never
/// so far that numbers end.
pub const AHEAD_MAX: u64 = 1 << 32;
