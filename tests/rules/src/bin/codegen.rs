//! Generates the Rust of `proto/` again: what `cargo xtask codegen` runs.

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    muster_rules::lock::extend(&root)?;
    muster_rules::codegen::run(&root)
}
