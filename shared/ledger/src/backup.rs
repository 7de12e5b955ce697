//! A decision log as a file: every message of its lineage, from the first, as it stands in the log.
//!
//! The file is a row of length-delimited `muster.v1.Envelope` messages (a varint, then so many bytes), which any protobuf library
//! reads. Responsible for writing it, for checking it whole, and for reading it again. Not for what becomes of it (`recover`).

mod copy;
mod read;
mod walk;

pub use copy::LogCopy;
pub use read::LogBackup;
pub use walk::LogExtent;
