//! The trials: lives of a module under a played agent, and what each shows of the contract.

use std::fs::{self, File};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use muster_model::milliseconds;
use muster_model::quantity::parse_duration;
use muster_module_protocol::{AgentMessage, Manifest, ModuleMessage, Outcome, PROTOCOL, Status, environment};

use super::agent::{Agent, Event};
use super::context::{DPID, RUN, context};
use super::metrics::Metrics;
use super::subject::Subject;
use super::{Found, Report, Tested};

/// How long a hello, and an answer to a ping, may take.
const HELLO_MAX: Duration = Duration::from_secs(10);
const PONG_MAX: Duration = Duration::from_secs(1);
/// How long the preparation may take before the work begins.
const READY_MAX: Duration = Duration::from_secs(30);
/// Pings of a trial, and the time between two of them: together long enough for metrics.
const PINGS: u64 = 6;
const PING_INTERVAL: Duration = Duration::from_millis(400);
/// How long a module is watched that waits for its done to be kept.
const KEPT_PAUSE: Duration = Duration::from_millis(300);
/// How long a new connection, and a done that is said again, may take; and the exit after an abort.
const AGAIN_MAX: Duration = Duration::from_secs(10);
const ABORT_MAX: Duration = Duration::from_secs(2);
/// How long an injected fault may take to be found.
const INJECT_MAX: Duration = Duration::from_secs(30);
/// Classes that a module may say it injects.
const CLASSES: [&str; 11] = [
    "BITFLIP",
    "STALE",
    "MISDIRECTED",
    "FOREIGN",
    "WRONG_FORM",
    "ZERO",
    "TORN",
    "SHIFTED",
    "DROPPED",
    "DUPLICATED",
    "REORDERED",
];

/// All trials of a module.
pub(super) struct Trials<'a> {
    pub(super) tested: &'a Tested,
    pub(super) report: &'a mut Report,
}

/// One life of the module.
struct Life {
    agent: Agent,
    subject: Subject,
    attempt: u32,
    metrics: Metrics,
    /// The first line that is no message.
    malformed: Option<String>,
    /// What a first message was wrong in.
    hello: Option<Result<(), String>>,
    corruptions: Vec<String>,
    iterations: Vec<u64>,
    done: Option<Done>,
    _directory: tempfile::TempDir,
}

#[derive(Debug, Clone)]
struct Done {
    status: Status,
    result: Outcome,
    reason: String,
}

