//! Arguments, and the bounds of the service.

use std::path::PathBuf;
use std::time::Duration;

use muster_bus::streams;
use muster_store::{Access, StoreArguments, StoreOptions};

use crate::core::{Kind, Limits, SeriesBounds};

/// From JetStream to PostgreSQL, exactly once.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "muster-telemetry-logger", version)]
pub struct Arguments {
    /// What every service has.
    #[command(flatten)]
    pub common: muster_chassis::CommonArguments,
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArguments,
    /// Something else than serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Something else than serving.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Bring the schema to this version's, and end.
    Migrate {
        /// Lets the report service log in, as the role `muster_report`, which only reads, with the password in this file
        #[arg(long, env = "MUSTER_REPORT_PASSWORD_FILE", value_name = "FILE")]
        report_password: Option<PathBuf>,
    },
}

/// A stream that is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    /// Name of the stream.
    pub(crate) stream: &'static str,
    /// What it carries.
    pub(crate) kind: Kind,
    /// A batch is written this long after its first message at the latest.
    pub(crate) window: Duration,
    /// Messages that are fetched ahead.
    pub(crate) ahead: i64,
}

const SAMPLES_WINDOW: Duration = Duration::from_secs(1);
/// Reports and logs are asked for right after a job's end: they wait less.
const WORDS_WINDOW: Duration = Duration::from_millis(200);

/// Batches of samples are small, and come fast after a while without PostgreSQL.
const SAMPLES_AHEAD: i64 = 500;
/// A turn of a log may have half a MiB.
const WORDS_AHEAD: i64 = 64;

const fn words(stream: &'static str, kind: Kind) -> Source {
    Source { stream, kind, window: WORDS_WINDOW, ahead: WORDS_AHEAD }
}

/// Every stream that is read.
pub(crate) const SOURCES: [Source; 5] = [
    Source { stream: streams::TEL, kind: Kind::Samples, window: SAMPLES_WINDOW, ahead: SAMPLES_AHEAD },
    words(streams::REPORTS, Kind::Reports),
    words(streams::JOBS, Kind::Log),
    words(streams::MACHINES, Kind::Log),
    words(streams::RESERVATIONS, Kind::Log),
];

/// When a batch is full.
pub(crate) const LIMITS: Limits = Limits { samples_max: 200_000, bytes_max: 8 << 20, messages_max: 10_000 };
/// A stream is looked at this often, to see whether it was made again.
pub(crate) const EPOCH_INTERVAL: Duration = Duration::from_secs(2);
/// A transaction may take so long until it counts as failed with an unknown outcome.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// First and greatest time between attempts at what is away.
pub(crate) const RETRY_MIN: Duration = Duration::from_millis(100);
/// See [`RETRY_MIN`].
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(1);
/// Newest batches of so many agents are remembered.
pub(crate) const REPEATS_MAX: usize = 100_000;
/// Series at most: a module that invents names fills its own bound, and nobody else's.
pub(crate) const SERIES_BOUNDS: SeriesBounds = SeriesBounds { process: 2_000, machine: 50_000, run: 5_000_000 };
/// Series, counts and layouts that are remembered for these bounds; then everything is asked for again.
pub(crate) const CENSUS_MAX: usize = 2_000_000;
/// Hours are looked for, to be compacted, this often.
pub(crate) const COMPACTION_INTERVAL: Duration = Duration::from_secs(60);
/// After the end of an hour, a message that was stored so much later has to be taken before the hour counts as complete.
pub(crate) const COMPACTION_GRACE: Duration = Duration::from_secs(5 * 60);
/// Connections for compaction: one works, one looks.
const COMPACTION_CONNECTIONS: usize = 2;
/// Requests on the archive that are answered at once.
pub(crate) const REQUESTS_MAX: usize = 4;

/// How the logger uses the store: a connection for each stream, some for the archive and for compaction.
pub(crate) fn store_options() -> StoreOptions {
    StoreOptions {
        application: "muster-telemetry-logger".into(),
        access: Access::Write,
        connections_max: SOURCES.len() + REQUESTS_MAX + COMPACTION_CONNECTIONS,
        statement_timeout: Duration::from_secs(30),
    }
}
