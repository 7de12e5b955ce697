//! The packages, installed and removed in a container with a minimal system.

use std::path::Path;

use anyhow::Context;

use super::engine::Engine;
use super::images::BASE;
use crate::package;

const SCRIPT: &str = include_str!("packages.sh");

/// Makes them of the programs in a folder, and tries them.
///
/// # Errors
/// Says what does not work, or is left.
pub(super) fn try_them(engine: &Engine, programs: &Path) -> anyhow::Result<()> {
    let folder = engine.directory().join("packages");
    package::make(programs, &folder)?;
    let folder = format!("{}:/packages:ro", folder.display());
    let arguments = ["run", "--rm", "--network", "none", "--volume", &folder, BASE, "sh", "-c", SCRIPT];
    engine.docker_ok(&arguments).map(drop).context("install and remove the packages")
}
