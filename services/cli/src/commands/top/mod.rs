//! `muster top`: the pool, its jobs, its busiest machines and its stalled processes, live or once.

mod gather;
mod screen;
mod view;

use std::io::IsTerminal;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::Session;
use crate::arguments::TopArguments;
use crate::exit::Failure;
use crate::output::{self, Format};
use gather::Gatherer;
pub(crate) use gather::{list_jobs, list_machines};
pub(super) use screen::Screen;

/// The view is drawn this often.
const REFRESH: Duration = Duration::from_secs(1);
/// A view of one moment listens so long: two pings make a rate.
const LISTENS: Duration = Duration::from_millis(2_200);

pub(super) async fn run(session: &Session, arguments: &TopArguments) -> Result<(), Failure> {
    if !session.format.is_for_streams() {
        return Err(Failure::Usage("top: its parts are no one table; `--output json` is for programs".into()));
    }
    let mut gatherer = Gatherer::begin(session).await?;
    let live = !arguments.once && session.format == Format::Table && std::io::stdout().is_terminal();
    if live {
        return watch(session, &mut gatherer).await;
    }
    tokio::time::sleep(LISTENS).await;
    let snapshot = gatherer.look(session).await;
    match session.format {
        Format::Table | Format::Csv | Format::Html | Format::Svg | Format::Parquet => {
            output::write(&view::text(&snapshot, usize::MAX))
        }
        Format::Json => {
            let text = serde_json::to_string_pretty(&snapshot).map_err(anyhow::Error::new)?;
            output::write(&format!("{text}\n"))
        }
    }
}

/// Draws until `q`, ctrl-C or SIGTERM.
async fn watch(session: &Session, gatherer: &mut Gatherer) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| anyhow::Error::new(error).context("listen for signals"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut screen = Screen::enter();
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let looked = async {
            ticks.tick().await;
            gatherer.look(session).await
        };
        let snapshot = tokio::select! {
            snapshot = looked => snapshot,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        if screen.quit_typed() {
            return Ok(());
        }
        let (columns, rows) = Screen::size();
        screen.draw(&view::text(&snapshot, rows), columns, rows)?;
    }
}
