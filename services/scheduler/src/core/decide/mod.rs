//! Decisions: one file for each kind of input. Nothing here changes anything.

mod again;
mod arrange;
mod attached;
mod away;
mod catalogue;
mod changes;
mod errands;
mod hello;
mod machines;
mod on_error;
mod plan_place;
mod plan_start;
mod plans;
mod preview;
mod pulses;
mod refused;
mod reports;
mod run;
mod start;
mod stop;
mod sync;
mod test_events;
mod tick;
mod triggers;

use muster_ledger::{Decision, Now};
use muster_model::Refusal;

use super::JobCore;
use super::event::Event;
use super::groups;
use super::input::{Input, Reply};
use super::master;
use super::observed::Observed;
use super::state::State;

pub(crate) use plan_place::{place as place_task, waiting_in as tasks_waiting};

pub(super) fn decide(
    state: &State,
    observed: &Observed,
    input: &Input,
    now: Now,
) -> Result<Decision<JobCore>, Refusal> {
    match input {
        Input::Start(start) => start::start(state, observed, start, now),
        Input::StartPlan(plan) => plan_start::start(state, plan),
        Input::Attach(start) => attached::attach(state, start),
        Input::Reservation { id, news } => Ok(silent(attached::seen(state, *id, news))),
        Input::Stop(stop) => stop::stop(state, stop),
        Input::AddModule(module) => catalogue::add(state, module),
        Input::RemoveModule(name) => catalogue::remove(state, name),
        Input::NewRun => run::new_run(state),
        Input::SetPulse(number, pulse) => Ok(pulses::set(state, *number, *pulse)),
        Input::ClearPulses(clear) => pulses::clear(state, clear),
        Input::ChangeJob(change) => pulses::change_job(state, change),
        Input::ChangeMaster(change) => master::change(state, change, now.time),
        Input::FromCenter { center, input } => {
            master::check(state, center, &input.name(), now.time)?;
            decide(state, observed, input, now)
        }
        Input::Arm(arm) => triggers::arm(state, observed, arm, now),
        Input::Disarm(disarm) => triggers::disarm(state, disarm),
        Input::Fire(fire) => triggers::fire(state, fire, now),
        Input::Emit(emit) => test_events::emit(state, emit, now.time),
        Input::Hello(hello) => Ok(answered(hello::hello(state, hello, now.time), Reply::HelloTaken)),
        Input::Machines { position, facts } => Ok(silent(machines::machines(state, *position, facts))),
        Input::Reports(reports) => Ok(silent(reports::reports(state, observed, reports, now))),
        Input::Refused { machine, refused } => Ok(silent(refused::refused(state, observed, machine, refused, now))),
        Input::Inventory { machine, incarnation, generation, known, last_batch } => {
            let list =
                hello::List { incarnation: *incarnation, generation: *generation, known, last_batch: *last_batch };
            Ok(silent(hello::inventory(state, observed, machine, &list, now.time)))
        }
        Input::Tick => {
            let lapsed = observed.master.lapsed(state, now.time);
            let due = attached::due(state, observed, now);
            let plans = plans::due(state, observed, now.time);
            let places = plan_place::due(state, observed, now);
            Ok(silent(
                tick::tick(state, now.time)
                    .into_iter()
                    .chain(lapsed)
                    .chain(due)
                    .chain(sync::due(state, now.time))
                    .chain(plans)
                    .chain(places)
                    .chain(groups::due(state))
                    .collect(),
            ))
        }
    }
}

/// A decision that nobody waits for.
fn silent(events: Vec<Event>) -> Decision<JobCore> {
    Decision { events, reply: None }
}

/// A decision with a reply.
fn answered(events: Vec<Event>, reply: Reply) -> Decision<JobCore> {
    Decision { events, reply: Some(reply) }
}
