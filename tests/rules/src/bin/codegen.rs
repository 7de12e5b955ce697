//! Generates the Rust of `proto/` and docs/metrics.md again: part of what `cargo xtask codegen` runs.

use anyhow::Context;
use muster_rules::{codegen, lock, metrics, root};

fn main() -> anyhow::Result<()> {
    lock::extend(&root())?;
    codegen::run(&root())?;
    std::fs::write(root().join(metrics::PAGE), metrics::page()).with_context(|| format!("write {}", metrics::PAGE))?;
    println!("{}\n{}", lock::LOCK, metrics::PAGE);
    Ok(())
}
