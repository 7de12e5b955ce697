//! Real parts for tests, demos and benchmarks: a private nats-server, a private PostgreSQL, and a whole lab of Muster around them.
//!
//! Responsible for obtaining, starting, killing and ending processes on this machine. Not for what the tests ask of them.

mod answered;
mod client;
mod crash_point;
pub mod emulation;
pub mod formats;
pub mod kernel;
pub mod lab;
mod loop_device;
mod nats;
mod ports;
mod postgres;
mod process;
pub mod qemu;
mod sink;
mod small_disk;
mod system;
mod terminal;
pub mod tools;
mod wait;

pub use answered::answered;
pub use client::Client;
pub use crash_point::{Before, CrashPoint, Effects, Watch};
pub use loop_device::LoopDevice;
pub use nats::{ClusterPlace, NatsOptions, NatsServer};
pub use ports::free_port;
pub use postgres::Postgres;
pub use process::{Process, Spawn, is_alive, resident_bytes};
pub use sink::{Reception, Sink};
pub use small_disk::SmallDisk;
pub use system::{Running, System};
pub use terminal::Terminal;
pub use wait::{until, wait_until};

/// Pages of docs/ that `muster generate PAGE` prints.
pub const GENERATED_PAGES: [&str; 3] = ["cli", "subjects", "permissions"];

/// Prints a generated page with the programs in `directory`.
///
/// # Errors
/// When `muster` can not be run, or does not know the page.
pub fn generate_page(directory: &std::path::Path, page: &str) -> anyhow::Result<String> {
    use anyhow::Context;
    let output = std::process::Command::new(directory.join("muster")).args(["generate", page]).output();
    let output = output.context("run muster generate")?;
    anyhow::ensure!(output.status.success(), "generate {page}: {}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).context("read the page")
}
