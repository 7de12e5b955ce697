//! The short form of `cargo xtask chaos`: every kind of fault against a small pool under load, judged by the same oracle.

use std::time::Duration;

use muster_chaos::ChaosOptions;
use muster_chaos::fault::{Fault, Harm, schedule};
use muster_chaos::part::Part;
use muster_e2e::options;

/// Its seed; what it brings is checked below.
const SEED: u64 = 259;
/// How long everything goes wrong.
const DURATION: Duration = Duration::from_secs(40);
/// Machines of the lab.
const MACHINES: u32 = 3;

/// The seed kills and stops what matters, and harms all agents at once, and both instances of a service.
fn covers(faults: &[Fault]) -> bool {
    let any = |holds: &dyn Fn(&Fault, Part) -> bool| {
        faults.iter().any(|fault| fault.parts.iter().any(|part| holds(fault, *part)))
    };
    let killed = |part: Part| any(&|fault, of| fault.harm == Harm::Kill && of == part);
    let service = |name: &str| {
        any(&|fault, of| fault.harm == Harm::Kill && matches!(of, Part::Service(service, _) if service == name))
    };
    killed(Part::Nats)
        && killed(Part::Postgres)
        && service("scheduler")
        && service("telemetry-logger")
        && any(&|fault, of| fault.harm == Harm::Kill && matches!(of, Part::Agent(_)))
        && any(&|fault, of| fault.harm == Harm::Stop && of == Part::Nats)
        && any(&|fault, _| fault.harm == Harm::KillKeeper)
        && faults.iter().any(|fault| fault.parts.len() == 2)
        && faults.iter().any(|fault| fault.parts.len() == MACHINES as usize)
}

#[test]
fn random_faults_under_load_lose_nothing_and_do_nothing_twice() {
    assert!(covers(&schedule(SEED, DURATION, MACHINES)), "take a seed that brings what the short form is for");
    let (lab, _scratch) = options(MACHINES, 2).expect("a folder is made");
    let chaos = ChaosOptions { seed: SEED, duration: DURATION, lab };
    let outcome = muster_chaos::run(chaos, &|_| ()).expect("the run comes to its end");
    eprintln!("{outcome}");
    assert!(outcome.violations.is_empty(), "{}", outcome.told());
}
