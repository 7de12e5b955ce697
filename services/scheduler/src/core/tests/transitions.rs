//! Process states: only the agent's word changes them, and only along listed transitions.

use super::*;

#[test]
fn every_listed_transition_is_taken_and_no_other() {
    for from in ProcessState::ALL {
        for to in ProcessState::ALL {
            let Some(mut lab) = in_state(from) else { continue };
            lab.report(1, 1, to);
            let after = lab.process(1, 1).state;
            // Who is away is said by the log alone, and for how long.
            let by_word = match (from, to) {
                (_, ProcessState::Away) => false,
                (ProcessState::Away, ProcessState::Starting | ProcessState::Running) => false,
                _ => from.may_become(to),
            };
            let expected = if by_word { to } else { from };
            assert_eq!(after, expected, "{from} reported {to}");
        }
    }
}

/// A lab whose process 1 of job 1 stands in a state.
fn in_state(state: ProcessState) -> Option<Lab> {
    let path: &[ProcessState] = match state {
        ProcessState::Starting => &[],
        ProcessState::Running => &[ProcessState::Running],
        ProcessState::Mia => &[ProcessState::Running, ProcessState::Mia],
        ProcessState::Fip => &[ProcessState::Fip],
        ProcessState::Away => &[],
        ProcessState::Finished => &[ProcessState::Finished],
        ProcessState::Dead => &[ProcessState::Dead],
        ProcessState::Lost => &[ProcessState::Lost],
    };
    let mut lab = away::lab(1);
    lab.start(2);
    for step in path {
        lab.report(1, 1, *step);
    }
    if state == ProcessState::Away {
        away::goes(&mut lab, 1);
    }
    (lab.process(1, 1).state == state).then_some(lab)
}

#[test]
fn all_running_and_ended_are_set_once() {
    let mut lab = Lab::with(2);
    lab.start(2);
    lab.wait(Duration::from_secs(1));
    lab.report(1, 1, ProcessState::Running);
    assert_eq!(lab.state.jobs[&JobNumber(1)].all_running, PoolTime::NEVER);
    lab.wait(Duration::from_secs(1));
    lab.report(1, 2, ProcessState::Running);
    let all_running = lab.time;
    lab.report(1, 2, ProcessState::Mia);
    lab.wait(Duration::from_secs(1));
    lab.report(1, 2, ProcessState::Running);
    assert_eq!(lab.state.jobs[&JobNumber(1)].all_running, all_running);
    lab.report(1, 1, ProcessState::Finished);
    assert_eq!(lab.state.jobs[&JobNumber(1)].ended, PoolTime::NEVER);
    lab.wait(Duration::from_secs(1));
    lab.report(1, 2, ProcessState::Finished);
    let ended = lab.time;
    lab.wait(Duration::from_secs(1));
    lab.report(1, 2, ProcessState::Dead);
    let job = &lab.state.jobs[&JobNumber(1)];
    assert_eq!((job.ended, job.by_verdict[Verdict::Pass as usize]), (ended, 2));
}

#[test]
fn several_steps_in_one_batch_build_on_each_other() {
    let mut lab = Lab::with(1);
    lab.start(1);
    let steps = [ProcessState::Running, ProcessState::Mia, ProcessState::Running, ProcessState::Finished];
    let reports = steps.map(|state| Report::Process(lab.report_of(1, 1, state))).to_vec();
    lab.report_batch(&machine("node-1"), reports);
    assert_eq!((lab.process(1, 1).state, lab.process(1, 1).pid), (ProcessState::Finished, 101));
}

#[test]
fn a_batch_counts_once() {
    let mut lab = Lab::with(1);
    lab.start(2);
    let node = machine("node-1");
    let running = vec![Report::Process(lab.report_of(1, 1, ProcessState::Running))];
    lab.take_batch(&node, 5, running);
    let before = lab.state.clone();
    let ended = |lab: &Lab| vec![Report::Process(lab.report_of(1, 1, ProcessState::Dead))];
    for repeated in [5, 4, 1] {
        let reports = ended(&lab);
        lab.take_batch(&node, repeated, reports);
        assert!(lab.last.is_empty() && lab.state == before, "batch {repeated} again");
    }
    let reports = ended(&lab);
    lab.take_batch(&node, 6, reports);
    assert_eq!(lab.process(1, 1).state, ProcessState::Dead);
}

#[test]
fn the_word_of_another_machine_epoch_or_attempt_has_no_effect() {
    let mut lab = Lab::with(2);
    lab.start(2);
    let good = lab.report_of(1, 1, ProcessState::Running);
    let (home, other) = (lab.process(1, 1).machine.clone(), lab.process(1, 2).machine.clone());
    let mut wrong_epoch = good.clone();
    wrong_epoch.epoch = epoch(9);
    let mut wrong_attempt = good.clone();
    wrong_attempt.id.attempt = attempt(2);
    let mut wrong_run = good.clone();
    wrong_run.id.run.0 = 2;
    lab.report_batch(&other, vec![Report::Process(good)]);
    lab.report_batch(&home, [wrong_epoch, wrong_attempt, wrong_run].map(Report::Process).to_vec());
    lab.report_batch(&machine("node-9"), vec![]);
    assert_eq!(lab.process(1, 1).state, ProcessState::Starting);
}

#[test]
fn the_oldest_ended_jobs_leave_the_state() {
    let mut lab = Lab::with(1);
    for job in 1..=3 {
        lab.start(2);
        for process in 1..=2 {
            lab.report(job, process, ProcessState::Finished);
        }
        lab.wait(Duration::from_secs(1));
    }
    let limits = super::super::state::EndedLimits { jobs: 2, processes: 100 };
    lab.state.forget_beyond(limits);
    assert_eq!(lab.state.jobs.keys().map(|job| job.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(check(&lab.state), Ok(()));
    let limits = super::super::state::EndedLimits { jobs: 2, processes: 2 };
    lab.state.forget_beyond(limits);
    assert_eq!(lab.state.jobs.keys().map(|job| job.0).collect::<Vec<_>>(), [3]);
    assert_eq!(check(&lab.state), Ok(()));
}

#[test]
fn readers_forget_jobs_with_the_state() {
    let mut lab = Lab::with(2);
    lab.start(4);
    for process in 1..=4 {
        lab.report(1, process, ProcessState::Dead);
    }
    lab.give(Input::NewRun).expect("nothing runs");
    assert!(lab.state.jobs.is_empty());
    assert_eq!(JobCore::forgotten(&lab.state).len(), 3, "the job, and its part on each machine");
    lab.start(1);
    assert_eq!(JobCore::forgotten(&lab.state), [], "only what the last event made it forget");
}
