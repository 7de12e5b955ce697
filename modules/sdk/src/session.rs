//! What a test has in hand while it runs: who it is, and what it may say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster_model::{Absence, Dpid, OnError, check_test_event, milliseconds};
use muster_module_protocol::{
    AgentMessage, Context, ContextGang, ContextMember, ContextResource, Corruption, ModuleMessage,
    PEER_WORDS_MAX_BYTES, encode_line,
};
use muster_pattern::Owner;

use crate::ending::Ending;
use crate::error::PeerError;
use crate::gate::Gated;
use crate::link::RECONNECT_MAX;
use crate::meeting_place::MeetingPlace;
use crate::outbox::{Line, Worth};
use crate::parameters::Parameters;
use crate::peers::{Ask, PeerWords, To};
use crate::shared::{Dump, Shared};
use crate::sync::Synced;

/// How long the end of a process may wait for an agent that comes and goes.
const DELIVERY_MAX: Duration = Duration::from_secs(2 * RECONNECT_MAX.as_secs());

/// How long a crash of the machine may take, before what was found is reported after all.
const CRASH_MAX: Duration = Duration::from_secs(5);

/// One test process.
#[derive(Debug)]
pub struct Session {
    context: Context,
    shared: Arc<Shared>,
    agent: Agent,
    /// Announcements of an absence so far.
    announcements: AtomicU64,
}

/// Who hears what a session says.
#[derive(Debug)]
pub(crate) enum Agent {
    /// The agent, over the link.
    Linked,
    /// Nobody: it goes to stdout, but words for a peer, which go to the place where the two meet.
    Absent(Option<MeetingPlace>),
}

impl Session {
    pub(crate) fn new(context: Context, shared: Arc<Shared>, agent: Agent) -> Self {
        Self { context, shared, agent, announcements: AtomicU64::new(0) }
    }

    /// Who and where this process is, and what it was given.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Who it is in the data pattern: in what it writes, and in what it must read.
    #[must_use]
    pub fn owner(&self) -> Owner {
        let dpid: Dpid = self.context.dpid.parse().unwrap_or_default();
        let attempt = u16::try_from(self.context.attempt).unwrap_or(u16::MAX);
        Owner { run: self.context.run, job: dpid.job.0, process: dpid.process.0, attempt }
    }

