//! Starting: intents on the disk, then the answer, then places, then the keeper. In this order, whatever comes between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use muster_model::{Position, ProcessId, ResourceId, Verdict, milliseconds};
use muster_proto::v1::{AgentRefusal, AgentReply, ErrandRecord, JobOrders, RefusedProcess, StartSpec, SyncAnswer};

use super::changes::{Change, Wanted};
use super::probing::is_usable;
use super::{Agent, Input, Process};
use crate::artifacts::Artifacts;
use crate::core::errands::Errands;
use crate::core::gang::Gang;
use crate::core::life::{Event, Life, Stage};
use crate::core::orders::{Expected, Ground, Order, Refused, Step, Way, step};
use crate::core::outcome::Said;
use crate::core::words::Waiting;
use crate::disk::intents::{Final, Intent, Line, pair, said_line};
use crate::keeper::executable::Checked;
use crate::keeper::protocol::{KeeperLife, Limits, SPAWN_BATCH_MAX, Spawn, ToKeeper};
use crate::policy::{Allowance, PolicyFile};
use crate::users::{self, Users};
use crate::workplace::{Common, Launch};
use crate::{checkout, metrics, wire, workplace};

/// Processes that are known at once at most, ended and not forgotten ones included.
const KNOWN_MAX: usize = 100_000;
/// Why a process is stopped that is ordered to stop.
const STOPPED: &str = "stopped";

/// What orders come to.
#[derive(Default)]
struct Plan {
    intents: Vec<Intent>,
    starts: Vec<(usize, Vec<Order>)>,
    stops: Vec<(ProcessId, Duration)>,
    refused: Vec<RefusedProcess>,
    /// Gangs as they are now, of new processes and of known ones.
    gangs: Vec<(ProcessId, Gang)>,
    /// Who started them.
    users: Vec<(ProcessId, String)>,
    /// Known processes that have other pulses or parameters from here on.
    changes: Vec<(ProcessId, Change)>,
    /// What was decided of announcements.
    expected: Vec<(ProcessId, Expected)>,
    /// What came of arrivals at sync points.
    synced: Vec<(ProcessId, SyncAnswer)>,
    /// What is known of errands, of processes that have any.
    errands: Vec<(ProcessId, Vec<ErrandRecord>)>,
}

impl Agent {
    /// Takes orders that lead to a generation. One record for all of them, and one fsync where something is to be started: a
    /// generation that the end of the machine takes back only has the whole list fetched, and a stop waits for no disk.
    pub(super) fn take_orders(
        &mut self,
        jobs: &[JobOrders],
        forget: &[muster_proto::v1::ProcessId],
        generation: Position,
        way: Way,
    ) -> AgentReply {
        self.changed = true;
        let mut plan = self.plan(jobs, way);
        if generation != self.job_generation || !plan.intents.is_empty() {
            let line = Line::Intents { intents: plan.intents.clone(), generation: pair(generation) };
            let written =
                if plan.intents.is_empty() { self.intents.write_now(&line) } else { self.intents.write_durably(&line) };
            if let Err(error) = written {
                tracing::error!(%error, "intents can not be written: nothing is started");
                // What is to end does so all the same: that may be what makes room.
                self.stop_all(plan.stops);
                let detail = format!("intents can not be written to the disk: {error}");
                return AgentReply { refusal: AgentRefusal::Invalid.into(), detail, ..AgentReply::default() };
            }
            self.job_generation = generation;
        }
        for intent in std::mem::take(&mut plan.intents) {
            let id = intent.id();
            self.processes.insert(id, new_process(intent));
            // What the attempts before it kept is its own now.
            self.supersede(id);
        }
        for (id, change) in std::mem::take(&mut plan.changes) {
            self.change(id, change);
        }
        for (id, expected) in std::mem::take(&mut plan.expected) {
            self.expected(id, expected);
        }
        for (id, answer) in std::mem::take(&mut plan.synced) {
            self.sync_answered(id, answer);
        }
        for (id, user) in plan.users {
            if let Some(process) = self.processes.get_mut(&id) {
                process.user = Some(user);
            }
        }
        for (id, records) in std::mem::take(&mut plan.errands) {
            self.errands_told(id, &records);
        }
        for (id, gang) in plan.gangs {
            if let Some(process) = self.processes.get_mut(&id) {
                process.gang = Some(gang);
            }
        }
        ::metrics::counter!(metrics::REFUSED).increment(plan.refused.len() as u64);
        self.stop_all(plan.stops);
        self.forget(forget.iter().map(|id| (*id).into()).collect());
        for (job, orders) in plan.starts {
            self.prepare(&jobs[job], orders);
        }
        AgentReply { refused: plan.refused, ..AgentReply::default() }
    }

