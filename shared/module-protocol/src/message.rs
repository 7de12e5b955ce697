//! The messages, one JSON object a line: `{"type":"pong","n":3,"iterations":120}`. Unknown types and fields are passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::VariantNames;

use crate::wish::{Client, ClientWish, HolderWish};

/// Version of the protocol that is described here.
pub const PROTOCOL: u32 = 1;
/// Longest words of one member of a gang to another, bytes.
pub const PEER_WORDS_MAX_BYTES: usize = 4_096;

/// From a module to its agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, VariantNames)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ModuleMessage {
    /// First on every connection: who speaks.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// RunId.
        run: u32,
        /// As printed: `00010064`.
        dpid: String,
        /// Attempt.
        attempt: u32,
        /// OS process id of the speaker.
        pid: u32,
    },
    /// Prepared: the work itself begins now.
    Ready,
    /// Answer to a ping.
    Pong {
        /// Number of the ping.
        n: u64,
        /// Iterations so far; unchanged for long means stalled.
        iterations: u64,
    },
    /// Measured values: counters only rise, gauges are levels. Names carry their unit as suffix: `written_bytes`.
    Metric {
        /// Resource id that they concern; empty for the process as a whole.
        #[serde(default)]
        device: String,
        /// Counters.
        #[serde(default)]
        counters: BTreeMap<String, f64>,
        /// Gauges.
        #[serde(default)]
        gauges: BTreeMap<String, f64>,
    },
    /// Something happened that a person may want to read of.
    Event {
        /// Name.
        name: String,
        /// For people.
        #[serde(default)]
        text: String,
    },
    /// Something has happened that others may wait for (`muster wait-event`): it is kept in the log of the scheduler.
    Emit {
        /// Name: 1 to 64 of a-z, 0-9, `_`, `-` and `.`, beginning with a letter.
        name: String,
        /// At most 4 KiB, opaque to Muster.
        #[serde(default)]
        data: String,
    },
    /// The machine is to crash at once, for a dump of its kernel; answered only where it does not.
    Crash {
        /// For people.
        #[serde(default)]
        note: String,
    },
    /// Data were found corrupt.
    Corruption(Corruption),
    /// A file below the work or results directory is to be kept.
    Artifact {
        /// Path.
        path: String,
        /// Name to keep it under.
        name: String,
    },
    /// Words for another member of the gang, or for all of them. They are not kept: say them again until they are answered.
    Peer {
        /// Role to which they go; empty for every other member.
        #[serde(default)]
        to: String,
        /// The words; at most [`PEER_WORDS_MAX_BYTES`].
        data: String,
    },
    /// A trigger fires: armed machines act at once.
    Trigger {
        /// Its number, 0 to 255.
        n: u32,
        /// For people.
        #[serde(default)]
        note: String,
    },
    /// This machine is to be armed for a trigger, for as long as the process lives.
    Arm {
        /// Its number, 0 to 255.
        n: u32,
        /// What is done: `dump-history`, `packet`, `stop-job`, and where the machine permits it `crash`, `sysrq`, `command`.
        action: String,
        /// Key, name or job, by the action.
        #[serde(default)]
        argument: String,
    },
    /// This machine is about to go away, by what this process or its agent does; answered with `go` or `not_expected`.
    Expect {
        /// Number of the announcement, rising from 1: said again on a new connection, it is the same.
        n: u64,
        /// `reboot` (the agent does it after its `go`), `shutdown` or `crash` (the process does it after the `go`).
        what: String,
        /// The machine is back within so many milliseconds.
        within_ms: u64,
        /// For people.
        #[serde(default)]
        note: String,
    },
    /// Arrives at a round of a sync point of the job, and waits; answered with `synced`.
    Sync {
        /// Name of the sync point.
        name: String,
        /// Number of the round, from 1: said again on a new connection or in a later attempt, it is the same.
        round: u64,
        /// Its vote.
        vote: Vote,
        /// The others are awaited for so many milliseconds; the first to arrive decides.
        timeout_ms: u64,
        /// Who takes part: roles, or numbers of processes; empty for every process of the job.
        #[serde(default)]
        with: Vec<String>,
    },
    /// No round waits for this process any more.
    Leave,
    /// First on a connection of its own, and answered once with `clients`: something is asked in the name of a process, by whoever has its
    /// token.
    Client {
        /// RunId.
        run: u32,
        /// As printed: `00010064`.
        dpid: String,
        /// Attempt.
        attempt: u32,
        /// The token of the process.
        token: String,
        /// What is asked.
        wish: ClientWish,
    },
    /// First on a connection of its own, and answered once with `clients`: the person at this machine keeps it for longer or gives it back. Only
    /// root may.
    Holder {
        /// What is asked.
        wish: HolderWish,
    },
    /// A process is to be started on another machine of the job: an errand. Answered with `started_on`.
    StartOn {
        /// Name of the errand: said again, on a new connection or in a later attempt, it is the same one.
        name: String,
        /// Where.
        machine: String,
        /// Module of the catalogue.
        module: String,
        /// Its parameters.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
        /// It goes on when this process has ended.
        #[serde(default)]
        detached: bool,
        /// It is waited for so many milliseconds; 0 for 30 s.
        #[serde(default)]
        timeout_ms: u64,
    },
    /// Waits for the end of an errand; answered with `ended_on`.
    AwaitOn {
        /// Its name.
        name: String,
        /// So many milliseconds; 0 for 30 s.
        #[serde(default)]
        timeout_ms: u64,
    },
    /// An errand is to stop.
    StopOn {
        /// Its name.
        name: String,
    },
    /// Asks for the clock of another machine; answered with `clock_is`.
    ClockOf {
        /// Which machine.
        machine: String,
        /// It is waited for so many milliseconds; 0 for 30 s.
        #[serde(default)]
        timeout_ms: u64,
    },
    /// Answer with an open of the same number once all pulses of this process are free: for modules that do not map the pulse page.
    Gate {
        /// Number.
        n: u64,
    },
    /// The last message: how it ended.
    Done {
        /// Whether the test ran to its end.
        status: Status,
        /// What it says of the product.
        result: Outcome,
        /// Why, for people.
        #[serde(default)]
        reason: String,
        /// Totals of the final report.
        #[serde(default)]
        r#final: BTreeMap<String, f64>,
        /// Text of the final report, for people.
        #[serde(default)]
        text: String,
    },
}

