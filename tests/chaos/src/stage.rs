//! The lab with a proxy before nats-server for each part, and how its parts are harmed and healed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use muster_testkit::Process;
use muster_testkit::lab::{Lab, LabOptions, Say};
use rustix::process::{Pid, Signal, kill_process};

use crate::fault::{Fault, Harm, Line};
use crate::history::History;
use crate::part::Part;
use crate::proxy::Proxy;
use crate::watch;

/// What ended by itself is started again after this, as systemd is told to.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// Between two looks at whether everything runs.
const LOOK: Duration = Duration::from_millis(200);

/// The lab, and who stands between its parts and nats-server.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    proxies: BTreeMap<Part, Proxy>,
    /// Parts that were killed and are not to run now.
    down: BTreeSet<Part>,
    /// Parts that ended by themselves, and when they are started again.
    fallen: BTreeMap<Part, Duration>,
    /// How often that was.
    pub(crate) supervised: u32,
}

/// Something that is to be done at a time: a fault by its place begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Step {
    at: Duration,
    ends: bool,
    fault: usize,
}

/// Beginnings and ends of faults, in order of time.
pub(crate) fn steps(faults: &[Fault]) -> Vec<Step> {
    let begin = faults.iter().enumerate().map(|(fault, of)| Step { at: of.at, ends: false, fault });
    let lasting = faults.iter().enumerate().filter(|(_, of)| !of.lasts.is_zero());
    let end = lasting.map(|(fault, of)| Step { at: of.ends(), ends: true, fault });
    let mut steps: Vec<Step> = begin.chain(end).collect();
    steps.sort();
    steps
}

impl Stage {
    /// Brings the lab up, every part behind its proxy.
    ///
    /// # Errors
    /// Says which part did not come up.
    pub(crate) fn up(options: LabOptions, runtime: &tokio::runtime::Runtime, say: Say<'_>) -> anyhow::Result<Self> {
        let machines = options.machines;
        let mut lab = Lab::servers(options, say)?;
        let target = lab.nats.address();
        let mut proxies = BTreeMap::new();
        for part in Part::connected(machines) {
            let proxy = runtime.block_on(Proxy::start(target))?;
            lab.reach_by(&part.to_string(), &proxy.url());
            proxies.insert(part, proxy);
        }
        lab.fill(say)?;
        Ok(Self { lab, proxies, down: BTreeSet::new(), fallen: BTreeMap::new(), supervised: 0 })
    }

    /// The URL by which a part reaches the bus.
    pub(crate) fn url(&self, part: Part) -> anyhow::Result<String> {
        Ok(self.proxies.get(&part).context("find a proxy")?.url())
    }

    /// Bytes that went through all proxies.
    pub(crate) fn passed(&self) -> u64 {
        self.proxies.values().map(Proxy::passed).sum()
    }

    /// Does every step when its time comes.
    ///
    /// # Errors
    /// When a part can not be harmed or started again.
    pub(crate) fn perform(&mut self, faults: &[Fault], history: &History) -> anyhow::Result<()> {
        for step in steps(faults) {
            self.supervise_until(step.at, history)?;
            let fault = &faults[step.fault];
            history.note(if step.ends { format!("over: {fault}") } else { fault.to_string() });
            for part in &fault.parts {
                let done = if step.ends { self.end(*part, fault.harm) } else { self.begin(*part, fault.harm) };
                done.with_context(|| format!("{fault}"))?;
            }
        }
        Ok(())
    }

