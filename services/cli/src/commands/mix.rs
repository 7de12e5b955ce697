//! `muster mix run`: carries the decisions of a mix out, one after another, and ends everything that it started.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_model::{Refusal, RefusalCode};
use muster_proto::v1::{self, job_command};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Session, set, start, stop};
use crate::arguments::MixCommand;
use crate::exit::{Failure, one_line};
use crate::mix::{Action, Decision, Plan, Sequence, parse};
use crate::output::{self, Format};
use crate::times::short;

/// A scheduler that is away is waited for so long: what was decided is then done, and the mix goes on.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// A decision that is later than this moves all that follow by as much, so that they keep their pauses.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How long what was started may take to end.
const END_MAX: Duration = Duration::from_secs(5 * 60);

pub(super) async fn run(session: &Session, command: MixCommand) -> Result<(), Failure> {
    let MixCommand::Run(arguments) = command;
    if !session.format.is_for_streams() {
        return Err(Failure::Usage("mix: its decisions are no one table; `--output json` is for programs".into()));
    }
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| format!("read the mix {path}"))?;
    let plan = parse(&text).map_err(|why| Failure::Usage(format!("{path}: {why}")))?;
    let seed = arguments.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 1);
    let within = |decision: &Decision| Duration::from_millis(decision.at_ms) <= arguments.duration;
    let decisions = Sequence::new(&plan, seed).take_while(within);
    eprintln!("muster: mix {path} with seed {seed} for {}", short(arguments.duration));
    if arguments.dry_run {
        return decisions.into_iter().try_for_each(|decision| tell(session, &decision, json!({})));
    }
    let session = Session::of(session.client.clone().within(session.client.timeout().max(PATIENCE)), session.format);
    let mut mix =
        Mix { session: &session, plan: &plan, jobs: BTreeMap::new(), pulses: BTreeSet::new(), done: 0, refused: 0 };
    let ended = mix.carry_out(decisions, arguments.duration).await;
    let stopped = mix.end().await;
    eprintln!("muster: mix: {} decisions, {} of them refused; seed {seed} repeats them", mix.done, mix.refused);
    ended.and(stopped)
}

/// One line for a decision, and what became of it.
fn tell(session: &Session, decision: &Decision, became: serde_json::Value) -> Result<(), Failure> {
    if session.format == Format::Json {
        let mut line = serde_json::to_value(decision).map_err(anyhow::Error::new)?;
        if let (Some(line), serde_json::Value::Object(became)) = (line.as_object_mut(), became) {
            line.extend(became);
        }
        return output::write(&format!("{line}\n"));
    }
    let became = match (became.get("started"), became.get("refused").and_then(serde_json::Value::as_str)) {
        (Some(job), _) => format!(" -> job {job}"),
        (None, Some(why)) => format!(" -> refused: {why}"),
        (None, None) => String::new(),
    };
    output::write(&format!("{decision}{became}\n"))
}

/// A mix that runs.
struct Mix<'a> {
    session: &'a Session,
    plan: &'a Plan,
    /// Job number of each slot whose start was accepted and that was not stopped yet.
    jobs: BTreeMap<u32, u32>,
    /// Pulses that it defined.
    pulses: BTreeSet<u32>,
    done: u64,
    refused: u64,
}

