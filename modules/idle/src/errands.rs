//! Has processes started on other machines of its job, reads their clocks, and waits for those that end by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_sdk::{Ending, Errand, ParameterError, Parameters, Session};

/// How long anything may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What the first process of the job asks for.
pub(crate) struct Errands {
    machines: Vec<String>,
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
        };
        Ok((!errands.machines.is_empty()).then_some(errands))
    }

    /// Starts all of them; where they end by themselves, waits for that.
    pub(crate) fn go(&self, session: &Session) -> Option<Ending> {
        if session.context().process != 1 {
            return None;
        }
        match self.run(session) {
            Ok(()) if self.is_endless => None,
            Ok(()) => Some(Ending::pass().total("errands_count", self.machines.len() as f64)),
            Err(_) if session.stopping() => Some(Ending::pass()),
            Err(why) => Some(Ending::error(&why)),
        }
    }

    fn run(&self, session: &Session) -> Result<(), String> {
        for machine in &self.machines {
            let parameters = BTreeMap::from([("exit_after".to_owned(), self.exit_after.clone())]);
            let (name, module, detached) = (machine.as_str(), "idle", self.detached);
            session.start_on(&Errand { name, machine, module, parameters, detached }, TIMEOUT)?;
            let clock = session.clock_of(machine, TIMEOUT)?;
            let apart = clock.pool_time_ns.abs_diff(clock.here_ns) as f64 / 1e9;
            session.metric("", &[], &[("clock_apart_seconds", apart)]);
        }
        for machine in self.machines.iter().filter(|_| !self.is_endless) {
            let end = session.await_on(machine, TIMEOUT)?;
            if end.verdict != "pass" {
                return Err(format!("{machine}: {} {} {}", end.state, end.verdict, end.reason));
            }
        }
        Ok(())
    }
}
