//! One file for each family of commands: ask, wait, print.

mod admin;
mod analyses;
mod artifacts;
mod audit;
mod backup;
mod boots;
mod checkout;
mod clients;
mod clock;
mod doctor;
mod events;
mod export;
mod held;
pub(crate) mod jobs;
mod kernels;
mod keys;
mod ladder;
mod limits;
mod load_numbers;
mod logs;
mod machines;
mod manifest;
mod master;
mod mix;
mod module_test;
mod modules;
mod past;
mod plans;
mod pool_file;
mod power;
mod processes;
mod pulse_report;
mod pulses;
mod quotas;
mod recover;
mod reports;
mod rerun;
mod reservations;
mod resources;
mod rollouts;
mod runs;
mod set;
mod show;
mod start;
mod stop;
mod storage;
mod telemetry;
mod test_events;
pub(crate) mod top;
mod triggers;
mod upload;
mod wait;

pub(crate) use pool_file::told;

use std::io::Read;

use muster_model::{Refusal, RefusalCode};

use crate::arguments::{Command, GenerateCommand, Global, ModuleCommand};
use crate::client::Client;
use crate::exit::Failure;
use crate::output::{self, Format, Layout, Table};
use crate::times::Viewer;
use crate::{decode, generate, permissions_page};

/// `muster decode` reads at most this: NATS carries at most 64 MiB.
const MESSAGE_SIZE_MAX: u64 = 64 << 20;

/// What a command works with.
pub(crate) struct Session {
    client: Client,
    format: Format,
}

impl Session {
    async fn begin(global: &Global) -> Result<Self, Failure> {
        Ok(Self { client: Client::connect(global).await?, format: global.output })
    }

    /// A session over a connection that there is.
    pub(crate) fn of(client: Client, format: Format) -> Self {
        Self { client, format }
    }

    /// The same session, whose questions to owning services are about a moment.
    fn at(&self, moment: muster_model::PoolTime) -> Self {
        Self { client: self.client.clone().at(moment), format: self.format }
    }

    /// Prints a table in the form that the user chose.
    async fn print(&self, table: &Table) -> Result<(), Failure> {
        if self.format == Format::Parquet {
            return output::write_bytes(&output::parquet(&table.reply())?);
        }
        let layout = Layout { format: self.format, viewer: self.viewer().await };
        self.write(&layout.render(table)?)
    }

    /// Writes a text that may be long. A command center has the terminal to itself: no pager there.
    fn write(&self, text: &str) -> Result<(), Failure> {
        if self.client.seat().is_some() { output::write(text) } else { output::write_paged(text) }
    }

    /// Who looks: programs see no ages, so the pool time is asked for people alone.
    async fn viewer(&self) -> Viewer {
        match self.format {
            Format::Table => self.client.viewer().await,
            Format::Json | Format::Csv | Format::Html | Format::Svg | Format::Parquet => {
                Viewer::here(self.client.bus().now())
            }
        }
    }
}

/// Runs a command, over a connection of its own where it needs one.
///
/// # Errors
/// How it ended, when not as it should.
pub(crate) async fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Decode => decode_stdin(),
        Command::Client(command) => clients::run(&command, global.output),
        Command::Module(ModuleCommand::Test(arguments)) => module_test::run(&arguments, global.output),
        Command::Generate(command) => generate(&command),
        command => {
            if let Some(ended) = clients::performed_here(&command, global.output) {
                return ended;
            }
            if let Command::Admin(admin) = &command
                && let Some(ended) = keys::performed(global, admin).await
            {
                return ended;
            }
            let session = Session::begin(global).await?;
            let tells = held::is_told_after(&command);
            let ended = perform(&session, command).await;
            if tells {
                held::tell(&session, &format!("user:{}", global.user()?)).await;
            }
            ended
        }
    }
}