    /// Stops processes by order. Why they end is written before they hear of it, so that the agent's end does not take that along; what
    /// can not be written waits for room.
    fn stop_all(&mut self, stops: Vec<(ProcessId, Duration)>) {
        let is_new = |(id, _): &(ProcessId, Duration)| self.processes.get(id).is_some_and(|it| !it.life.is_ending());
        let stops: Vec<(ProcessId, Duration)> = stops.into_iter().filter(is_new).collect();
        for (id, grace) in &stops {
            let line = Line::Stop { key: (*id).into(), grace_ms: milliseconds(*grace), reason: STOPPED.into() };
            self.intents.write(line);
        }
        if let Err(error) = self.intents.flush() {
            tracing::error!(%error, "stops can not be written: they are done all the same");
        }
        for (id, grace) in stops {
            self.happen(id, Event::Stop { grace, reason: STOPPED.into() });
        }
    }

    fn plan(&self, jobs: &[JobOrders], way: Way) -> Plan {
        let ground = self.ground();
        let mut plan = Plan::default();
        for (place, job) in jobs.iter().enumerate() {
            let (mut starts, wanted) = (Vec::new(), Wanted::of(job.spec.as_ref()));
            let full = self.processes.len() + plan.intents.len() >= KNOWN_MAX;
            for order in wire::orders(job) {
                plan.errands.extend((!order.errands.is_empty()).then(|| (order.id, order.errands.clone())));
                plan.synced.extend(order.synced.clone().map(|answer| (order.id, answer)));
                plan.expected.extend(order.expected.clone().map(|expected| (order.id, expected)));
                plan.users.extend(job.spec.as_ref().map(|spec| (order.id, spec.actor.clone())));
                plan.gangs.extend(order.gang.clone().map(|gang| (order.id, gang)));
                let change = wanted.as_ref().and_then(|wanted| self.change_of(order.id, wanted));
                plan.changes.extend(change.map(|change| (order.id, change)));
                match step(&ground, &order, self.processes.contains_key(&order.id), way) {
                    Step::Nothing => {}
                    Step::Stop(grace) => plan.stops.push((order.id, grace)),
                    Step::Refuse(refused) => self.refuse(&mut plan, order.id, refused),
                    Step::Start if full => self.refuse(&mut plan, order.id, Refused::Draining),
                    Step::Start => {
                        // A stray that is not here needs no end.
                        let intent = intent(job.spec.as_ref(), wanted.as_ref(), &order, self.keeping.life);
                        let Some(intent) = intent else { continue };
                        plan.intents.push(intent);
                        match order.stop {
                            Some(grace) => plan.stops.push((order.id, grace)),
                            None => starts.push(order),
                        }
                    }
                }
            }
            if !starts.is_empty() {
                plan.starts.push((place, starts));
            }
        }
        plan
    }

    fn refuse(&self, plan: &mut Plan, id: ProcessId, refused: Refused) {
        tracing::info!(process = %id, why = refused.reason(), "a start is refused");
        plan.refused.push(wire::refused(id, refused));
    }

    fn ground(&self) -> Ground {
        let usable = self.inventory.resources.iter().filter(|resource| is_usable(resource));
        let ids = usable.filter_map(|resource| ResourceId::new(&resource.id).ok());
        Ground {
            fenced: self.fence.fenced_epoch(),
            epoch: self.fence.epoch(),
            closed: self.fence.refuses_starts(),
            machine_generation: self.fence.machine_generation(),
            machine_protected: self.fence.machine_protected,
            protected: self.fence.protected.clone(),
            preparing: self.preparing.resource().map(str::to_owned),
            existing: ids.collect::<BTreeSet<_>>(),
        }
    }

