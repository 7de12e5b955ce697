//! Questions and commands to each service, typed: what goes in, and what must come out.

use std::time::Duration;

use muster_bus::subjects::Service;
use muster_proto::v1::{self, envelope::Body};

use crate::client::{Client, unexpected};
use crate::exit::Failure;

/// A listing has at most so many pages: more means that the service goes round in circles.
const PAGES_MAX: usize = 100_000;
/// A change of the mastership that nobody waits for takes no longer.
const QUIET_COMMAND_MAX: Duration = Duration::from_millis(900);

impl Client {
    /// Gives a command to the scheduler.
    pub(crate) async fn job_command(
        &self,
        what: &str,
        kind: v1::job_command::Kind,
    ) -> Result<v1::job_reply::Kind, Failure> {
        job_reply(self.command(what, Service::Scheduler, self.job_body(kind)).await?)
    }

    /// A command, with the center that it is given in.
    fn job_body(&self, kind: v1::job_command::Kind) -> Body {
        let center = self.seat().map_or_else(String::new, |seat| seat.id.clone());
        Body::JobCommand(v1::JobCommand { kind: Some(kind), center })
    }

    /// Takes or releases the mastership without telling of a wait; the master after it.
    pub(crate) async fn change_master_quietly(&self, change: v1::ChangeMaster) -> Result<Option<v1::Master>, Failure> {
        let body = self.job_body(v1::job_command::Kind::Master(change));
        let answer = self.command_quietly("change the mastership", Service::Scheduler, body, QUIET_COMMAND_MAX).await?;
        match job_reply(answer)? {
            v1::job_reply::Kind::Master(reply) => Ok(reply.master),
            _ => Err(unexpected(Service::Scheduler.as_str())),
        }
    }

    /// Asks the scheduler.
    pub(crate) async fn job_query(
        &self,
        what: &str,
        kind: v1::job_query::Kind,
    ) -> Result<v1::job_reply::Kind, Failure> {
        let body = Body::JobQuery(v1::JobQuery { kind: Some(kind) });
        job_reply(self.query(what, Service::Scheduler, body).await?)
    }

    /// Gives a command to machine-lifecycle.
    pub(crate) async fn machine_command(
        &self,
        what: &str,
        kind: v1::machine_command::Kind,
    ) -> Result<v1::MachinesChanged, Failure> {
        let body = Body::MachineCommand(v1::MachineCommand { kind: Some(kind) });
        match machine_reply(self.command(what, Service::MachineLifecycle, body).await?)? {
            v1::machine_reply::Kind::Changed(changed) => Ok(changed),
            _ => Err(unexpected(Service::MachineLifecycle.as_str())),
        }
    }

    /// Gives a command about kernels to machine-lifecycle.
    pub(crate) async fn kernel_command(
        &self,
        what: &str,
        kind: v1::machine_command::Kind,
    ) -> Result<v1::KernelChanged, Failure> {
        let body = Body::MachineCommand(v1::MachineCommand { kind: Some(kind) });
        match machine_reply(self.command(what, Service::MachineLifecycle, body).await?)? {
            v1::machine_reply::Kind::KernelChanged(changed) => Ok(changed),
            _ => Err(unexpected(Service::MachineLifecycle.as_str())),
        }
    }

    /// Kernels; an empty name means all.
    pub(crate) async fn kernels(&self, what: &str, name: &str) -> Result<Vec<v1::Kernel>, Failure> {
        let kind = v1::machine_query::Kind::Kernels(v1::ListKernels { name: name.to_owned() });
        match self.machine_query(what, kind).await? {
            v1::machine_reply::Kind::Kernels(list) => Ok(list.kernels),
            _ => Err(unexpected(Service::MachineLifecycle.as_str())),
        }
    }

