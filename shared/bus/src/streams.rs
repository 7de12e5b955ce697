//! Streams, object stores and buckets: one table, and one idempotent way to make them. Nothing is ever deleted and made again.

use std::time::Duration;

use async_nats::jetstream::{kv, object_store, stream};
use muster_model::PoolTime;

use crate::subjects::Service;
use crate::{Bucket, Bus, BusError};

/// Decision log of the scheduler.
pub const JOBS: &str = "JOBS";
/// Decision log of machine-lifecycle.
pub const MACHINES: &str = "MACHINES";
/// Decision log of reservation.
pub const RESERVATIONS: &str = "RESERVATIONS";
/// Durable reports of agents.
pub const REPORTS: &str = "REPORTS";
/// Samples.
pub const TEL: &str = "TEL";
/// The bucket in which leaders hold their leases.
pub const LEASES: &str = "leases";
/// The buckets in memory that owning services write for readers, by their writer.
pub const PROJECTIONS: [(Service, &str); 3] =
    [(Service::Scheduler, "jobs"), (Service::MachineLifecycle, "machines"), (Service::Reservation, "reservations")];
/// How long a lease lives without renewal.
pub const LEASE_AGE: Duration = Duration::from_secs(6);

const DAY: Duration = Duration::from_secs(24 * 3600);
const GIB: i64 = 1 << 30;
/// Greatest size of an object store, bytes.
pub(crate) const BUCKET_SIZE_MAX_BYTES: i64 = 16 * GIB;

/// A stream of the table.
#[derive(Debug, Clone, Copy)]
pub struct StreamRow {
    /// Its name.
    pub name: &'static str,
    /// Subjects it keeps.
    pub subjects: &'static str,
    /// How long; none means until purged by its owner.
    pub age_max: Option<Duration>,
    /// Its greatest size, bytes; beyond it new messages are refused.
    pub size_max_bytes: i64,
}

/// The streams.
pub const TABLE: &[StreamRow] = &[
    StreamRow { name: JOBS, subjects: "muster.v1.log.scheduler.>", age_max: None, size_max_bytes: 4 * GIB },
    StreamRow { name: MACHINES, subjects: "muster.v1.log.machine-lifecycle.>", age_max: None, size_max_bytes: 2 * GIB },
    StreamRow { name: RESERVATIONS, subjects: "muster.v1.log.reservation.>", age_max: None, size_max_bytes: GIB },
    StreamRow {
        name: REPORTS,
        subjects: "muster.v1.agent.*.rpt",
        age_max: Some(Duration::from_secs(14 * 24 * 3600)),
        size_max_bytes: 8 * GIB,
    },
    StreamRow {
        name: TEL,
        subjects: "muster.v1.agent.*.tel",
        age_max: Some(Duration::from_secs(3 * 24 * 3600)),
        size_max_bytes: 16 * GIB,
    },
];

/// The decision log of an owning service; none for the others.
#[must_use]
pub fn log_of(service: Service) -> Option<&'static str> {
    match service {
        Service::Scheduler => Some(JOBS),
        Service::MachineLifecycle => Some(MACHINES),
        Service::Reservation => Some(RESERVATIONS),
        Service::TelemetryLogger | Service::Report => None,
    }
}

/// The bucket in memory that a service writes for readers; none for who owns no log.
#[must_use]
pub fn projection_of(service: Service) -> Option<&'static str> {
    PROJECTIONS.iter().find(|(owner, _)| *owner == service).map(|(_, bucket)| *bucket)
}

/// How the streams are made.
#[derive(Debug, Clone, Copy)]
pub struct InitOptions {
    /// Copies of each stream: 1 or 3.
    pub replicas: usize,
    /// All sizes are divided by this: a lab's disk is small.
    pub size_divisor: i64,
}

/// What a stream holds now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamState {
    /// When it was made: a stream that was made again has another one.
    pub created: PoolTime,
    /// First sequence that it still holds; above `last` when it is empty.
    pub first: u64,
    /// Last sequence that it ever stored; 0 for none.
    pub last: u64,
    /// Its size, bytes.
    pub size_bytes: u64,
}

impl Bus {
    /// What a stream holds now; none when there is no such stream.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn stream_state(&self, stream: &str) -> Result<Option<StreamState>, BusError> {
        let Some(info) = self.stream_info(stream).await? else { return Ok(None) };
        let created = PoolTime(i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or(i64::MAX));
        let state = &info.state;
        let (first, last, size_bytes) = (state.first_sequence, state.last_sequence, state.bytes);
        Ok(Some(StreamState { created, first, last, size_bytes }))
    }

    /// All that the server says of a stream; none when there is no such stream.
    pub(crate) async fn stream_info(&self, stream: &str) -> Result<Option<stream::Info>, BusError> {
        use async_nats::jetstream::ErrorCode;
        use async_nats::jetstream::context::GetStreamErrorKind;
        match self.jetstream().get_stream(stream).await {
            Ok(found) => Ok(Some(found.cached_info().clone())),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(inner) if inner.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(BusError::failed(format!("look at the stream {stream}"), error)),
            },
        }
    }

    /// Makes every stream, object store and bucket that is missing. Those that exist are left as they are.
    ///
    /// # Errors
    /// When one can not be made.
    pub async fn init_streams(&self, options: InitOptions) -> Result<(), BusError> {
        for row in TABLE {
            let config = stream_config(row, options);
            let made = self.jetstream().get_or_create_stream(config).await;
            made.map_err(|error| BusError::failed(format!("make the stream {}", row.name), error))?;
        }
        for bucket in Bucket::ALL {
            self.init_bucket(bucket, options).await?;
        }
        let leases = kv::Config {
            bucket: LEASES.into(),
            max_age: LEASE_AGE,
            limit_markers: Some(Duration::from_secs(60)),
            num_replicas: options.replicas,
            storage: stream::StorageType::File,
            ..Default::default()
        };
        match self.jetstream().get_key_value(LEASES).await {
            Ok(_) => Ok(()),
            Err(_) => {
                let made = self.jetstream().create_key_value(leases).await;
                made.map(drop).map_err(|error| BusError::failed("make the bucket leases", error))
            }
        }
    }

    async fn init_bucket(&self, bucket: Bucket, options: InitOptions) -> Result<(), BusError> {
        if self.jetstream().get_object_store(bucket.as_str()).await.is_ok() {
            return Ok(());
        }
        let config = object_store::Config {
            bucket: bucket.as_str().into(),
            max_bytes: BUCKET_SIZE_MAX_BYTES / options.size_divisor,
            num_replicas: options.replicas,
            ..Default::default()
        };
        let made = self.jetstream().create_object_store(config).await;
        made.map(drop).map_err(|error| BusError::failed(format!("make the object store {}", bucket.as_str()), error))
    }
}

pub(crate) fn stream_config(row: &StreamRow, options: InitOptions) -> stream::Config {
    stream::Config {
        name: row.name.into(),
        subjects: vec![row.subjects.into()],
        max_age: row.age_max.unwrap_or_default(),
        max_bytes: row.size_max_bytes / options.size_divisor,
        max_message_size: 1_000_000,
        discard: stream::DiscardPolicy::New,
        storage: stream::StorageType::File,
        num_replicas: options.replicas,
        allow_direct: true,
        duplicate_window: Duration::from_secs(120).min(row.age_max.unwrap_or(DAY)),
        deny_delete: true,
        ..Default::default()
    }
}