    /// Its parameters, as it was started with them. Those that change while it runs: [`crate::Live`].
    #[must_use]
    pub fn parameters(&self) -> Parameters<'_> {
        Parameters::new(&self.context.parameters)
    }

    /// How often parameters have changed since the start.
    pub(crate) fn parameter_changes(&self) -> u64 {
        self.shared.parameter_changes()
    }

    /// All parameters as they were said last, and how often they had changed by then.
    pub(crate) fn parameters_now(&self) -> (u64, BTreeMap<String, String>) {
        let (changes, changed) = self.shared.changed_parameters();
        let mut parameters = self.context.parameters.clone();
        parameters.extend(changed);
        (changes, parameters)
    }

    pub(crate) fn wait_for_change(&self, pause: Duration, seen: u64) -> bool {
        self.shared.wait_for_change(pause, seen)
    }

    /// Its resources of a kind.
    pub fn resources<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a ContextResource> {
        self.context.resources.iter().filter(move |resource| resource.kind == kind)
    }

    /// What comes first when data are wrong. A word that this version does not know means what is always safe: to end.
    #[must_use]
    pub fn on_error(&self) -> OnError {
        OnError::parse(&self.context.on_error).unwrap_or_default()
    }

    /// Directory for results that are to be kept.
    #[must_use]
    pub fn results(&self) -> &Path {
        Path::new(&self.context.results)
    }

    /// The seed of this process: the same start with the same seed does the same.
    #[must_use]
    pub fn seed(&self) -> u64 {
        u64::from_str_radix(&self.context.seed, 16).unwrap_or(0)
    }

    /// The gang of this process; none for a module without roles.
    #[must_use]
    pub fn gang(&self) -> Option<&ContextGang> {
        self.context.gang.as_ref()
    }

    /// The other members of its gang.
    pub fn peers(&self) -> impl Iterator<Item = &ContextMember> {
        let members = self.gang().into_iter().flat_map(|gang| &gang.members);
        members.filter(|member| member.dpid != self.context.dpid)
    }

    /// Says words to other members of the gang, once. They are not kept on their way: see [`Self::ask_peer`].
    ///
    /// # Errors
    /// There is nobody to say them to, or they are too long.
    pub fn say_to_peer(&self, to: To<'_>, words: &str) -> Result<(), PeerError> {
        if self.gang().is_none() {
            return Err(PeerError::NoGang);
        }
        let role = match to {
            To::Everyone => "",
            To::Role(role) if self.peers().any(|member| member.role == role) => role,
            To::Role(role) => return Err(PeerError::NoRole(role.to_owned())),
        };
        if words.len() > PEER_WORDS_MAX_BYTES {
            return Err(PeerError::TooLong(words.len()));
        }
        match &self.agent {
            Agent::Linked => self.say(&ModuleMessage::Peer { to: role.into(), data: words.into() }, Worth::Spare),
            Agent::Absent(Some(place)) => place.say(words),
            Agent::Absent(None) => return Err(PeerError::NoGang),
        }
        Ok(())
    }

    /// The next words of a peer; none at the deadline, and none at once when a stop was asked for and nothing waits.
    #[must_use]
    pub fn hear_peer(&self, deadline: Instant) -> Option<PeerWords> {
        self.shared.hear_peer(deadline)
    }

    /// Says words again and again until they are answered: none at the deadline, or when a stop was asked for. `answer` looks at
    /// everything that is heard meanwhile, and gives what it was asked for where that is in it.
    ///
    /// # Errors
    /// There is nobody to say them to, or they are too long.
    pub fn ask_peer<T>(
        &self,
        ask: Ask<'_>,
        mut answer: impl FnMut(&PeerWords) -> Option<T>,
    ) -> Result<Option<T>, PeerError> {
        loop {
            self.say_to_peer(ask.to, ask.words)?;
            let again = ask.deadline.min(Instant::now() + ask.repeat);
            while let Some(heard) = self.hear_peer(again) {
                if let Some(answer) = answer(&heard) {
                    return Ok(Some(answer));
                }
            }
            if self.stopping() || Instant::now() >= ask.deadline {
                return Ok(None);
            }
        }
    }

    /// Says that preparation is over and the work begins.
    pub fn ready(&self) {
        self.say(&ModuleMessage::Ready, Worth::Keep);
    }

    /// Counts work done. Pings report the count; unchanged for long means stalled.
    pub fn iterate(&self, count: u64) {
        self.shared.iterations.fetch_add(count, Ordering::Relaxed);
    }

    /// Whether a stop was asked for: finish what is in hand and return.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.shared.stopping()
    }

    /// When the process will be killed, once a stop was asked for.
    #[must_use]
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.shared.stop_deadline()
    }

    /// Waits until all pulses of this process are free, and returns at once where they are, it has none, or a stop was asked for: to be
    /// called before each iteration. True when it has waited.
    pub fn gate(&self) -> bool {
        self.shared.gate_until(None) == Gated::Waited
    }

    /// As [`Self::gate`], for so long at most: false when it is blocked still.
    #[must_use]
    pub fn gate_within(&self, limit: Duration) -> bool {
        self.shared.gate_until(Instant::now().checked_add(limit)) != Gated::Blocked
    }

    /// One of its pulses blocks it now; never once a stop was asked for.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.shared.is_blocked()
    }

    /// Pauses, and returns early when a pulse begins to block, when pulses change, or when a stop is asked for.
    pub fn wait_for_block(&self, pause: Duration) {
        self.shared.wait_for_block(pause);
    }

    /// Pauses, and returns early with true when a stop is asked for.
    #[must_use]
    pub fn wait(&self, pause: Duration) -> bool {
        self.shared.wait_for_stop(pause)
    }

    /// Reports measured values. Counters are totals since the start and only rise, gauges are levels; names carry their unit as
    /// suffix. The device is a resource id, or empty for the process as a whole.
    pub fn metric(&self, device: &str, counters: &[(&str, f64)], gauges: &[(&str, f64)]) {
        let (counters, gauges) = (map(counters), map(gauges));
        self.say(&ModuleMessage::Metric { device: device.to_owned(), counters, gauges }, Worth::Spare);
    }

    /// Reports something that a person may want to read of.
    pub fn event(&self, name: &str, text: &str) {
        self.say(&ModuleMessage::Event { name: name.to_owned(), text: text.to_owned() }, Worth::Spare);
    }

    /// Says that something has happened that others may wait for, in this job or outside of it (`muster wait-event`): it is kept in the log.
    ///
    /// # Errors
    /// Says why it is no event: its name, or too much data.
    pub fn emit(&self, name: &str, data: &str) -> Result<(), String> {
        check_test_event(name, data)?;
        self.say(&ModuleMessage::Emit { name: name.to_owned(), data: data.to_owned() }, Worth::Keep);
        Ok(())
    }

    /// Reports corrupt data.
    pub fn corruption(&self, corruption: Corruption) {
        self.say(&ModuleMessage::Corruption(corruption), Worth::Keep);
    }

    /// Fires triggers: machines that are armed for them act at once. Say this before anything that takes time.
    pub fn fire(&self, triggers: &[u8], note: &str) {
        for number in triggers {
            self.say(&ModuleMessage::Trigger { n: (*number).into(), note: note.to_owned() }, Worth::Keep);
        }
    }

    /// What comes first when data are wrong, before anything that takes time: the machine crashes where the start asked for it; else the
    /// module's own triggers fire, and those that the start named.
    pub fn wrong_data(&self, triggers: &[u8]) {
        const NOTE: &str = "wrong data";
        let on_error = self.on_error();
        if on_error == OnError::Crash {
            return self.crash(NOTE);
        }
        let named = on_error.triggers().iter().map(|number| number.0);
        let numbers: BTreeSet<u8> = triggers.iter().copied().chain(named).collect();
        self.fire(&numbers.into_iter().collect::<Vec<_>>(), NOTE);
    }

    /// Has the machine crash. Where it does not, that is said, and the test goes on as if nothing had been asked for.
    fn crash(&self, note: &str) {
        self.say(&ModuleMessage::Crash { note: note.to_owned() }, Worth::Keep);
        let why = match self.agent {
            Agent::Linked => self.shared.wait_for_crash(CRASH_MAX),
            Agent::Absent(_) => "no agent is there".to_owned(),
        };
        self.event("not_crashed", &why);
    }

    /// Announces that this machine goes away, and waits until that is logged. A reboot is done by the agent and follows at once, whatever this
    /// process does; what is to survive it belongs into [`Self::saved`] before this is called. A shutdown or a crash is this process's own doing
    /// afterwards. Once the machine is back, the process is started again with the next attempt.
    ///
    /// # Errors
    /// Says why the machine may not go away: the process goes on.
    pub fn expect(&self, absence: Absence, within: Duration, note: &str) -> Result<(), String> {
        if matches!(self.agent, Agent::Absent(_)) {
            return Err("no agent is there".to_owned());
        }
        let n = self.announcements.fetch_add(1, Ordering::Relaxed) + 1;
        let within_ms = milliseconds(within);
        let message = ModuleMessage::Expect { n, what: absence.to_string(), within_ms, note: note.to_owned() };
        let line = encode_line(&message).map_err(|error| error.to_string())?;
        self.shared.announce(n, line);
        self.say(&message, Worth::Keep);
        self.shared.wait_for_answer()
    }

    /// Nobody hears what it says: it runs by hand.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.agent, Agent::Absent(_))
    }

    /// Says an arrival, and waits for the end of the round.
    pub(crate) fn wait_at(&self, (name, round): (&str, u64), line: Vec<u8>) -> Option<Synced> {
        self.shared.arrive((name.to_owned(), round), line.clone());
        self.shared.send(Line { bytes: line, worth: Worth::Keep });
        self.shared.wait_for_round()
    }

    /// Asks the agent something, and waits for its answer; none when a stop was asked for.
    pub(crate) fn ask(&self, about: &str, message: &ModuleMessage) -> Result<Option<AgentMessage>, String> {
        if self.is_alone() {
            return Err("no agent is there".to_owned());
        }
        let line = encode_line(message).map_err(|error| error.to_string())?;
        self.shared.asks.begin(about, line.clone());
        self.shared.send(Line { bytes: line, worth: Worth::Keep });
        Ok(self.shared.asks.wait(about, || self.shared.stopping()))
    }

    pub(crate) fn say_stop_on(&self, name: &str) {
        self.say(&ModuleMessage::StopOn { name: name.to_owned() }, Worth::Keep);
    }

    pub(crate) fn say_leave(&self) {
        self.say(&ModuleMessage::Leave, Worth::Keep);
    }

    /// This machine may go away by the newest announcement, and has not yet.
    #[must_use]
    pub fn expects(&self) -> bool {
        self.shared.leaving()
    }

    /// Directory that later attempts of this process on this machine find again; the work directory where there is none.
    #[must_use]
    pub fn saved(&self) -> &Path {
        let state = if self.context.state.is_empty() { &self.context.work } else { &self.context.state };
        Path::new(state)
    }

    /// Arms this machine for a trigger, for as long as this process lives: `dump-history`, `packet`, `stop-job`, and where the
    /// machine's policy permits it `crash`, `sysrq` with a key, `command` with a name.
    pub fn arm(&self, trigger: u8, action: &str, argument: &str) {
        let (action, argument) = (action.to_owned(), argument.to_owned());
        self.say(&ModuleMessage::Arm { n: trigger.into(), action, argument }, Worth::Keep);
    }

    /// Whether a trigger asks for the history that this process keeps. Ask often: it is cheap.
    #[must_use]
    pub fn take_dump(&self) -> Option<Dump> {
        self.shared.take_dump()
    }

    /// Keeps the history as a result, where a trigger asks for it: `history-<trigger>-<firing>.csv`.
    pub fn dump_if_asked(&self, history: impl FnOnce() -> String) {
        if let Some(Dump { trigger, firing }) = self.take_dump() {
            self.keep_result(&format!("history-{trigger}-{firing}.csv"), history().as_bytes());
        }
    }

    /// Writes a file into the directory for results and asks for it to be kept; what can not be written is said.
    pub fn keep_result(&self, name: &str, content: &[u8]) {
        let path = self.results().join(name);
        match std::fs::write(&path, content) {
            Ok(()) => self.artifact(&std::path::absolute(&path).unwrap_or(path), name),
            Err(error) => self.event("result_not_kept", &format!("{}: {error}", path.display())),
        }
    }

    /// Asks for a file to be kept under a name.
    pub fn artifact(&self, path: &Path, name: &str) {
        let path = path.to_string_lossy().into_owned();
        self.say(&ModuleMessage::Artifact { path, name: name.to_owned() }, Worth::Keep);
    }

    /// Leaves pings unanswered from now on, or answers them again: to play a test that hangs.
    pub fn mute(&self, muted: bool) {
        self.shared.muted.store(muted, Ordering::Relaxed);
    }

    /// Says done and waits until the agent has it; false when it has not.
    pub(crate) fn done(&self, ending: &Ending) -> bool {
        self.say(&ending.message(), Worth::Done);
        matches!(self.agent, Agent::Absent(_)) || self.shared.wait_for_delivery(DELIVERY_MAX)
    }

    fn say(&self, message: &ModuleMessage, worth: Worth) {
        match encode_line(message) {
            Ok(bytes) if matches!(self.agent, Agent::Absent(_)) => print_line(&bytes),
            Ok(bytes) => self.shared.send(Line { bytes, worth }),
            Err(error) => eprintln!("muster: a message is not sent: {error}"),
        }
    }
}

fn map(values: &[(&str, f64)]) -> BTreeMap<String, f64> {
    values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// A reader of our stdout that has gone ends no test.
fn print_line(bytes: &[u8]) {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let _: std::io::Result<()> = stdout.write_all(bytes).and_then(|()| stdout.flush());
}