    /// Makes places in the background, a batch at a time; each batch goes to the keeper when it is ready.
    fn prepare(&mut self, job: &JobOrders, orders: Vec<Order>) {
        self.rush.goes_on();
        self.share_resources();
        let spec = job.spec.clone().unwrap_or_default();
        let preparation = Preparation {
            common: Common {
                spec,
                machine: self.settings.machine.clone(),
                inventory: self.inventory.clone(),
                state: self.settings.state.clone(),
                tokens: self.tokens.clone(),
                home: self.settings.home.clone(),
            },
            artifacts: self.artifacts.clone(),
            policy: self.containing.file.clone(),
            users: self.containing.users.clone(),
            inputs: self.inputs.clone(),
        };
        tokio::spawn(preparation.run(orders));
    }

    /// Places are ready: what is still wanted is asked of the keeper.
    pub(super) fn prepared(&mut self, made: Made) {
        let Made { ready, failed, left } = made;
        for (id, reason) in failed {
            self.happen(id, Event::NotStarted(reason));
        }
        for (id, reason) in left {
            let said = Said { verdict: Verdict::Skip, reason };
            if self.processes.get(&id).is_some_and(|process| process.life.stage() == Stage::Preparing) {
                self.intents.write(said_line(id.into(), &said, &Final::default()));
                self.happen(id, Event::SetUp(said));
            }
        }
        if self.keeping.ready {
            self.spawn(ready);
        } else {
            self.held_back.extend(ready);
        }
    }

    /// Asks the keeper to start what is still to be started: it may have been stopped or fenced meanwhile.
    pub(super) fn spawn(&mut self, ready: Vec<(ProcessId, Spawn)>) {
        let wanted =
            |id: &ProcessId| self.processes.get(id).is_some_and(|process| process.life.stage() == Stage::Preparing);
        let ready: Vec<(ProcessId, Spawn)> = ready.into_iter().filter(|(id, _)| wanted(id)).collect();
        if !self.keeper_confines() {
            let reason = "the keeper of this machine is of an older version, which confines nobody: it is replaced when the \
                          tests that it has have ended";
            return ready.iter().for_each(|(id, _)| self.happen(*id, Event::NotStarted(reason.into())));
        }
        for batch in ready.chunks(SPAWN_BATCH_MAX) {
            for (id, _) in batch {
                self.happen(*id, Event::Asked);
            }
            let processes = batch.iter().map(|(_, spawn)| spawn.clone()).collect();
            if !self.keeper.say(ToKeeper::Spawn { processes }) {
                for (id, _) in batch {
                    self.happen(*id, Event::NotStarted("the keeper does not take any more".into()));
                }
            }
        }
    }
}

fn new_process(intent: Intent) -> Process {
    Process {
        intent,
        life: Life::new(),
        r#final: Final::default(),
        end: None,
        pid: 0,
        connection: None,
        set_waits: false,
        pinged: Instant::now(),
        round_trip_us: 0,
        log_kept: false,
        forget: false,
        gang: None,
        waiting: Waiting::default(),
        announced: None,
        expected: None,
        waits_at: None,
        synced: None,
        user: None,
        errands: Errands::default(),
    }
}

/// None where the order does not say what to start.
fn intent(spec: Option<&StartSpec>, wanted: Option<&Wanted<'_>>, order: &Order, keeper: KeeperLife) -> Option<Intent> {
    let (module, wanted) = (spec?.module.as_ref()?, wanted?);
    Some(Intent {
        key: order.id.into(),
        epoch: order.epoch.0,
        module: module.name.clone(),
        version: module.version.clone(),
        resources: order.resources.clone(),
        grace_ms: module.stop_grace_ms,
        pulses: wanted.pulses.clone(),
        pulses_changed: false,
        reboots: module.reboots,
        keeper,
        parameters_digest: wanted.digest,
        parameters: BTreeMap::new(),
    })
}

