//! What the view shows, gathered from whoever answers in time: what does not answer is named, and the rest is shown.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_bus::subjects::Service;
use muster_model::{PoolTime, ProcessState, nanoseconds};
use muster_proto::v1::{self, cell::Value, envelope::Body, job_query, report_query};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::super::machines::health;
use super::super::{Session, admin, jobs};
use crate::client::Client;
use crate::rates::{Pinged, Pings, Rates};
use crate::times::rfc3339;

/// A service that does not answer within this is named as silent; the view goes on.
const ANSWER_MAX: Duration = Duration::from_millis(900);
/// The store is asked this often, about the time since so long ago: samples take a second or two to get there.
const STORE_EVERY: Duration = Duration::from_secs(5);
const STORE_SPAN: Duration = Duration::from_secs(15);
/// Machines and stalled processes that are shown; JSON has no more either.
const SHOWN_MAX: usize = 100;

/// One moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) pool: Pool,
    pub(crate) jobs: Vec<JobLine>,
    /// Busiest first.
    pub(crate) machines: Vec<MachineLine>,
    /// Longest first.
    pub(crate) stalled: Vec<StalledLine>,
    /// Who did not answer.
    pub(crate) silent: Vec<&'static str>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Pool {
    pub(crate) run: u32,
    pub(crate) time: Option<String>,
    /// Machines by health.
    pub(crate) machines: BTreeMap<&'static str, u32>,
    /// Processes of live jobs by state.
    pub(crate) processes: BTreeMap<&'static str, u32>,
    pub(crate) iterations_per_second: Option<f64>,
    pub(crate) bytes_per_second: Option<f64>,
    pub(crate) leaders: Vec<Leader>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Leader {
    pub(crate) service: &'static str,
    pub(crate) instance: String,
    pub(crate) term: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobLine {
    pub(crate) job: u32,
    pub(crate) module: String,
    pub(crate) processes: u32,
    pub(crate) states: String,
    pub(crate) stalled: u32,
    pub(crate) seconds: f64,
    pub(crate) iterations_per_second: Option<f64>,
    pub(crate) bytes_per_second: Option<f64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct MachineLine {
    pub(crate) machine: String,
    pub(crate) health: &'static str,
    pub(crate) processes: u32,
    pub(crate) iterations_per_second: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct StalledLine {
    pub(crate) dpid: String,
    pub(crate) module: String,
    pub(crate) machine: String,
    pub(crate) unchanged_seconds: f64,
}

/// Remembers what was heard between two moments.
pub(super) struct Gatherer {
    rates: Rates,
    store: Store,
}

/// The store's newest answer, which is waited for beside the view.
#[derive(Default)]
struct Store {
    asking: Option<JoinHandle<Option<BTreeMap<String, f64>>>>,
    asked: Option<Instant>,
    /// Bytes a second by module.
    bytes: Option<BTreeMap<String, f64>>,
}

impl Gatherer {
    /// Begins to listen.
    pub(super) async fn begin(session: &Session) -> Result<Self, crate::exit::Failure> {
        let mut store = Store::default();
        store.ask(session, session.client.viewer().await.now);
        Ok(Self { rates: Rates::listen(session.client.bus()).await?, store })
    }

    /// The pool now.
    pub(super) async fn look(&mut self, session: &Session) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let (jobs, machines, leaders) =
            tokio::join!(list_jobs(&session.client), list_machines(&session.client), leaders(session));
        let now = session.client.bus().now();
        self.store.turn(session, now).await;
        snapshot.pool.time = rfc3339(now);
        for (service, leader) in leaders {
            match leader {
                Some(leader) => snapshot.pool.leaders.push(leader),
                None => snapshot.silent.push(service.as_str()),
            }
        }
        match &self.store.bytes {
            Some(bytes) => snapshot.pool.bytes_per_second = Some(bytes.values().fold(0.0, |sum, rate| sum + rate)),
            None => snapshot.silent.push(Service::Report.as_str()),
        }
        let jobs = jobs.unwrap_or_default();
        snapshot.pool.run = jobs.run;
        let bytes = self.store.bytes.as_ref();
        self.rates.look(|pings| fill(&mut snapshot, &jobs.jobs, &machines.unwrap_or_default(), pings, bytes, now));
        snapshot
    }
}

impl Store {
    /// Asks, beside everything else.
    fn ask(&mut self, session: &Session, now: PoolTime) {
        let filter = v1::ReportFilter { from_ns: now.0 - nanoseconds(STORE_SPAN), ..Default::default() };
        let by = v1::Dimension::Module.into();
        let query = report_query::Kind::Perf(v1::PerfQuery { filter: Some(filter), by, ..Default::default() });
        let body = Body::ReportQuery(v1::ReportQuery { kind: Some(query) });
        let client = session.client.clone();
        self.asked = Some(Instant::now());
        self.asking = Some(tokio::spawn(async move {
            let answer = client.query_quietly("ask for throughput", Service::Report, body, STORE_EVERY).await;
            match answer.ok()? {
                Body::ReportReply(reply) => Some(bytes_by_module(&reply)),
                _ => None,
            }
        }));
    }

    /// Takes an answer that has come, and asks again when it is time.
    async fn turn(&mut self, session: &Session, now: PoolTime) {
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            self.bytes = asking.await.ok().flatten();
        }
        if self.asking.is_none() && self.asked.is_none_or(|asked| asked.elapsed() >= STORE_EVERY) {
            self.ask(session, now);
        }
    }
}

/// Rates of counters of bytes, added up by module. What was verified was read or received, and counts once.
fn bytes_by_module(reply: &v1::ReportReply) -> BTreeMap<String, f64> {
    let place = |name: &str| reply.columns.iter().position(|column| column.name == name);
    let columns = (place("module"), place("metric"), place("unit"), place("rate_per_second"));
    let (Some(module), Some(metric), Some(unit), Some(rate)) = columns else { return BTreeMap::new() };
    let mut bytes = BTreeMap::new();
    for row in &reply.rows {
        let value = |column: usize| row.cells.get(column).and_then(|cell| cell.value.as_ref());
        let unverified = value(metric) != Some(&Value::Text("verified_bytes".into()));
        if let (Some(Value::Text(module)), Some(Value::Text(unit)), Some(Value::Number(rate))) =
            (value(module), value(unit), value(rate))
            && unit == "bytes"
            && unverified
        {
            *bytes.entry(module.clone()).or_insert(0.0) += rate;
        }
    }
    bytes
}

/// The live jobs, their first page, if they come in time.
pub(crate) async fn list_jobs(client: &Client) -> Option<v1::JobList> {
    let kind = job_query::Kind::Jobs(v1::ListJobs::default());
    let body = Body::JobQuery(v1::JobQuery { kind: Some(kind) });
    match client.query_quietly("list jobs", Service::Scheduler, body, ANSWER_MAX).await.ok()? {
        Body::JobReply(v1::JobReply { kind: Some(v1::job_reply::Kind::Jobs(jobs)) }) => Some(jobs),
        _ => None,
    }
}

/// The machines, all pages, as far as they come in time.
pub(crate) async fn list_machines(client: &Client) -> Option<Vec<v1::MachineStatus>> {
    let listed = client.machines_quietly("list machines", ANSWER_MAX);
    tokio::time::timeout(ANSWER_MAX * 2, listed).await.ok()?.ok()
}

async fn leaders(session: &Session) -> Vec<(Service, Option<Leader>)> {
    let ask = async |service: Service| {
        let body = admin::question(service);
        let answer = session.client.query_quietly("ask for the status", service, body, ANSWER_MAX).await.ok();
        let leader = |status: v1::ServiceStatus| Leader {
            service: service.as_str(),
            instance: status.instance,
            term: status.term,
        };
        (service, answer.and_then(admin::status_of).map(leader))
    };
    futures::future::join_all(admin::OWNERS.map(ask)).await
}

fn fill(
    snapshot: &mut Snapshot,
    jobs: &[v1::JobRecord],
    machines: &[v1::MachineStatus],
    pings: &Pings,
    bytes: Option<&BTreeMap<String, f64>>,
    now: PoolTime,
) {
    for job in jobs {
        for state in ProcessState::ALL {
            *snapshot.pool.processes.entry(state.as_str()).or_insert(0) += jobs::in_state(job, state);
        }
        snapshot.jobs.push(job_line(job, pings, now));
    }
    share_bytes(&mut snapshot.jobs, bytes);
    let known: Vec<f64> = pings.all().filter_map(|(_, pinged)| pinged.per_second).collect();
    snapshot.pool.iterations_per_second = (!known.is_empty()).then(|| known.iter().sum());
    for machine in machines {
        *snapshot.pool.machines.entry(health(machine.health())).or_insert(0) += 1;
    }
    snapshot.machines = busiest(machines, pings);
    snapshot.stalled = stalled(jobs, pings);
}

fn job_line(job: &v1::JobRecord, pings: &Pings, now: PoolTime) -> JobLine {
    let spec = job.spec.clone().unwrap_or_default();
    JobLine {
        job: spec.job,
        module: spec.module.unwrap_or_default().name,
        processes: job.processes,
        states: jobs::states(job),
        stalled: job.stalled,
        seconds: now.since(PoolTime(job.started_ns)).as_secs_f64(),
        iterations_per_second: pings.of_jobs(&[spec.job]),
        bytes_per_second: None,
    }
}

/// The store answers by module: a job that is the only live one of its module has the whole of it.
fn share_bytes(lines: &mut [JobLine], bytes: Option<&BTreeMap<String, f64>>) {
    let modules: Vec<String> = lines.iter().map(|line| line.module.clone()).collect();
    for line in lines {
        let alone = modules.iter().filter(|module| **module == line.module).count() == 1;
        line.bytes_per_second = bytes.filter(|_| alone).and_then(|bytes| bytes.get(&line.module).copied());
    }
}

fn busiest(machines: &[v1::MachineStatus], pings: &Pings) -> Vec<MachineLine> {
    let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
    for (_, pinged) in pings.all() {
        if let Some(rate) = pinged.per_second {
            *rates.entry(&pinged.machine).or_insert(0.0) += rate;
        }
    }
    let line = |machine: &v1::MachineStatus| {
        let name = machine.record.as_ref().map(|record| record.machine.clone()).unwrap_or_default();
        let iterations_per_second = rates.get(name.as_str()).copied();
        let (health, processes) = (health(machine.health()), machine.processes_live);
        MachineLine { machine: name, health, processes, iterations_per_second }
    };
    let mut lines: Vec<MachineLine> = machines.iter().map(line).collect();
    lines.sort_by(|one, other| {
        let rate = |line: &MachineLine| line.iterations_per_second.unwrap_or(0.0);
        let by_rate = || rate(other).total_cmp(&rate(one));
        other.processes.cmp(&one.processes).then_with(by_rate).then_with(|| one.machine.cmp(&other.machine))
    });
    lines.truncate(SHOWN_MAX);
    lines
}

/// Processes whose iterations have not changed for longer than their module allows: what the scheduler concludes from the same pings.
fn stalled(jobs: &[v1::JobRecord], pings: &Pings) -> Vec<StalledLine> {
    let limits: BTreeMap<u32, (&str, Duration)> = jobs
        .iter()
        .filter(|job| job.stalled > 0)
        .filter_map(|job| {
            let spec = job.spec.as_ref()?;
            let module = spec.module.as_ref()?;
            Some((spec.job, (module.name.as_str(), Duration::from_millis(module.stall_ms))))
        })
        .collect();
    let mut lines: Vec<StalledLine> = pings
        .all()
        .filter_map(|(id, pinged): (_, &Pinged)| {
            let (module, limit) = limits.get(&id.dpid.job.0)?;
            (pinged.unchanged >= *limit).then(|| StalledLine {
                dpid: id.dpid.to_string(),
                module: (*module).to_owned(),
                machine: pinged.machine.clone(),
                unchanged_seconds: pinged.unchanged.as_secs_f64(),
            })
        })
        .collect();
    lines.sort_by(|one, other| other.unchanged_seconds.total_cmp(&one.unchanged_seconds));
    lines.truncate(SHOWN_MAX);
    lines
}