impl Trials<'_> {
    pub(super) fn run(&mut self) -> anyhow::Result<()> {
        self.describe();
        self.conversation()?;
        self.reconnect()?;
        self.abort()?;
        self.inject()
    }

    fn describe(&mut self) {
        let mut command = Command::new(&self.tested.program);
        command.arg("describe").env_remove(environment::SOCKET).env(environment::MODULE, &self.tested.manifest.name);
        let output = command.stdin(std::process::Stdio::null()).output();
        let described = output.ok().filter(|output| output.status.success());
        match described.map(|output| serde_json::from_slice::<Manifest>(&output.stdout)) {
            Some(Ok(manifest)) if manifest == self.tested.manifest => {
                self.report.say(Found::Keeps, "describe", "prints the manifest");
            }
            Some(Ok(_)) => self.report.say(Found::Breaks, "describe", "prints another manifest than module.toml's"),
            Some(Err(_)) | None => self.report.say(Found::Lacks, "describe", "prints no manifest as JSON"),
        }
    }

    fn life(&self, attempt: u32, changed: &[(&str, &str)]) -> anyhow::Result<Life> {
        let directory = tempfile::tempdir().context("make a work directory")?;
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("results")).context("make a directory for results")?;
        let context = context(self.tested, attempt, changed, directory.path());
        fs::write(context.path(), serde_json::to_vec_pretty(&context)?).context("write the context")?;
        let agent = Agent::listen(&at("agent.sock")).context("listen for the module")?;
        let variables = context.environment(&at("agent.sock"));
        let log = File::create(at("log")).context("make a log")?;
        let subject = Subject::start(&self.tested.program, &variables, directory.path(), log);
        Ok(Life {
            agent,
            subject: subject.with_context(|| format!("start {}", self.tested.program.display()))?,
            attempt,
            metrics: Metrics::default(),
            malformed: None,
            hello: None,
            corruptions: Vec::new(),
            iterations: Vec::new(),
            done: None,
            _directory: directory,
        })
    }

    fn grace(&self) -> Duration {
        parse_duration(&self.tested.manifest.stop_grace).unwrap_or(HELLO_MAX)
    }

    /// From hello to exit, as it goes every day.
    fn conversation(&mut self) -> anyhow::Result<()> {
        let mut life = self.life(1, &[])?;
        let hello = life.begin();
        let begun = hello.is_ok();
        self.report.check("hello", "said first, and rightly", hello);
        if !begun {
            return Ok(());
        }
        if self.tested.manifest.roles.is_empty() {
            self.report.check("ready", "said when the work began", life.ready());
        } else {
            self.report.say(Found::Lacks, "ready", "a gang's: nobody plays the other roles here");
        }
        self.report.check("ping", "each answered within a second, unknown words passed over", life.pings());
        self.say_measured(&life);
        self.stop(&mut life)
    }

    fn say_measured(&mut self, life: &Life) {
        let metrics = &life.metrics;
        match (&metrics.wrong, metrics.count) {
            (Some(wrong), _) => self.report.say(Found::Breaks, "metric", wrong.clone()),
            (None, 0) => self.report.say(Found::Lacks, "metric", "none in two seconds"),
            (None, _) => self.report.say(Found::Keeps, "metric", "names, units and counters as they should be"),
        }
        let iterations = &life.iterations;
        let rose = iterations.first() < iterations.last();
        match (iterations.is_sorted(), rose, self.tested.manifest.stall.as_str()) {
            (false, _, _) => self.report.say(Found::Breaks, "iterations", format!("they fall: {iterations:?}")),
            (true, true, _) => self.report.say(Found::Keeps, "iterations", "they rise with the work"),
            (true, false, "") => self.report.say(Found::Lacks, "iterations", "they did not rise in two seconds"),
            (true, false, stall) => {
                let text =
                    format!("they did not rise in two seconds, and the manifest calls that stalled after {stall}");
                self.report.say(Found::Lacks, "iterations", text);
            }
        }
    }

    fn stop(&mut self, life: &mut Life) -> anyhow::Result<()> {
        let (grace, begin) = (self.grace(), Instant::now());
        if life.done.is_none() {
            life.agent.say(&AgentMessage::Stop { grace_ms: milliseconds(grace) });
            life.hear_until(begin + grace, |life| life.done.is_some());
            let kept = format!(
                "obeyed after {:.1} s of {} of grace",
                begin.elapsed().as_secs_f64(),
                self.tested.manifest.stop_grace
            );
            let late = format!("no done within its grace of {}", self.tested.manifest.stop_grace);
            self.report.check("stop", &kept, life.done.as_ref().map(|_| ()).ok_or(late));
        } else {
            self.report.say(
                Found::Lacks,
                "stop",
                "it ended by itself before; give a --param that lets it run for longer",
            );
        }
        self.report.check("lines", "each a message of at most 64 KiB", life.malformed.take().map_or(Ok(()), Err));
        let Some(done) = life.done.clone() else { return Ok(()) };
        self.report.check("done", "a status and result that go together", done.legal());
        let waits = if life.subject.wait(Instant::now() + KEPT_PAUSE).is_none() {
            Ok(())
        } else {
            Err("it ends before its done is kept".to_owned())
        };
        self.report.check("kept", "waited for", waits);
        life.agent.say(&AgentMessage::Kept);
        let deadline = Instant::now() + grace;
        let ended = life.subject.wait(deadline);
        let exit =
            ended.map_or_else(|| Err("it does not exit after its done was kept".to_owned()), |ended| done.exit(ended));
        self.report.check("exit", "the exit code that goes with its done", exit);
        self.report.check("group", "empty after the exit, and nobody forked away", left(&life.subject));
        Ok(())
    }

    /// An agent's restart, and a done that nobody kept.
    fn reconnect(&mut self) -> anyhow::Result<()> {
        let mut life = self.life(2, &[])?;
        if life.begin().is_err() {
            return Ok(());
        }
        life.hear_until(Instant::now() + PING_INTERVAL, |life| life.done.is_some());
        life.reconnect_now();
        match life.hello.take() {
            Some(hello) => {
                self.report.check("reconnect", "it goes on, and says hello first on the new connection", hello)
            }
            None => {
                self.report.say(Found::Lacks, "reconnect", "a restart of its agent ends it");
                return Ok(());
            }
        }
        life.agent.say(&AgentMessage::Start);
        life.agent.say(&AgentMessage::Stop { grace_ms: milliseconds(self.grace()) });
        life.hear_until(Instant::now() + self.grace(), |life| life.done.is_some());
        if life.done.take().is_none() {
            self.report.say(Found::Breaks, "done again", "no done after a stop on the new connection");
            return Ok(());
        }
        life.reconnect_now();
        life.hear_until(Instant::now() + AGAIN_MAX, |life| life.done.is_some());
        let again = life.done.as_ref().map(|_| ()).ok_or("a done that was not kept is not said again".to_owned());
        self.report.check("done again", "said again where it was not kept", again);
        life.agent.say(&AgentMessage::Kept);
        life.subject.wait(Instant::now() + self.grace());
        Ok(())
    }

    fn abort(&mut self) -> anyhow::Result<()> {
        let mut life = self.life(3, &[])?;
        if life.begin().is_err() || life.done.is_some() {
            return Ok(());
        }
        life.agent.say(&AgentMessage::Abort);
        let ended = life.subject.wait(Instant::now() + ABORT_MAX);
        let exit = ended.map(|_| ()).ok_or("it does not exit at once".to_owned());
        self.report.check("abort", "exits at once", exit);
        Ok(())
    }

    /// Every class of fault that it says it can make.
    fn inject(&mut self) -> anyhow::Result<()> {
        let parameters = &self.tested.manifest.parameters;
        let known = parameters.iter().find(|parameter| parameter.name == "inject");
        let Some(known) = known.filter(|_| self.tested.manifest.roles.is_empty()) else {
            self.report.say(Found::Lacks, "inject", "no parameter `inject`, or a gang's");
            return Ok(());
        };
        let words: Vec<&str> =
            known.help.split(|character: char| !character.is_ascii_uppercase() && character != '_').collect();
        let classes: Vec<&str> = CLASSES
            .into_iter()
            .filter(|class| words.contains(class) || known.values.iter().any(|value| value == class))
            .collect();
        let mut missed = Vec::new();
        for (attempt, class) in (4..).zip(&classes) {
            let mut life = self.life(attempt, &[("inject", class)])?;
            if life.begin().is_ok() {
                life.hear_until(Instant::now() + INJECT_MAX, |life| life.done.is_some());
            }
            let failed = life.done.as_ref().is_some_and(|done| done.result == Outcome::Fail);
            if life.corruptions != [*class] || !failed {
                missed.push(format!("{class} (reported: {}, failed: {failed})", life.corruptions.join(" ")));
            }
            life.agent.say(&AgentMessage::Kept);
            life.subject.wait(Instant::now() + ABORT_MAX);
        }
        let result = if missed.is_empty() {
            Ok(())
        } else {
            Err(format!("not found or not so classified: {}", missed.join(", ")))
        };
        self.report.check("inject", &format!("found and classified: {}", classes.join(" ")), result);
        Ok(())
    }
}

