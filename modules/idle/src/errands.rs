//! Has processes started on other machines of its job and on its clients, reads their clocks, and waits for those that end by themselves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use muster_sdk::{Ending, Errand, ParameterError, Parameters, Session};

/// How long anything may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A look at which clients are ready.
const LOOK: Duration = Duration::from_millis(300);

/// What the first process of the job asks for.
pub(crate) struct Errands {
    machines: Vec<String>,
    /// And on so many clients, once these are ready.
    clients: u64,
    /// The first one is stopped, and its end awaited.
    stops_first: bool,
    /// They end by themselves after so long; zero is never.
    exit_after: String,
    is_endless: bool,
    detached: bool,
}

impl Errands {
    /// None where nothing is asked for.
    pub(crate) fn read(parameters: Parameters<'_>) -> Result<Option<Self>, ParameterError> {
        let machines = parameters.text("errands")?.split(',').filter(|machine| !machine.is_empty());
        let machines: Vec<String> = machines.map(str::to_owned).collect();
        let errands = Self {
            machines,
            exit_after: parameters.text("errand_exit_after")?.to_owned(),
            is_endless: parameters.duration("errand_exit_after")?.is_zero(),
            detached: parameters.boolean("errand_detached")?,
            clients: parameters.count("errand_clients")?,
            stops_first: parameters.boolean("errand_stop")?,
        };
        Ok((!errands.machines.is_empty() || errands.clients > 0).then_some(errands))
    }

    /// Starts all of them; where they end by themselves, waits for that.
    pub(crate) fn go(&self, session: &Session) -> Option<Ending> {
        if session.context().process != 1 {
            return None;
        }
        match self.run(session) {
            Ok(_) if self.is_endless => None,
            Ok(errands) => Some(Ending::pass().total("errands_count", errands as f64)),
            Err(_) if session.stopping() => Some(Ending::pass()),
            Err(why) => Some(Ending::error(&why)),
        }
    }

    /// Says how many there were.
    fn run(&self, session: &Session) -> Result<usize, String> {
        let mut machines = self.machines.clone();
        machines.extend(self.ready_clients(session)?);
        for machine in &machines {
            let parameters = BTreeMap::from([("exit_after".to_owned(), self.exit_after.clone())]);
            let (name, module, detached) = (machine.as_str(), "idle", self.detached);
            session.start_on(&Errand { name, machine, module, parameters, detached }, TIMEOUT)?;
            let clock = session.clock_of(machine, TIMEOUT)?;
            let apart = clock.pool_time_ns.abs_diff(clock.here_ns) as f64 / 1e9;
            session.metric("", &[], &[("clock_apart_seconds", apart)]);
        }
        if let Some(first) = machines.first().filter(|_| self.stops_first) {
            session.stop_on(first);
            let end = session.await_on(first, TIMEOUT)?;
            if end.state != "finished" {
                return Err(format!("{first}: {} {}", end.state, end.reason));
            }
        }
        for machine in machines.iter().filter(|_| !self.is_endless) {
            let end = session.await_on(machine, TIMEOUT)?;
            if end.verdict != "pass" {
                return Err(format!("{machine}: {} {} {}", end.state, end.verdict, end.reason));
            }
        }
        Ok(machines.len())
    }

    /// As many clients as are wanted, once they are ready.
    fn ready_clients(&self, session: &Session) -> Result<Vec<String>, String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let clients = if self.clients == 0 { Ok(Vec::new()) } else { session.clients() };
            // Where nobody answers, somebody may a moment later.
            let ready: Vec<String> = clients.into_iter().flatten().flat_map(|client| client.ready).collect();
            if ready.len() as u64 >= self.clients {
                return Ok(ready);
            }
            if Instant::now() > deadline {
                return Err(format!("{} of {} clients are ready after {TIMEOUT:?}", ready.len(), self.clients));
            }
            if session.wait(LOOK) {
                return Err("stopped".into());
            }
        }
    }
}
