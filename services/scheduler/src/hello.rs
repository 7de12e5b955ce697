//! Hellos of agents: repaired by ordinary events, then answered with the whole desired list from the state after them.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use muster_bus::{Authority, Bus, BusError, Inbound, subjects};
use muster_ledger::{Handle, Lead, answer_each};
use muster_model::{CommandId, Incarnation, Position, Refusal, RefusalCode, Term};
use muster_proto::v1::{HelloAnswer, JobDesired, envelope::Body, hello_answer};

use crate::core::input::{Desired, Hello};
use crate::core::{Input, JobCore, desired};
use crate::shell::JobShell;
use crate::{metrics, wire};

/// Hellos that are answered at once; more wait.
const HELLOS_MAX: usize = 256;
/// An agent says hello to machine-lifecycle first; MACHINES is waited for so long to say so here too.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) async fn subscribe(bus: &Bus) -> Result<impl Stream<Item = Inbound> + Send + Unpin + use<>, BusError> {
    bus.subscribe(&subjects::every_hello(subjects::Service::Scheduler), None).await
}

/// Answers hellos until leadership ends.
pub(crate) async fn listen(
    shell: Arc<JobShell>,
    hellos: impl Stream<Item = Inbound> + Send + Unpin,
    handle: Handle<JobCore>,
    lead: Lead,
) {
    let term = lead.term;
    answer_each(&shell.bus, hellos, HELLOS_MAX, &lead, |inbound| answer(inbound, handle.clone(), term)).await;
}

async fn answer(inbound: Inbound, handle: Handle<JobCore>, term: Term) -> Option<(Body, Authority)> {
    if inbound.reply.is_none() {
        metrics::invalid();
        return None;
    }
    let answered = match decode(inbound) {
        Ok((id, hello)) => take(&handle, id, hello).await,
        Err(why) => {
            metrics::invalid();
            Err(refusal(RefusalCode::Invalid, why, "use an agent of the same version as the scheduler"))
        }
    };
    metrics::hello(answered.is_ok());
    let (body, position) = match answered {
        Ok((desired, position)) => {
            (Body::HelloAnswer(HelloAnswer { kind: Some(hello_answer::Kind::Job(desired)) }), position)
        }
        Err(refusal) => (Body::Refusal((&refusal).into()), Position::default()),
    };
    Some((body, Authority { position, term, ..Authority::default() }))
}

/// The id of the envelope stands for the command: a retry is another hello with another list.
fn decode(inbound: Inbound) -> Result<(CommandId, Hello), String> {
    let machine = subjects::machine_of(&inbound.subject).ok_or("its subject names no machine")?;
    let envelope = inbound.envelope?;
    let id: [u8; 16] = envelope.id.as_ref().try_into().map_err(|_| "its id is not a UUID")?;
    let incarnation = envelope.incarnation;
    let Some(Body::Hello(hello)) = envelope.body else { return Err("it is not a hello".into()) };
    let hello = wire::agents::hello(incarnation, hello).map_err(|error| error.to_string())?;
    if hello.machine != machine {
        return Err(format!("it speaks for {} on the subject of {machine}", hello.machine));
    }
    Ok((CommandId(id), hello))
}

async fn take(handle: &Handle<JobCore>, id: CommandId, hello: Hello) -> Result<(JobDesired, Position), Refusal> {
    wait_for_machines(handle, &hello).await?;
    let (machine, known) = (hello.machine.clone(), hello.known.clone());
    handle.command(id, format!("agent:{machine}"), Input::Hello(hello)).await?;
    handle
        .query(move |view| {
            let (generation, whole) = desired(view.state, &machine, &known);
            (job_desired(generation, whole), view.now.position)
        })
        .await
}

/// The whole list in one message. Where it does not fit, the agent gets generation 0 and then the list in parts, as updates on it.
fn job_desired(generation: Position, whole: Desired) -> JobDesired {
    if whole.fits() {
        return wire::agents::job_desired(generation, whole);
    }
    let told = Desired { orders: Vec::new(), ..whole };
    let first = told.split().into_iter().next().unwrap_or_default();
    wire::agents::job_desired(Position::default(), first)
}

/// Waits until MACHINES has been followed up to this incarnation.
async fn wait_for_machines(handle: &Handle<JobCore>, hello: &Hello) -> Result<(), Refusal> {
    let begun = tokio::time::Instant::now();
    loop {
        let machine = hello.machine.clone();
        let seen = handle.query(move |view| view.state.machines.get(&machine).map(|machine| machine.seen.incarnation));
        match seen.await? {
            Some(seen) if seen == hello.incarnation && seen != Incarnation(0) => return Ok(()),
            Some(seen) if seen > hello.incarnation => {
                let why = format!("incarnation {} is over: {seen} was granted", hello.incarnation);
                return Err(refusal(RefusalCode::Refused, why, "say hello to machine-lifecycle first"));
            }
            Some(_) | None => {}
        }
        if begun.elapsed() >= FOLLOW_PATIENCE {
            let why = format!("MACHINES was not followed up to incarnation {} yet", hello.incarnation);
            return Err(refusal(RefusalCode::Unavailable, why, "say hello again"));
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

fn refusal(code: RefusalCode, why: impl Into<String>, next: &str) -> Refusal {
    Refusal::new(code, "say hello to the scheduler", why, next)
}