/// A vote at a sync point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    /// For it.
    Yes,
    /// Against it.
    No,
}

/// How a round of a sync point ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncEnd {
    /// All who were awaited have arrived.
    Complete,
    /// One of them will not come.
    Released,
    /// The time was over.
    TimedOut,
    /// The process may not take part.
    Refused,
}

/// How a test ended. Legal pairs: complete/pass, complete/fail, error/na, skip/na.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran to its end.
    Complete,
    /// It could not.
    Error,
    /// It was not tried.
    Skip,
}

/// What a test says of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It passed.
    Pass,
    /// It failed.
    Fail,
    /// Not applicable.
    Na,
}

/// Corrupt data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corruption {
    /// Path of the disk or file.
    pub target: String,
    /// Resource id.
    #[serde(default)]
    pub resource: String,
    /// Byte offset of the first wrong sector.
    pub offset: u64,
    /// `BITFLIP`, `STALE`, `MISDIRECTED`, `FOREIGN`, `WRONG_FORM`, `ZERO`, `TORN`, `SHIFTED`, `UNKNOWN`.
    pub class: String,
    /// `TRANSIENT`, `STORED`, `UNSTABLE`.
    pub persistence: String,
    /// RunId of who wrote it, where the pattern names another one; 0 for none.
    #[serde(default)]
    pub owner_run: u32,
    /// DPID of who wrote it, as printed; empty for none.
    #[serde(default)]
    pub owner_dpid: String,
    /// Expected bytes of the first wrong sector, hex.
    pub expected: String,
    /// Actual bytes, hex.
    pub actual: String,
    /// For people.
    #[serde(default)]
    pub detail: String,
}