impl Life {
    /// Waits for the hello and says start.
    fn begin(&mut self) -> Result<(), String> {
        self.hear_until(Instant::now() + HELLO_MAX, |life| life.hello.is_some());
        let hello = self.hello.take();
        self.agent.say(&AgentMessage::Start);
        hello.unwrap_or_else(|| {
            let ended = self.subject.ended();
            Err(ended
                .map_or_else(|| "none within ten seconds".to_owned(), |ended| format!("none: it ended by {ended}")))
        })
    }

    fn ready(&mut self) -> Result<(), String> {
        let mut ready = false;
        let deadline = Instant::now() + READY_MAX;
        while !ready && self.done.is_none() && Instant::now() < deadline && self.subject.ended().is_none() {
            let message = self.hear(deadline.min(Instant::now() + PONG_MAX));
            ready = matches!(message, Some(ModuleMessage::Ready));
        }
        match &self.done {
            _ if ready => Ok(()),
            Some(done) => Err(format!("never said: it is done, {}", done.reason)),
            None => Err("not said within 30 seconds".into()),
        }
    }

    /// Pings, with words between them that nobody knows.
    fn pings(&mut self) -> Result<(), String> {
        for n in (1..PINGS).chain([u64::MAX >> 11]) {
            self.agent.say_line(b"{\"type\":\"weather\",\"degrees\":21}\n");
            self.agent.say_line(format!("{{\"type\":\"ping\",\"n\":{n},\"more\":[1]}}\n").as_bytes());
            let (sent, mut answered) = (Instant::now(), false);
            while !answered && self.done.is_none() && sent.elapsed() < PONG_MAX {
                match self.hear(sent + PONG_MAX) {
                    Some(ModuleMessage::Pong { n: answer, iterations }) => {
                        self.iterations.push(iterations);
                        if answer != n {
                            return Err(format!("ping {n} was answered as {answer}"));
                        }
                        answered = true;
                    }
                    Some(_) => {}
                    None if self.subject.ended().is_some() => break,
                    None => {}
                }
            }
            if self.done.is_some() {
                return Ok(());
            }
            if !answered {
                return Err(format!("ping {n} was not answered within a second"));
            }
            self.hear_until(sent + PING_INTERVAL, |life| life.done.is_some());
        }
        Ok(())
    }