    /// Starts again what ends by itself, as systemd does: a part that can not reach the bus at its start does.
    ///
    /// # Errors
    /// When a program can not be run.
    pub(crate) fn supervise_until(&mut self, until: Duration, history: &History) -> anyhow::Result<()> {
        loop {
            self.supervise(history)?;
            let left = until.saturating_sub(history.now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn supervise(&mut self, history: &History) -> anyhow::Result<()> {
        let parts: Vec<Part> = self.proxies.keys().copied().filter(|part| *part != Part::People).collect();
        for part in parts {
            if self.down.contains(&part) || self.process(part)?.is_running() {
                continue;
            }
            let at = *self.fallen.entry(part).or_insert_with(|| {
                history.note(format!("{part} has ended by itself"));
                history.now() + RESTART_AFTER
            });
            if history.now() >= at {
                self.fallen.remove(&part);
                self.supervised += 1;
                self.process(part)?.restart()?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, part: Part, harm: Harm) -> anyhow::Result<()> {
        match harm {
            Harm::Kill => self.kill(part),
            Harm::Stop => self.signal(part, Signal::STOP),
            Harm::Line(line) => self.line(part, line),
            Harm::KillTest(which) => {
                self.kill_test(part, which);
                Ok(())
            }
            Harm::KillKeeper => {
                kill9(watch::keeper(self.lab.directory(), &part.to_string()));
                Ok(())
            }
        }
    }

    fn end(&mut self, part: Part, harm: Harm) -> anyhow::Result<()> {
        match harm {
            Harm::Kill => self.restart(part),
            Harm::Stop => self.signal(part, Signal::CONT),
            Harm::Line(_) => self.line(part, Line::Whole),
            Harm::KillTest(_) | Harm::KillKeeper => Ok(()),
        }
    }

    fn process(&mut self, part: Part) -> anyhow::Result<&mut Process> {
        let name = part.to_string();
        match part {
            Part::Agent(_) => self.lab.agent(&name),
            Part::Service(..) => self.lab.service(&name),
            Part::Nats | Part::Postgres | Part::People => anyhow::bail!("{name} is no process of the lab's own"),
        }
    }

    fn kill(&mut self, part: Part) -> anyhow::Result<()> {
        self.down.insert(part);
        match part {
            Part::Nats => self.lab.nats.kill9(),
            Part::Postgres => self.lab.postgres.kill9(),
            Part::Agent(_) | Part::Service(..) | Part::People => self.process(part)?.kill9(),
        }
        Ok(())
    }

    fn restart(&mut self, part: Part) -> anyhow::Result<()> {
        self.down.remove(&part);
        match part {
            Part::Nats => self.lab.nats.restart(),
            Part::Postgres => self.lab.postgres.restart(),
            Part::Agent(_) | Part::Service(..) | Part::People => self.process(part)?.restart(),
        }
    }

    fn signal(&mut self, part: Part, signal: Signal) -> anyhow::Result<()> {
        match part {
            Part::Nats => self.lab.nats.signal(signal),
            Part::Postgres => self.lab.postgres.signal(signal),
            Part::Agent(_) | Part::Service(..) | Part::People => {
                let process = self.process(part)?;
                // What ended by itself has nothing to stand still.
                if process.is_running() { process.signal(signal) } else { Ok(()) }
            }
        }
    }

    fn line(&self, part: Part, line: Line) -> anyhow::Result<()> {
        self.proxies.get(&part).with_context(|| format!("find the proxy of {part}"))?.set(line);
        Ok(())
    }

    fn kill_test(&self, part: Part, which: u64) {
        let Part::Agent(machine) = part else { return };
        let all = watch::tests(self.lab.directory());
        let own: Vec<_> = all.iter().filter(|test| test.machine == machine).collect();
        kill9(own.get((which % own.len().max(1) as u64) as usize).map(|chosen| chosen.pid));
    }
}

/// Kills a process that is not ours to wait for; who ended meanwhile needs no kill.
fn kill9(pid: Option<u32>) {
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_that_lasts_ends_after_it_began() {
        let kill = |at, lasts| Fault {
            at: Duration::from_secs(at),
            lasts: Duration::from_secs(lasts),
            harm: Harm::Kill,
            parts: vec![Part::Nats],
        };
        let steps = steps(&[kill(1, 5), kill(2, 1), kill(4, 0)]);
        let told: Vec<_> = steps.iter().map(|step| (step.at.as_secs(), step.fault, step.ends)).collect();
        assert_eq!(told, [(1, 0, false), (2, 1, false), (3, 1, true), (4, 2, false), (6, 0, true)]);
    }
}
