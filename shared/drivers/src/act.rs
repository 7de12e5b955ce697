//! One action on the power of a machine, with a look at what came of it.
//!
//! What was said is one thing and what is seen another: a controller that answers "done" and does nothing is found here. For on and off
//! the state is what counts, whatever was said.

use std::time::Duration;

use muster_model::{PowerAction, PowerState};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{Deadline, Done, DriverError, PowerDriver};

/// Beyond its deadline a driver is given this, to end what it began and to say why; then it is dropped.
const SLACK: Duration = Duration::from_secs(2);

/// How states are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks.
    pub look_step: Duration,
    /// The longest that one look may take.
    pub look_max: Duration,
    /// The longest that a state is waited for, once an action was done.
    pub settle_max: Duration,
    /// The least that a machine stays off in a cycle: capacitors are slow.
    pub off_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            look_step: Duration::from_secs(1),
            look_max: Duration::from_secs(20),
            settle_max: Duration::from_secs(30),
            off_pause: Duration::from_secs(10),
        }
    }
}

/// What an action came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The machine is in the state that the action leads to.
    Confirmed,
    /// It was said to be done, and the machine is in another state.
    Differs,
    /// It was said to be done, and nobody can see what came of it.
    Unseen,
    /// A person was asked, and is to say when it is done.
    Asked,
    /// It was not done, or nobody knows: the complaint says which.
    Failed,
}

/// What was asked, what was seen, and how long it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// What was asked.
    pub asked: PowerAction,
    /// What it came to.
    pub outcome: Outcome,
    /// The state that was seen last.
    pub seen: PowerState,
    /// What went wrong, if anything; an action can be confirmed all the same.
    pub complaint: Option<DriverError>,
    /// From the beginning to the last look.
    pub took: Duration,
}

/// Does one thing to a machine, within so long for each call of its driver, and looks until it has come true or the pace's limit is over.
pub async fn act_and_read_back(driver: &dyn PowerDriver, action: PowerAction, within: Duration, pace: &Pace) -> Acted {
    let begun = Instant::now();
    let able = driver.capabilities();
    let is_composed =
        action == PowerAction::Cycle && able.contains(&PowerAction::On) && able.contains(&PowerAction::Off);
    let acted = if is_composed { cycle(driver, within, pace).await } else { once(driver, action, within, pace).await };
    Acted { asked: action, took: begun.elapsed(), ..acted }
}

/// Off, seen to be off, a pause, and on: that a machine was off is proven by nothing else. Not on again where it never went off.
async fn cycle(driver: &dyn PowerDriver, within: Duration, pace: &Pace) -> Acted {
    let off = once(driver, PowerAction::Off, within, pace).await;
    match off.outcome {
        Outcome::Confirmed | Outcome::Unseen => sleep(pace.off_pause).await,
        Outcome::Differs | Outcome::Failed => return off,
        // The person is asked for the cycle as a whole.
        Outcome::Asked => return off,
    }
    once(driver, PowerAction::On, within, pace).await
}

async fn once(driver: &dyn PowerDriver, action: PowerAction, within: Duration, pace: &Pace) -> Acted {
    let acted = |outcome, seen, complaint| Acted { asked: action, outcome, seen, complaint, took: Duration::ZERO };
    if !driver.capabilities().contains(&action) {
        let error = DriverError::Unable(format!("this driver can not do `{action}`"));
        return acted(Outcome::Failed, PowerState::Unknown, Some(error));
    }
    let deadline = Deadline::within(within);
    match bounded(driver.act(action, deadline), deadline).await {
        Ok(Done::Asked) => acted(Outcome::Asked, PowerState::Unknown, None),
        Ok(Done::Done) => {
            let (seen, complaint) = read_back(driver, action.leads_to(), pace).await;
            let outcome = match seen {
                PowerState::Unknown => Outcome::Unseen,
                seen if seen == action.leads_to() => Outcome::Confirmed,
                PowerState::On | PowerState::Off => Outcome::Differs,
            };
            acted(outcome, seen, complaint)
        }
        Err(error) if error.was_begun() => {
            let (seen, _) = look(driver, pace).await;
            let is_state = matches!(action, PowerAction::On | PowerAction::Off) && seen == action.leads_to();
            acted(if is_state { Outcome::Confirmed } else { Outcome::Failed }, seen, Some(error))
        }
        Err(error) => acted(Outcome::Failed, PowerState::Unknown, Some(error)),
    }
}

/// Looks until the state is as wanted; gives what was seen last, and why a last look failed.
async fn read_back(driver: &dyn PowerDriver, wanted: PowerState, pace: &Pace) -> (PowerState, Option<DriverError>) {
    let limit = Deadline::within(pace.settle_max);
    loop {
        let (seen, complaint) = look(driver, pace).await;
        if seen == wanted || limit.has_passed() || !driver.reads_state() {
            return (seen, complaint);
        }
        sleep(pace.look_step).await;
    }
}

async fn look(driver: &dyn PowerDriver, pace: &Pace) -> (PowerState, Option<DriverError>) {
    if !driver.reads_state() {
        return (PowerState::Unknown, None);
    }
    let deadline = Deadline::within(pace.look_max);
    match bounded(driver.state(deadline), deadline).await {
        Ok(seen) => (seen, None),
        Err(error) => (PowerState::Unknown, Some(error)),
    }
}

/// A driver's answer, or none where it does not keep its own deadline.
pub(crate) async fn bounded<T>(answer: crate::Answer<'_, T>, deadline: Deadline) -> Result<T, DriverError> {
    match timeout_at(deadline.at() + SLACK, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(DriverError::Unclear(format!("the driver did not answer within {:?}", deadline.given() + SLACK))),
    }
}
