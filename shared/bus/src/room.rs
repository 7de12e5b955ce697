//! How much room the servers have: by how much the sizes of the stream table must be divided.

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream;

use crate::objects::Bucket;
use crate::streams::{BUCKET_SIZE_MAX_BYTES, TABLE};
use crate::{Bus, BusError};

/// Name and subject of the stream that asks for room; it is never written to, and gone at once.
const PROBE: &str = "muster-room";
/// The greatest divisor: a store without this much room is too small.
const DIVISOR_MAX: i64 = 1024;

impl Bus {
    /// The least power of two by which all sizes must be divided for every missing stream and object store to fit; the server
    /// reserves the greatest size of a stream when it is made.
    ///
    /// # Errors
    /// When the server does not answer, or has no room at all.
    pub async fn size_divisor(&self, replicas: usize) -> Result<i64, BusError> {
        let wanted = self.missing_bytes().await?;
        let mut divisor = 1;
        while wanted > 0 && !self.has_room(wanted / divisor, replicas).await? {
            divisor *= 2;
            if divisor > DIVISOR_MAX {
                let reason = "the store of JetStream is too small; raise max_file_store on the servers";
                return Err(BusError::failed("make room for the streams", reason));
            }
        }
        Ok(divisor)
    }

    async fn missing_bytes(&self) -> Result<i64, BusError> {
        let mut wanted = 0;
        for row in TABLE {
            if self.stream_state(row.name).await?.is_none() {
                wanted += row.size_max_bytes;
            }
        }
        for bucket in Bucket::ALL {
            if self.stream_state(&format!("OBJ_{}", bucket.as_str())).await?.is_none() {
                wanted += BUCKET_SIZE_MAX_BYTES;
            }
        }
        Ok(wanted)
    }

    async fn has_room(&self, bytes: i64, replicas: usize) -> Result<bool, BusError> {
        let config = stream::Config {
            name: PROBE.into(),
            subjects: vec![PROBE.into()],
            max_bytes: bytes,
            storage: stream::StorageType::File,
            num_replicas: replicas,
            ..Default::default()
        };
        let failed = |error: String| BusError::failed("ask the server for room", error);
        match self.jetstream().create_stream(config).await {
            Ok(_) => {
                let deleted = self.jetstream().delete_stream(PROBE).await;
                deleted.map(|_| true).map_err(|error| failed(error.to_string()))
            }
            Err(error) => match error.kind() {
                CreateStreamErrorKind::JetStream(inner) if is_full(inner.error_code()) => Ok(false),
                _ => Err(failed(error.to_string())),
            },
        }
    }
}

fn is_full(code: ErrorCode) -> bool {
    [ErrorCode::STORAGE_RESOURCES_EXCEEDED, ErrorCode::INSUFFICIENT_RESOURCES, ErrorCode::CLUSTER_NO_PEERS]
        .contains(&code)
}