/// Performs a command.
///
/// # Errors
/// How it ended, when not as it should.
pub(crate) async fn perform(session: &Session, command: Command) -> Result<(), Failure> {
    if let Some(ended) = clients::performed_here(&command, session.format) {
        return ended;
    }
    match command {
        Command::Machine(command) => machines::run(session, command).await,
        Command::Resource(command) => resources::run(session, command).await,
        Command::LoadNumber(command) => load_numbers::run(session, command).await,
        Command::Hold(command) => power::hold(session, &command).await,
        Command::Kernel(command) => kernels::run(session, command).await,
        Command::Module(command) => modules::run(session, command).await,
        Command::Start(arguments) => start::run(session, arguments).await,
        Command::Rerun(arguments) => rerun::run(session, &arguments).await,
        Command::Stop(arguments) => stop::run(session, arguments).await,
        Command::Mix(command) => mix::run(session, command).await,
        Command::Plan(command) => plans::run(session, command).await,
        Command::Set(arguments) => set::run(session, arguments).await,
        Command::Pulse(command) => pulses::run(session, command).await,
        Command::Trigger(command) => triggers::run(session, command).await,
        Command::Wait(arguments) => wait::run(session, &arguments).await,
        Command::Emit(arguments) => test_events::emit(session, arguments).await,
        Command::WaitEvent(arguments) => test_events::wait(session, arguments).await,
        Command::Ps(arguments) => processes::list(session, &arguments).await,
        Command::Jobs(arguments) => jobs::list(session, &arguments).await,
        Command::Top(arguments) => top::run(session, &arguments).await,
        Command::Show(arguments) => show::show(session, arguments.target).await,
        Command::Why(arguments) => show::why(session, arguments.target).await,
        Command::Quota(command) => quotas::run(session, command).await,
        Command::Logs(arguments) => logs::run(session, arguments).await,
        Command::RunId(command) => runs::run(session, &command).await,
        Command::Clock => clock::run(session).await,
        Command::Reserve(arguments) => reservations::reserve(session, arguments).await,
        Command::Reservation(command) => reservations::run(session, &command).await,
        Command::Rollout(command) => rollouts::run(session, command).await,
        Command::Extend(arguments) => reservations::extend(session, &arguments).await,
        Command::Dismiss(arguments) => reservations::dismiss(session, arguments).await,
        Command::Checkin(arguments) => reservations::check_in(session, arguments).await,
        Command::Report(command) => reports::run(session, command).await,
        Command::Export(arguments) => export::run(session, arguments).await,
        Command::At(arguments) => past::at(session, &arguments).await,
        Command::Diff(arguments) => past::diff(session, arguments).await,
        Command::Artifact(command) => artifacts::run(session, command).await,
        Command::Events(arguments) => events::run(session, &arguments).await,
        Command::Doctor(arguments) => doctor::run(session, &arguments).await,
        Command::Admin(command) => admin::run(session, &command).await,
        Command::Master(command) => master::run(session, &command).await,
        Command::Client(command) => clients::run(&command, session.format),
        Command::Decode => decode_stdin(),
        Command::Generate(command) => generate(&command),
    }
}

fn generate(command: &GenerateCommand) -> Result<(), Failure> {
    match command {
        GenerateCommand::Cli => output::write(&generate::cli_markdown()),
        GenerateCommand::Subjects => output::write(&generate::subjects_markdown()),
        GenerateCommand::Permissions => output::write(&permissions_page::permissions_markdown()),
        GenerateCommand::Completions { shell } => output::write(&generate::completions(*shell)),
        GenerateCommand::Man { directory } => Ok(generate::manual(directory)?),
    }
}

/// Names a thing that is not there.
fn not_found(what: String, thing: String, next: &str) -> Failure {
    Refusal::new(RefusalCode::NotFound, what, format!("there is no {thing}"), next).into()
}

fn decode_stdin() -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MESSAGE_SIZE_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Failure::Other(anyhow::Error::new(error).context("read stdin")))?;
    let value = decode::envelope_json(&bytes).map_err(anyhow::Error::new)?;
    output::write(&format!("{value}\n"))
}
