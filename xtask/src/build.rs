//! Building Muster's programs and generated files with cargo.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::root;

/// The cargo that runs us.
fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs cargo in the project, with its output on our own.
///
/// # Errors
/// When it fails.
pub(crate) fn run_cargo(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<()> {
    let status = cargo().args(arguments).envs(environment.iter().copied()).status().context("run cargo")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// Builds every program of Muster and returns the folder that they are in. With MUSTER_PROGRAMS, takes the ones there instead.
///
/// # Errors
/// When they do not build.
pub(crate) fn programs() -> anyhow::Result<PathBuf> {
    if let Some(built) = std::env::var_os("MUSTER_PROGRAMS") {
        return Ok(built.into());
    }
    eprintln!("building Muster (cargo build)");
    run_cargo(&["build", "--quiet", "--workspace", "--bins"], &[])?;
    Ok(target().join("debug"))
}

/// Builds what `which` says, optimised as it is shipped, and returns the folder that it is in. With MUSTER_PROGRAMS, takes what is
/// there instead, which should be optimised.
///
/// # Errors
/// When it does not build.
pub(crate) fn shipped(what: &str, which: &[&str]) -> anyhow::Result<PathBuf> {
    if let Some(built) = std::env::var_os("MUSTER_PROGRAMS") {
        return Ok(built.into());
    }
    eprintln!("  building {what} (cargo build --release)");
    run_cargo(&[&["build", "--release", "--quiet"], which].concat(), &[])?;
    Ok(target().join("release"))
}

/// The program of a module, as it is shipped.
///
/// # Errors
/// When it does not build.
pub(crate) fn shipped_module(name: &str) -> anyhow::Result<PathBuf> {
    Ok(shipped(name, &["-p", name])?.join(name))
}

/// The build folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Generates what is generated: the wire, and the pages of docs/ that follow from the code.
///
/// # Errors
/// When something does not build.
pub(crate) fn codegen() -> anyhow::Result<()> {
    run_cargo(&["run", "--quiet", "-p", "muster-rules", "--bin", "codegen"], &[])?;
    let directory = programs()?;
    for page in muster_testkit::GENERATED_PAGES {
        let printed = muster_testkit::generate_page(&directory, page)?;
        std::fs::write(root().join("docs").join(format!("{page}.md")), printed).context("write a page")?;
        println!("docs/{page}.md");
    }
    Ok(())
}
