//! Generates the Rust of `proto/` again: what `cargo xtask codegen` runs.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    muster_rules::codegen::run(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}