    /// Asks machine-lifecycle.
    pub(crate) async fn machine_query(
        &self,
        what: &str,
        kind: v1::machine_query::Kind,
    ) -> Result<v1::machine_reply::Kind, Failure> {
        let body = Body::MachineQuery(v1::MachineQuery { kind: Some(kind) });
        machine_reply(self.query(what, Service::MachineLifecycle, body).await?)
    }

    /// Gives a command about a reservation.
    pub(crate) async fn reservation_command(
        &self,
        what: &str,
        kind: v1::reservation_command::Kind,
    ) -> Result<v1::ReservationRecord, Failure> {
        match self.reservation_commanded(what, None, kind).await? {
            v1::reservation_reply::Kind::Reservation(record) => Ok(record),
            _ => Err(unexpected(Service::Reservation.as_str())),
        }
    }

    /// Gives a command to reservation, in the name of a master where there is one.
    pub(crate) async fn reservation_commanded(
        &self,
        what: &str,
        master: Option<v1::GroupMaster>,
        kind: v1::reservation_command::Kind,
    ) -> Result<v1::reservation_reply::Kind, Failure> {
        let body = Body::ReservationCommand(v1::ReservationCommand { kind: Some(kind), master });
        reservation_reply(self.command(what, Service::Reservation, body).await?)
    }

    /// Asks reservation.
    pub(crate) async fn reservation_query(
        &self,
        what: &str,
        kind: v1::reservation_query::Kind,
    ) -> Result<v1::reservation_reply::Kind, Failure> {
        let body = Body::ReservationQuery(v1::ReservationQuery { kind: Some(kind) });
        reservation_reply(self.query(what, Service::Reservation, body).await?)
    }

    /// Reservations; number 0 means all.
    pub(crate) async fn reservations(
        &self,
        what: &str,
        reservation: u64,
        ended: bool,
    ) -> Result<Vec<v1::ReservationRecord>, Failure> {
        self.list_reservations(what, v1::ListReservations { reservation, ended, ..Default::default() }).await
    }

    /// Reservations, as they are asked for.
    pub(crate) async fn list_reservations(
        &self,
        what: &str,
        list: v1::ListReservations,
    ) -> Result<Vec<v1::ReservationRecord>, Failure> {
        match self.reservation_query(what, v1::reservation_query::Kind::List(list)).await? {
            v1::reservation_reply::Kind::Reservations(list) => Ok(list.reservations),
            _ => Err(unexpected(Service::Reservation.as_str())),
        }
    }

    /// Asks the report service.
    pub(crate) async fn report(&self, what: &str, kind: v1::report_query::Kind) -> Result<v1::ReportReply, Failure> {
        let body = Body::ReportQuery(v1::ReportQuery { kind: Some(kind) });
        match self.query(what, Service::Report, body).await? {
            Body::ReportReply(reply) => Ok(reply),
            _ => Err(unexpected(Service::Report.as_str())),
        }
    }

    /// Jobs of the current run, all pages, and the run.
    pub(crate) async fn jobs(&self, what: &str, job: u32, ended: bool) -> Result<(Vec<v1::JobRecord>, u32), Failure> {
        let (mut jobs, mut after) = (Vec::new(), 0);
        for _ in 0..PAGES_MAX {
            let kind = v1::job_query::Kind::Jobs(v1::ListJobs { job, ended, after });
            let v1::job_reply::Kind::Jobs(page) = self.job_query(what, kind).await? else {
                return Err(unexpected(Service::Scheduler.as_str()));
            };
            let last = page.jobs.last().and_then(|job| job.spec.as_ref()).map(|spec| spec.job);
            jobs.extend(page.jobs);
            match last {
                Some(last) if page.more && last > after => after = last,
                _ => return Ok((jobs, page.run)),
            }
        }
        Err(unexpected(Service::Scheduler.as_str()))
    }