/// From an agent to a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, VariantNames)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AgentMessage {
    /// The hello was understood: begin, or go on.
    Start,
    /// Answer with a pong.
    Ping {
        /// Number.
        n: u64,
    },
    /// Finish what is in hand, say done, and exit.
    Stop {
        /// After so many milliseconds the process is killed.
        grace_ms: u64,
    },
    /// Exit at once, without done.
    Abort,
    /// Words of another member of the gang.
    Peer {
        /// Its role.
        from: String,
        /// Its DPID, as printed.
        dpid: String,
        /// The words.
        data: String,
    },
    /// Its pulses or parameters are others from here on. Said on every connection too, where they are not those of the context.
    Set {
        /// All of its pulses.
        #[serde(default)]
        pulses: Vec<u8>,
        /// All of its parameters; none where they are still those of the context.
        #[serde(default)]
        parameters: BTreeMap<String, String>,
    },
    /// Answer to `client`: the clients that it was about.
    Clients {
        /// They.
        clients: Vec<Client>,
        /// Why not; empty where it was done.
        #[serde(default)]
        refused: String,
    },
    /// All pulses of the process are free.
    Open {
        /// Number of the newest gate.
        n: u64,
    },
    /// The done is on the agent's disk. Sent once for every done; a module that sees its connection end before this says done
    /// again on the next one, so a repeated done must be answered and not counted twice.
    Kept,
    /// A trigger asks for the history that the process keeps: write it as a result, and have it kept.
    Dump {
        /// Number of the trigger.
        n: u32,
        /// The firing, for the name of the file.
        firing: String,
    },
    /// It is logged that this machine goes away: it may. A reboot follows at once.
    Go {
        /// Number of the announcement.
        n: u64,
    },
    /// The machine may not go away, or did not in time: the process goes on.
    NotExpected {
        /// Number of the announcement.
        n: u64,
        /// Why.
        why: String,
    },
    /// A round is over.
    Synced {
        /// Name of the sync point.
        name: String,
        /// Number of the round.
        round: u64,
        /// How it ended.
        outcome: SyncEnd,
        /// Votes for it.
        #[serde(default)]
        yes: u32,
        /// Votes against it.
        #[serde(default)]
        no: u32,
        /// The first DPIDs of those who voted against it, as printed.
        #[serde(default)]
        no_voters: Vec<String>,
        /// DPID of who will not come, as printed; empty where that is nobody.
        #[serde(default)]
        by: String,
        /// What became of it, or why the process may not take part.
        #[serde(default)]
        why: String,
    },
    /// An errand was started, or was not.
    StartedOn {
        /// Its name.
        name: String,
        /// Its DPID, as printed; empty where it was not started.
        #[serde(default)]
        dpid: String,
        /// Why it was not, or is not known to be.
        #[serde(default)]
        why: String,
    },
    /// An errand has ended, or has not in time.
    EndedOn {
        /// Its name.
        name: String,
        /// `finished`, `dead` or `lost`; empty where it has not ended.
        #[serde(default)]
        state: String,
        /// What it says: `none`, `pass`, `fail`, `skip`, `error`.
        #[serde(default)]
        verdict: String,
        /// Exit status, as wait(2) gives it, where it is known.
        #[serde(default)]
        exit_status: Option<i32>,
        /// Why it ended so.
        #[serde(default)]
        reason: String,
        /// Why its end is not known.
        #[serde(default)]
        why: String,
    },
    /// The clock of another machine.
    ClockIs {
        /// Which machine.
        machine: String,
        /// Its pool time, nanoseconds.
        #[serde(default)]
        pool_time_ns: i64,
        /// Its wall time, nanoseconds.
        #[serde(default)]
        wall_ns: i64,
        /// Pool time here at the same moment, nanoseconds, as far as that is known: between the question and the answer.
        #[serde(default)]
        here_ns: i64,
        /// From the question to the answer, microseconds.
        #[serde(default)]
        round_trip_us: u64,
        /// Why it could not be read; empty where it was.
        #[serde(default)]
        why: String,
    },
    /// The machine does not crash.
    NotCrashed {
        /// Why.
        why: String,
    },
    /// Answer to an arm.
    Armed {
        /// Number of the trigger.
        n: u32,
        /// The machine is armed.
        armed: bool,
        /// Why not; empty where it is.
        #[serde(default)]
        why: String,
    },
}
