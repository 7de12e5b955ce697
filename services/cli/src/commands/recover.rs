//! `muster admin recover`: rebuilds a lost decision log from the archive.

use muster_bus::subjects::Service;
use muster_ledger::RecoverOptions;

use super::Session;
use super::admin::refused;
use super::events::stream_of;
use crate::arguments::{LogName, RecoverArguments};
use crate::confirm::confirm;
use crate::exit::Failure;
use crate::output::{Cell, Table};
use crate::progress::Progress;

pub(super) async fn run(session: &Session, arguments: &RecoverArguments) -> Result<(), Failure> {
    let log = stream_of(arguments.log);
    let what = format!("recover {log}");
    confirm(&what, &[touched(session, log, arguments.replace).await?], arguments.yes).await?;
    session.client.wait_archive(&what, log).await?;
    let options = RecoverOptions { replace: arguments.replace };
    let mut progress: Option<Progress> = None;
    let shown = |done: u64, all: u64| {
        progress.get_or_insert_with(|| Progress::begin(&format!("recover {log}"), all, false)).set(done, "messages");
    };
    let recovered = muster_ledger::recover(session.client.bus(), owner(arguments.log), options, shown).await;
    if let Some(progress) = progress {
        progress.clear();
    }
    let recovered = recovered.map_err(|error| refused(&what, error))?;
    let table = Table::record(vec![
        ("log", Cell::text(log)),
        ("lineage", Cell::Integer(recovered.lineage)),
        ("messages", Cell::Integer(recovered.messages)),
        ("rebuilt_from", Cell::text(recovered.rebuilt_from.to_string())),
        ("system", Cell::text(uuid::Uuid::from_bytes(recovered.system.0).to_string())),
    ]);
    session.print(&table).await
}

/// The service that is the single writer of a log.
fn owner(log: LogName) -> Service {
    match log {
        LogName::Jobs => Service::Scheduler,
        LogName::Machines => Service::MachineLifecycle,
        LogName::Reservations => Service::Reservation,
    }
}

async fn touched(session: &Session, log: &str, replace: bool) -> Result<String, Failure> {
    let state = session.client.bus().stream_state(log).await?;
    let held = state.map_or(0, |state| (state.last + 1).saturating_sub(state.first));
    Ok(match (held, replace) {
        (0, _) => format!("the empty log {log}, which begins a new lineage from the archive"),
        (held, true) => format!("the log {log}, whose {held} messages are taken away and replaced from the archive"),
        (held, false) => format!("the log {log}, which holds {held} messages"),
    })
}
