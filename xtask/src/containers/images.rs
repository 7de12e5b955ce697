//! The images of compose.yaml, made here under their public names: no registry is asked.
//!
//! Those of nats-server and PostgreSQL have the programs of this machine and what compose.yaml needs of the public images; Muster's is
//! made by its own Dockerfile, of programs that were built already.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use muster_testkit::tools;

use super::engine::{Engine, judged};
use crate::root;

/// What every image is made from.
pub(super) const BASE: &str = "debian:bookworm-slim";

/// Makes all of them, and gives the folder with the programs that are in them.
///
/// # Errors
/// Says which part is missing.
pub(super) fn make(engine: &Engine, programs: &Path) -> anyhow::Result<PathBuf> {
    engine.docker_ok(&["import", &tools::base_system()?.to_string_lossy(), BASE]).context("import the base")?;
    let directory = engine.directory().join("images");
    let compose = std::fs::read_to_string(root().join("compose.yaml")).context("read compose.yaml")?;
    nats(engine, &directory.join("nats"), named(&compose, "nats")?)?;
    postgres(engine, &directory.join("postgres"), named(&compose, "postgres")?)?;
    let staged = stage(programs)?;
    let name = named(&compose, "muster")?;
    let toolchain = format!("TOOLCHAIN={BASE}");
    build_image(engine, &root(), name, &["--build-arg", &toolchain])?;
    Ok(staged)
}

/// The image of a repository, with its version, as compose.yaml names it.
fn named<'a>(compose: &'a str, repository: &str) -> anyhow::Result<&'a str> {
    let images = compose.lines().filter_map(|line| line.trim().strip_prefix("image: "));
    let mut ours = images.filter(|image| image.split(':').next() == Some(repository));
    let image = ours.next().with_context(|| format!("compose.yaml names no image {repository}"))?;
    ensure!(image.contains(':'), "compose.yaml names no version of {image}");
    Ok(image)
}

fn build_image(engine: &Engine, context: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = engine.client("docker");
    command.args(["build", "--tag", name]).args(arguments).arg(context);
    judged(command.output().context("run docker")?, &format!("docker build {name}")).map(drop)
}

fn nats(engine: &Engine, context: &Path, name: &str) -> anyhow::Result<()> {
    let busybox = tools::unpacked("busybox-static")?.join("bin/busybox");
    put(context, "Dockerfile", include_bytes!("images/nats.Dockerfile"))?;
    copy(&tools::nats_server()?, &context.join("nats-server"))?;
    // It is what its name says.
    copy(&busybox, &context.join("wget"))?;
    build_image(engine, context, name, &[])
}

fn postgres(engine: &Engine, context: &Path, name: &str) -> anyhow::Result<()> {
    let programs = tools::postgres_programs()?;
    put(context, "Dockerfile", include_bytes!("images/postgres.Dockerfile"))?;
    put(context, "postgres.sh", include_bytes!("images/postgres.sh"))?;
    let script = context.join("postgres.sh");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).context("make it executable")?;
    let installed = programs.parent().context("PostgreSQL has a folder")?;
    let version = installed.file_name().context("its folder has a name")?;
    copy_tree(installed, &context.join("root/usr/lib/postgresql").join(version))?;
    copy_tree(
        &Path::new("/usr/share/postgresql").join(version),
        &context.join("root/usr/share/postgresql").join(version),
    )?;
    for program in ["postgres", "initdb", "psql", "pg_isready"] {
        for library in tools::libraries(&programs.join(program))? {
            let file = library.file_name().context("a library has a name")?;
            copy(&library, &context.join("libraries").join(file))?;
        }
    }
    build_image(engine, context, name, &[])
}

/// Puts the programs where the Dockerfile takes them from, without what only debuggers read.
fn stage(programs: &Path) -> anyhow::Result<PathBuf> {
    // The Dockerfile's context is the project, wherever its build folder is.
    let stage = root().join("target/stage");
    let _ = std::fs::remove_dir_all(&stage);
    std::fs::create_dir_all(&stage).context("make the folder of staged programs")?;
    let strip = tools::packaged_in("strip", "binutils")?;
    for entry in std::fs::read_dir(programs).context("list the programs")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name == "muster" || name.starts_with("muster-")) && !name.contains('.') {
            let program = entry.path();
            let arguments = ["-o", &name, &program.to_string_lossy()];
            tools::run_in(&stage, &strip.to_string_lossy(), &arguments).with_context(|| format!("stage {name}"))?;
        }
    }
    Ok(stage)
}

fn put(folder: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    std::fs::write(folder.join(name), content).with_context(|| format!("write {name}"))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    std::fs::copy(from, to).map(drop).with_context(|| format!("copy {}", from.display()))
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = to.parent().context("a folder is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    tools::run_in(folder, "cp", &["--recursive", "--dereference", &from.to_string_lossy(), &to.to_string_lossy()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_made_under_the_names_that_compose_yaml_has() {
        let compose = std::fs::read_to_string(root().join("compose.yaml")).expect("it is there");
        for repository in ["nats", "postgres", "muster"] {
            assert!(named(&compose, repository).expect("named").starts_with(&format!("{repository}:")));
        }
        assert!(named("  image: nats\n", "nats").is_err(), "without a version");
        assert!(named("  image: natsy:1\n", "nats").is_err(), "another");
    }
}
