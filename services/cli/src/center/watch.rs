//! Watches the pool beside the prompt: once a second for the status line, more rarely for the names that can be completed. Its question
//! who is master is this center's beat.

use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use muster_bus::subjects::Service;
use muster_model::Dpid;
use muster_proto::v1::{self, envelope::Body, job_query, job_reply};

use super::complete::Names;
use super::prompt::StatusLine;
use super::seat::Seat;
use super::status::{Standing, Status};
use crate::client::Client;
use crate::commands::top;

/// The pool is looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The names are renewed this often.
const NAMES_INTERVAL: Duration = Duration::from_secs(5);
/// A service that does not answer within this is named as silent.
const ANSWER_MAX: Duration = Duration::from_millis(900);

/// What the watch tells, shared with prompt and completion.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) seat: Arc<Seat>,
    pub(crate) line: StatusLine,
    pub(crate) names: Arc<RwLock<Names>>,
}

/// The watch.
pub(crate) struct Watch {
    client: Client,
    shared: Shared,
    lost_since: Option<Instant>,
    named: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(client: Client, shared: Shared) -> Self {
        Self { client, shared, lost_since: None, named: None }
    }

    /// Looks until it is ended from outside, and has the prompt painted again when its line changes.
    pub(crate) async fn run(mut self, repaint: impl Fn()) {
        loop {
            let begun = Instant::now();
            if self.look().await {
                repaint();
            }
            tokio::time::sleep(LOOK_INTERVAL.saturating_sub(begun.elapsed())).await;
        }
    }

    /// Looks once; says whether the line differs from the one before.
    pub(crate) async fn look(&mut self) -> bool {
        if !self.client.bus().is_connected() {
            let since = *self.lost_since.get_or_insert_with(Instant::now);
            self.shared.seat.hear_nothing();
            return self.tell(Status { lost: Some(since.elapsed()), ..Status::default() });
        }
        self.lost_since = None;
        let (jobs, machines, pulses, ()) = tokio::join!(
            top::list_jobs(&self.client),
            top::list_machines(&self.client),
            self.ask(job_query::Kind::Pulses(v1::ListPulses {})),
            self.beat()
        );
        let pulses = match pulses {
            Some(job_reply::Kind::Pulses(list)) => list
                .pulses
                .iter()
                .filter(|record| !record.cleared)
                .filter_map(|record| Some(record.pulse?.number))
                .collect(),
            Some(_) | None => Vec::new(),
        };
        let mut silent = Vec::new();
        silent.extend(jobs.is_none().then_some(Service::Scheduler.as_str()));
        silent.extend(machines.is_none().then_some(Service::MachineLifecycle.as_str()));
        if self.named.is_none_or(|named| named.elapsed() >= NAMES_INTERVAL) {
            self.named = Some(Instant::now());
            self.name(jobs.as_ref(), machines.as_deref()).await;
        }
        let standing = self.shared.seat.standing();
        self.tell(Status { lost: None, machines, jobs: jobs.map(|list| list.jobs), pulses, standing, silent })
    }

    fn tell(&self, status: Status) -> bool {
        self.shared.line.tell(status.line())
    }

    /// Asks who is master, and takes what nobody has.
    async fn beat(&self) {
        let seat = &self.shared.seat;
        let master = match self.ask(job_query::Kind::Master(v1::MasterQuery { center: seat.id.clone() })).await {
            Some(job_reply::Kind::Master(reply)) => reply.master,
            Some(_) | None => return seat.hear_nothing(),
        };
        if seat.hear(master.as_ref()) {
            let taken = self.client.change_master_quietly(v1::ChangeMaster {
                machine: seat.machine.clone(),
                ..v1::ChangeMaster::default()
            });
            // Who was quicker is seen at the next look.
            if let Ok(Some(master)) = taken.await {
                seat.hear(Some(&master));
            }
        }
    }

    /// Renews the names, as far as somebody answers.
    async fn name(&self, jobs: Option<&v1::JobList>, machines: Option<&[v1::MachineStatus]>) {
        let modules = self.ask(job_query::Kind::Modules(v1::ListModules::default())).await;
        let processes = self.ask(job_query::Kind::Processes(v1::ListProcesses::default())).await;
        let mut names = self.shared.names.write().expect("nobody panics with them");
        if let Some(job_reply::Kind::Modules(list)) = modules {
            let parameters = |module: &v1::Module| module.parameters.iter().map(|p| p.name.clone()).collect();
            names.modules = list.modules.iter().map(|module| (module.name.clone(), parameters(module))).collect();
        }
        if let Some(job_reply::Kind::Processes(page)) = processes {
            let dpids = page.processes.iter().filter_map(|process| process.id?.dpid);
            names.dpids = dpids.map(|dpid| Dpid::from(dpid).to_string()).collect();
        }
        if let Some(list) = jobs {
            names.jobs = list.jobs.iter().filter_map(|job| Some(job.spec.as_ref()?.job.to_string())).collect();
        }
        if let Some(machines) = machines {
            names.machines =
                machines.iter().filter_map(|machine| Some(machine.record.as_ref()?.machine.clone())).collect();
        }
    }

    async fn ask(&self, kind: job_query::Kind) -> Option<job_reply::Kind> {
        let body = Body::JobQuery(v1::JobQuery { kind: Some(kind) });
        match self.client.query_quietly("look at the pool", Service::Scheduler, body, ANSWER_MAX).await.ok()? {
            Body::JobReply(reply) => reply.kind,
            _ => None,
        }
    }
}

impl Shared {
    /// Gives the mastership up, if this center has it.
    pub(crate) async fn leave(&self, client: &Client) {
        self.seat.wish(false);
        if self.seat.standing() == Standing::Mine {
            // Whoever can not be told notices within seconds that this center is gone.
            let _ =
                client.change_master_quietly(v1::ChangeMaster { release: true, ..v1::ChangeMaster::default() }).await;
        }
    }
}
