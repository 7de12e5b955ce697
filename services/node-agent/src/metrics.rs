//! Names of the agent's own metrics; the comment above each is its help.

/// Processes that were spawned.
pub(crate) const SPAWNED: &str = "muster_agent_processes_spawned_total";
/// Processes that live: an intent, and no end yet.
pub(crate) const LIVE: &str = "muster_agent_processes_live";
/// Starts that were refused, process by process.
pub(crate) const REFUSED: &str = "muster_agent_starts_refused_total";
/// Commands that had no effect because their term, epoch, incarnation or generation was not the present one.
pub(crate) const DENIED: &str = "muster_agent_commands_denied_total";
/// Messages to this agent that counted for nothing, by reason: of their signature, term, epoch, incarnation or generation.
pub(crate) const MESSAGES_REFUSED: &str = "muster_agent_messages_refused_total";
/// Batches of reports that were put into the spool.
pub(crate) const REPORT_BATCHES: &str = "muster_agent_report_batches_total";
/// Batches of samples that were put into the spool.
pub(crate) const SAMPLE_BATCHES: &str = "muster_agent_sample_batches_total";
/// Times that a stream did not take a batch, which was then sent again.
pub(crate) const SEND_FAILURES: &str = "muster_agent_send_failures_total";
/// Batches that had to leave the spool without having been sent.
pub(crate) const SPOOL_LOST: &str = "muster_agent_spool_lost_batches_total";
/// Firings of triggers that were heard, whether anything here is armed for them or not.
pub(crate) const TRIGGERS_HEARD: &str = "muster_agent_triggers_heard_total";
/// Firings of triggers that this machine acted on.
pub(crate) const TRIGGERS_ACTED: &str = "muster_agent_triggers_acted_total";
/// Messages that were dropped because the queue to the bus was full.
pub(crate) const PUBLISH_DROPPED: &str = "muster_agent_publish_dropped_total";