    /// Processes of the current run, all pages, and the run.
    pub(crate) async fn processes(
        &self,
        what: &str,
        asked: v1::ListProcesses,
    ) -> Result<(Vec<v1::ProcessRecord>, u32), Failure> {
        let (mut processes, mut asked) = (Vec::new(), asked);
        for _ in 0..PAGES_MAX {
            let kind = v1::job_query::Kind::Processes(asked.clone());
            let v1::job_reply::Kind::Processes(page) = self.job_query(what, kind).await? else {
                return Err(unexpected(Service::Scheduler.as_str()));
            };
            let last = page.processes.last().and_then(|process| process.id).and_then(|id| id.dpid);
            processes.extend(page.processes);
            let advanced = last.is_some() && last != asked.after;
            if !(page.more && advanced) {
                return Ok((processes, page.run));
            }
            asked.after = last;
        }
        Err(unexpected(Service::Scheduler.as_str()))
    }

    /// Whether all power operations and reboots are held.
    pub(crate) async fn hold(&self) -> Result<Option<v1::Hold>, Failure> {
        let (what, list) = ("ask for a hold", v1::ListMachines { brief: true, ..v1::ListMachines::default() });
        match self.machine_query(what, v1::machine_query::Kind::List(list)).await? {
            v1::machine_reply::Kind::Machines(page) => Ok(page.hold),
            _ => Err(unexpected(Service::MachineLifecycle.as_str())),
        }
    }

    /// Machines that a selector names, all pages.
    pub(crate) async fn machines(
        &self,
        what: &str,
        selector: &str,
        brief: bool,
    ) -> Result<Vec<v1::MachineStatus>, Failure> {
        self.machine_pages(selector, brief, async |list| {
            self.machine_query(what, v1::machine_query::Kind::List(list)).await
        })
        .await
    }

    /// All machines in brief, each page within `limit`, without telling of a wait.
    pub(crate) async fn machines_quietly(
        &self,
        what: &str,
        limit: Duration,
    ) -> Result<Vec<v1::MachineStatus>, Failure> {
        self.machine_pages("", true, async |list| {
            let kind = v1::machine_query::Kind::List(list);
            let body = Body::MachineQuery(v1::MachineQuery { kind: Some(kind) });
            machine_reply(self.query_quietly(what, Service::MachineLifecycle, body, limit).await?)
        })
        .await
    }

    async fn machine_pages(
        &self,
        selector: &str,
        brief: bool,
        ask: impl AsyncFn(v1::ListMachines) -> Result<v1::machine_reply::Kind, Failure>,
    ) -> Result<Vec<v1::MachineStatus>, Failure> {
        let (mut machines, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let asked = v1::ListMachines { selector: selector.to_owned(), brief, after: after.clone() };
            let v1::machine_reply::Kind::Machines(page) = ask(asked).await? else {
                return Err(unexpected(Service::MachineLifecycle.as_str()));
            };
            let last = page.machines.last().and_then(|machine| machine.record.as_ref());
            let last = last.map(|record| record.machine.clone());
            machines.extend(page.machines);
            match last {
                Some(last) if page.more && last > after => after = last,
                _ => return Ok(machines),
            }
        }
        Err(unexpected(Service::MachineLifecycle.as_str()))
    }
}

fn job_reply(body: Body) -> Result<v1::job_reply::Kind, Failure> {
    match body {
        Body::JobReply(v1::JobReply { kind: Some(kind) }) => Ok(kind),
        _ => Err(unexpected(Service::Scheduler.as_str())),
    }
}

fn machine_reply(body: Body) -> Result<v1::machine_reply::Kind, Failure> {
    match body {
        Body::MachineReply(v1::MachineReply { kind: Some(kind) }) => Ok(kind),
        _ => Err(unexpected(Service::MachineLifecycle.as_str())),
    }
}

fn reservation_reply(body: Body) -> Result<v1::reservation_reply::Kind, Failure> {
    match body {
        Body::ReservationReply(v1::ReservationReply { kind: Some(kind) }) => Ok(kind),
        _ => Err(unexpected(Service::Reservation.as_str())),
    }
}