    /// Ends the connection and waits for the next one and its hello.
    fn reconnect_now(&mut self) {
        self.hello = None;
        self.agent.hang_up();
        self.hear_until(Instant::now() + AGAIN_MAX, |life| life.hello.is_some());
    }

    /// Takes in what is said until a condition holds, or then; or the process has ended and nothing more comes.
    fn hear_until(&mut self, deadline: Instant, mut is_enough: impl FnMut(&Self) -> bool) {
        const LOOK: Duration = Duration::from_millis(100);
        while !is_enough(self) && Instant::now() < deadline {
            let has_ended = self.subject.ended().is_some();
            let event = self.hear(deadline.min(Instant::now() + LOOK));
            if event.is_none() && has_ended {
                return;
            }
        }
    }

    /// The next message, if one comes until then. Everything is noted.
    fn hear(&mut self, deadline: Instant) -> Option<ModuleMessage> {
        match self.agent.next(deadline)? {
            Event::Connected(_) | Event::Closed => None,
            Event::Malformed(line) => {
                self.malformed.get_or_insert(line);
                None
            }
            Event::Said(message) => {
                self.note(message.as_ref());
                message
            }
        }
    }

    fn note(&mut self, message: Option<&ModuleMessage>) {
        if self.hello.is_none() && self.agent.is_first() {
            self.hello = Some(self.check_hello(message));
        }
        match message {
            Some(ModuleMessage::Metric { device, counters, gauges }) => self.metrics.add(device, counters, gauges),
            Some(ModuleMessage::Corruption(corruption)) => self.corruptions.push(corruption.class.clone()),
            Some(ModuleMessage::Done { status, result, reason, r#final, .. }) => {
                self.metrics.add_totals(r#final);
                self.done = Some(Done { status: *status, result: *result, reason: reason.clone() });
            }
            _ => {}
        }
    }

    fn check_hello(&self, message: Option<&ModuleMessage>) -> Result<(), String> {
        let Some(ModuleMessage::Hello { protocol, run, dpid, attempt, pid }) = message else {
            return Err("the first message of a connection is another one".into());
        };
        let said = format!("protocol {protocol} run {run} dpid {dpid} attempt {attempt} pid {pid}");
        let (attempt_wanted, pid_wanted) = (self.attempt, self.subject.pid());
        let wanted = format!("protocol {PROTOCOL} run {RUN} dpid {DPID} attempt {attempt_wanted} pid {pid_wanted}");
        if said == wanted { Ok(()) } else { Err(format!("it says {said}, and is {wanted}")) }
    }
}

impl Done {
    fn legal(&self) -> Result<(), String> {
        let is_legal = matches!(
            (self.status, self.result),
            (Status::Complete, Outcome::Pass | Outcome::Fail) | (Status::Error | Status::Skip, Outcome::Na)
        );
        if !is_legal {
            return Err(format!("{:?} and {:?} do not go together", self.status, self.result));
        }
        let needs_reason = self.result != Outcome::Pass && self.reason.is_empty();
        if needs_reason { Err(format!("{:?} without a reason", self.status)) } else { Ok(()) }
    }

    fn exit(&self, ended: ExitStatus) -> Result<(), String> {
        let wanted = match (self.status, self.result) {
            (Status::Complete, Outcome::Fail) => 1,
            (Status::Error, _) => 2,
            (Status::Complete | Status::Skip, _) => 0,
        };
        if ended.code() == Some(wanted) {
            return Ok(());
        }
        Err(format!("it ended by {ended}, and its done goes with exit code {wanted}"))
    }
}

fn left(subject: &Subject) -> Result<(), String> {
    match subject.left() {
        (0, 0) => Ok(()),
        (in_group, 0) => Err(format!("{in_group} processes go on in its group after its exit")),
        (_, away) => Err(format!("{away} processes left its group, and go on after its exit")),
    }
}