impl Mix<'_> {
    /// Carries decisions out at their times, until they end, a signal comes, or the scheduler is away for too long.
    async fn carry_out(&mut self, decisions: impl Iterator<Item = Decision>, whole: Duration) -> Result<(), Failure> {
        let mut interrupted = interruption()?;
        let mut begun = Instant::now();
        for decision in decisions {
            let due = Duration::from_millis(decision.at_ms);
            if !wait_until(&mut interrupted, begun, due).await {
                return Ok(());
            }
            let late = begun.elapsed().saturating_sub(due);
            if late > LATE_MAX {
                begun += late;
            }
            self.carry_out_one(&decision).await?;
        }
        wait_until(&mut interrupted, begun, whole).await;
        Ok(())
    }

    async fn carry_out_one(&mut self, decision: &Decision) -> Result<(), Failure> {
        self.done += 1;
        let became = match self.perform(&decision.action).await {
            Ok(Some(job)) => json!({ "started": job }),
            Ok(None) => json!({}),
            Err(Failure::Refused(refusal)) if refusal.code != RefusalCode::Unavailable => {
                self.refused += 1;
                json!({ "refused": one_line(&refusal.why) })
            }
            Err(failure) => return Err(failure),
        };
        tell(self.session, decision, became)
    }

    /// Performs a decision; the number of a job that it started.
    async fn perform(&mut self, action: &Action) -> Result<Option<u32>, Failure> {
        match action {
            Action::Start { slot, job, processes, seed, parameters, pulses } => {
                let command = self.start(job, *processes, *seed, parameters, pulses)?;
                let what = format!("start {job}");
                let started = start::given(self.session, &what, job_command::Kind::Start(command)).await?;
                self.jobs.insert(*slot, started.job);
                return Ok(Some(started.job));
            }
            Action::Stop { slot } => {
                let job = self.jobs.remove(slot).ok_or_else(|| never_started(*slot))?;
                self.stop(vec![job]).await?;
            }
            Action::Change { slot, parameters } => {
                self.change(*slot, None, pairs(parameters)).await?;
            }
            Action::Pulses { slot, pulses } => {
                self.change(*slot, Some(pulses.iter().map(|pulse| u32::from(*pulse)).collect()), Vec::new()).await?;
            }
            Action::Pulse { pulse, block_ms, free_ms, phase_ms } => {
                let ns = |ms: u64| ms * 1_000_000;
                let number = u32::from(*pulse);
                let (block_ns, free_ns, phase_ns) = (ns(*block_ms), ns(*free_ms), ns(*phase_ms));
                let pulse = Some(v1::Pulse { number, block_ns, free_ns, phase_ns });
                let kind = job_command::Kind::SetPulse(v1::SetPulse { pulse });
                self.session.client.job_command(&format!("set pulse {number}"), kind).await?;
                self.pulses.insert(number);
            }
        }
        Ok(None)
    }

    fn start(
        &self,
        name: &str,
        processes: u32,
        seed: u64,
        parameters: &BTreeMap<String, String>,
        pulses: &[u8],
    ) -> Result<v1::Start, Failure> {
        let job = self.plan.jobs.iter().find(|job| job.name == name).context("find a job of the mix")?;
        Ok(v1::Start {
            module: job.module.clone(),
            processes,
            selector: job.on.clone(),
            resource_selector: job.resources.clone(),
            reservation: job.reservation,
            parameters: pairs(parameters),
            seed,
            pulses: pulses.iter().map(|pulse| u32::from(*pulse)).collect(),
            ..v1::Start::default()
        })
    }

    async fn change(&self, slot: u32, pulses: Option<Vec<u32>>, parameters: Vec<v1::KeyValue>) -> Result<(), Failure> {
        let job = *self.jobs.get(&slot).ok_or_else(|| never_started(slot))?;
        set::change(self.session, &format!("change job {job}"), job, pulses, parameters).await.map(drop)
    }

    async fn stop(&self, jobs: Vec<u32>) -> Result<(), Failure> {
        let kind = job_command::Kind::Stop(v1::Stop { jobs, ..v1::Stop::default() });
        self.session.client.job_command("stop jobs of the mix", kind).await.map(drop)
    }

    /// Stops what still runs, takes the pulses away, and waits until all has ended.
    async fn end(&mut self) -> Result<(), Failure> {
        let live: Vec<u32> = std::mem::take(&mut self.jobs).into_values().collect();
        let mut stopped = Vec::new();
        for job in live {
            match self.stop(vec![job]).await {
                Ok(()) => stopped.push(job),
                // It ended long ago.
                Err(Failure::Refused(refusal)) if refusal.code == RefusalCode::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        if !self.pulses.is_empty() {
            let numbers = std::mem::take(&mut self.pulses).into_iter().collect();
            let kind = job_command::Kind::ClearPulses(v1::ClearPulses { numbers, all: false });
            match self.session.client.job_command("clear the pulses of the mix", kind).await {
                Ok(_) | Err(Failure::Refused(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        stop::wait_ended(self.session, "end the mix", &stopped, &[], END_MAX).await
    }
}

fn pairs(parameters: &BTreeMap<String, String>) -> Vec<v1::KeyValue> {
    parameters.iter().map(|(key, value)| v1::KeyValue { key: key.clone(), value: value.clone() }).collect()
}

/// Its start was refused, so there is nothing to stop or change.
fn never_started(slot: u32) -> Failure {
    let why = format!("#{slot} was not started");
    Refusal::new(RefusalCode::NotFound, "go on with the mix", why, "the mix goes on").into()
}

/// Waits until a time of the mix; false when it is to end before.
async fn wait_until(interrupted: &mut watch::Receiver<bool>, begun: Instant, due: Duration) -> bool {
    tokio::select! {
        biased;
        _ = interrupted.wait_for(|interrupted| *interrupted) => false,
        () = tokio::time::sleep_until((begun + due).into()) => true,
    }
}

/// Ctrl-C or SIGTERM: the mix ends what it started, and then itself.
fn interruption() -> Result<watch::Receiver<bool>, Failure> {
    let listen = |kind| signal(kind).context("listen for signals");
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = tell.closed() => return,
        }
        eprintln!("\nmuster: mix: ending what was started");
        tell.send_replace(true);
    });
    Ok(told)
}
