//! Real parts for tests, demos and benchmarks: a private nats-server, a private PostgreSQL, and a whole lab of Muster around them.
//!
//! Responsible for obtaining, starting, killing and ending processes on this machine. Not for what the tests ask of them.

mod answered;
pub mod lab;
mod nats;
mod postgres;
mod process;
mod system;
mod terminal;
pub mod tools;

pub use answered::answered;
pub use nats::{ClusterPlace, NatsOptions, NatsServer};
pub use postgres::Postgres;
pub use process::{Process, Spawn, is_alive};
pub use system::{Running, System};
pub use terminal::Terminal;

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A TCP port of the loopback that is free now.
///
/// # Errors
/// When the machine has none left.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Asks `condition` again and again until it holds.
///
/// # Errors
/// Says what was waited for when `limit` has passed.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !condition() {
        anyhow::ensure!(start.elapsed() < limit, "{what} did not come true within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Pages of docs/ that `muster generate PAGE` prints.
pub const GENERATED_PAGES: [&str; 2] = ["cli", "subjects"];

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
