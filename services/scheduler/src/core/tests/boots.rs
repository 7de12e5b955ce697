//! What an ordered boot of a machine does to processes: nothing runs where no kernel is proven.

use muster_model::Phase;

use super::super::job::StopReason;
use super::*;

fn phase(phase: Phase) -> Fact {
    Fact::PhaseChanged(Some(phase))
}

#[test]
fn what_runs_is_stopped_when_its_machine_is_to_be_booted_and_nothing_goes_there_before_it_is_ready() {
    let mut lab = Lab::with(2);
    lab.start(4);
    lab.machines(vec![("node-2", phase(Phase::Installing)), ("node-2", Fact::Other)]);
    for number in 1..=4 {
        let process = lab.process(1, number);
        let reason = process.stop.as_ref().map(|stop| stop.reason);
        let expected = (process.machine == machine("node-2")).then_some(StopReason::Boot);
        assert_eq!(reason, expected, "process {number}");
    }
    for (number, step) in
        [Phase::Rebooting, Phase::Verifying, Phase::Installing, Phase::Offline].into_iter().enumerate()
    {
        lab.machines(vec![("node-2", phase(step))]);
        lab.start(2);
        let job = u32::try_from(number).unwrap() + 2;
        assert!((1..=2).all(|process| lab.process(job, process).machine == machine("node-1")), "{step}");
    }
    lab.machines(vec![("node-2", phase(Phase::Ready))]);
    lab.start(2);
    assert!((1..=2).any(|process| lab.process(6, process).machine == machine("node-2")), "it is ready again");
}
