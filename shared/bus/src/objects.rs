//! Object stores: files by name, whole or not at all.

use tokio::io::AsyncRead;

use crate::{Bus, BusError};

/// An object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bucket {
    /// Artifacts of test modules, by SHA-256.
    Modules,
    /// Logs of ended processes, by `<run>-<dpid>-<attempt>`, or in bundles (see `logs.rs`).
    Logs,
    /// Kernel images and initial RAM disks, by SHA-256.
    Kernels,
    /// Files that tests left.
    Artifacts,
    /// Snapshots of the owning services, by `<log>-<lineage>-<sequence>`.
    Snapshots,
}

impl Bucket {
    /// All buckets.
    pub const ALL: [Self; 5] = [Self::Modules, Self::Kernels, Self::Logs, Self::Artifacts, Self::Snapshots];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Modules => "modules",
            Self::Kernels => "kernels",
            Self::Logs => "logs",
            Self::Artifacts => "artifacts",
            Self::Snapshots => "snapshots",
        }
    }
}

impl Bus {
    /// Puts a file; one of the same name is replaced.
    ///
    /// # Errors
    /// When the store is full or not reachable.
    pub async fn put_object(
        &self,
        bucket: Bucket,
        name: &str,
        data: &mut (impl AsyncRead + Unpin + Send),
    ) -> Result<(), BusError> {
        let what = || format!("put {name} into the object store {}", bucket.as_str());
        let store =
            self.jetstream().get_object_store(bucket.as_str()).await.map_err(|e| BusError::failed(what(), e))?;
        store.put(name, data).await.map_err(|error| BusError::failed(what(), error))?;
        Ok(())
    }

    /// Opens a file for reading; none if there is no such file. Its digest is checked by the client at the end of reading.
    ///
    /// # Errors
    /// When the store is not reachable.
    pub async fn get_object(
        &self,
        bucket: Bucket,
        name: &str,
    ) -> Result<Option<impl AsyncRead + Unpin + Send + use<>>, BusError> {
        let what = || format!("get {name} from the object store {}", bucket.as_str());
        let store =
            self.jetstream().get_object_store(bucket.as_str()).await.map_err(|e| BusError::failed(what(), e))?;
        match store.get(name).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind() == async_nats::jetstream::object_store::GetErrorKind::NotFound => Ok(None),
            Err(error) => Err(BusError::failed(what(), error)),
        }
    }

    /// There is a file of this name.
    ///
    /// # Errors
    /// When the store is not reachable.
    pub async fn has_object(&self, bucket: Bucket, name: &str) -> Result<bool, BusError> {
        use async_nats::jetstream::object_store::InfoErrorKind;
        let what = || format!("look for {name} in the object store {}", bucket.as_str());
        let store =
            self.jetstream().get_object_store(bucket.as_str()).await.map_err(|e| BusError::failed(what(), e))?;
        match store.info(name).await {
            Ok(info) => Ok(!info.deleted),
            Err(error) if error.kind() == InfoErrorKind::NotFound => Ok(false),
            Err(error) => Err(BusError::failed(what(), error)),
        }
    }

    /// Deletes a file; it is no error if there is none.
    ///
    /// # Errors
    /// When the store is not reachable.
    pub async fn delete_object(&self, bucket: Bucket, name: &str) -> Result<(), BusError> {
        use async_nats::jetstream::object_store::DeleteErrorKind;
        let what = || format!("delete {name} from the object store {}", bucket.as_str());
        let store =
            self.jetstream().get_object_store(bucket.as_str()).await.map_err(|e| BusError::failed(what(), e))?;
        match store.delete(name).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == DeleteErrorKind::NotFound => Ok(()),
            Err(error) => Err(BusError::failed(what(), error)),
        }
    }

    /// Names of all files of a store, sorted.
    ///
    /// # Errors
    /// When the store is not reachable.
    pub async fn list_objects(&self, bucket: Bucket) -> Result<Vec<String>, BusError> {
        use futures::TryStreamExt;
        let what = || format!("list the object store {}", bucket.as_str());
        let store =
            self.jetstream().get_object_store(bucket.as_str()).await.map_err(|e| BusError::failed(what(), e))?;
        let list = store.list().await.map_err(|error| BusError::failed(what(), error))?;
        let infos: Vec<_> = list.try_collect().await.map_err(|error| BusError::failed(what(), error))?;
        let mut names: Vec<String> = infos.into_iter().map(|info| info.name).collect();
        names.sort();
        Ok(names)
    }
}