/// Places of the processes of one job.
struct Preparation {
    common: Common,
    artifacts: Artifacts,
    policy: Arc<PolicyFile>,
    users: Users,
    inputs: tokio::sync::mpsc::Sender<Input>,
}

impl Preparation {
    async fn run(self, orders: Vec<Order>) {
        let launch = match self.launch().await {
            Ok(launch) => launch,
            Err(error) => {
                let reason = format!("{error:#}");
                let failed = orders.iter().map(|order| (order.id, reason.clone())).collect();
                let _ = self.inputs.send(Input::Prepared(Made { failed, ..Made::default() })).await;
                return;
            }
        };
        let (common, launch) = (Arc::new(self.common), Arc::new(launch));
        for batch in orders.chunks(SPAWN_BATCH_MAX) {
            let (common, launch, batch) = (common.clone(), launch.clone(), batch.to_vec());
            let Ok(made) = tokio::task::spawn_blocking(move || make_all(&common, &launch, &batch)).await else {
                return;
            };
            if self.inputs.send(Input::Prepared(made)).await.is_err() {
                return;
            }
        }
    }

    /// What is executed, as whom, and what it may take.
    async fn launch(&self) -> anyhow::Result<Launch> {
        let policy = self.policy.read().context("follow the policy of this machine, which is to be mended first")?;
        let (program, sha256) = self.program().await?;
        let module = self.common.spec.module.clone().unwrap_or_default();
        if module.root {
            anyhow::ensure!(
                users::can_be_given(),
                "the module {} has to run as root, and the agent of this machine does not; choose other machines with --on",
                module.name
            );
            policy.check_root(self.policy.path(), &module.name, &sha256)?;
        }
        let has_user = policy.own_users && users::can_be_given() && !module.root;
        if let Some(barrier) = users::barrier(&self.common.state).filter(|_| has_user) {
            anyhow::bail!(
                "tests have users of their own on this machine, and can not pass through {}: chmod o+x it, or give the agent \
                 another --state",
                barrier.display()
            );
        }
        let allowance = policy.allowance(self.common.inventory.memory_bytes);
        let users = has_user.then(|| (self.users.clone(), policy.users));
        Ok(Launch { program, users, root: module.root, limits: limits(&allowance) })
    }

    async fn program(&self) -> anyhow::Result<(Checked, String)> {
        let architecture = &self.common.inventory.architecture;
        let artifacts = self.common.spec.module.iter().flat_map(|module| &module.artifacts);
        let fits = |wanted: &str| artifacts.clone().find(|artifact| artifact.architecture == wanted);
        let artifact = fits(architecture).or_else(|| fits("any"));
        let artifact = artifact.ok_or_else(|| anyhow::anyhow!("the module has no artifact for {architecture}"))?;
        Ok((self.artifacts.get_checked(&artifact.sha256).await?, artifact.sha256.clone()))
    }
}

/// What came of making places.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Those that can be started.
    ready: Vec<(ProcessId, Spawn)>,
    /// Those that can not, and why.
    failed: Vec<(ProcessId, String)>,
    /// Those that are left for a person to start, and what they have to know.
    left: Vec<(ProcessId, String)>,
}

fn limits(allowance: &Allowance) -> Limits {
    let Allowance { processes, open_files, cpu_weight, memory_bytes, core_bytes, work_bytes: _ } = *allowance;
    Limits { processes, open_files, cpu_weight, memory_bytes, core_bytes }
}

fn make_all(common: &Common, launch: &Launch, orders: &[Order]) -> Made {
    let mut made = Made::default();
    for order in orders {
        let place = workplace::make(common, launch, order);
        let left = match &place {
            Ok(spawn) if common.spec.check_out => Some(checkout::leave(common, order, spawn)),
            Ok(_) | Err(_) => None,
        };
        match (place, left) {
            (Err(error), _) | (Ok(_), Some(Err(error))) => made.failed.push((order.id, format!("{error:#}"))),
            (Ok(_), Some(Ok(words))) => made.left.push((order.id, words)),
            (Ok(spawn), None) => made.ready.push((order.id, spawn)),
        }
    }
    made
}
