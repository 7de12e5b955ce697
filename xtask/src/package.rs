//! `cargo xtask package`: Debian packages of the command line and of the node agent, whose programs need no library.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use muster_testkit::tools;

use crate::build::{run_cargo, target};
use crate::root;

/// What is in a package.
struct Package {
    name: &'static str,
    /// What it is, and more of it, for people who choose packages.
    summary: &'static str,
    description: &'static str,
    programs: &'static [&'static str],
    /// Files of the project, and the directories that they go to.
    files: &'static [(&'static str, &'static str)],
    /// Files that people change, and that an upgrade leaves alone.
    settings: &'static [&'static str],
    /// Folder of the project with what is run when it is installed or removed.
    scripts: Option<&'static str>,
}

const PACKAGES: [Package; 2] = [
    Package {
        name: "muster",
        summary: "command line of the Muster cluster test manager",
        description: "Starts test processes on a pool of machines, watches them, and says what happened.",
        programs: &["muster"],
        files: &[],
        settings: &[],
        scripts: None,
    },
    Package {
        name: "muster-agent",
        summary: "node agent of the Muster cluster test manager",
        description: "One per machine: runs test processes and reports what becomes of them.",
        programs: &["muster-agent", "muster-keeper"],
        files: &[
            ("deploy/systemd/muster-agent.service", "usr/lib/systemd/system"),
            ("deploy/systemd/agent.env", "etc/muster"),
        ],
        settings: &["/etc/muster/agent.env"],
        scripts: Some("deploy/debian/muster-agent"),
    },
];

/// Shells, and where they look for completions of `muster`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/muster"),
    ("zsh", "usr/share/zsh/vendor-completions/_muster"),
    ("fish", "usr/share/fish/vendor_completions.d/muster.fish"),
];

/// Builds the programs as single files, and makes the packages of them.
///
/// # Errors
/// When they do not build, or this is no system with dpkg.
pub(crate) fn run() -> anyhow::Result<()> {
    let architecture = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let bins = PACKAGES.iter().flat_map(|package| package.programs).flat_map(|&program| ["--bin", program]);
    let mut arguments = vec!["build", "--release", "--quiet", "--workspace", "--target", &architecture];
    arguments.extend(bins);
    eprintln!("building the programs as single files (cargo build --release)");
    run_cargo(&arguments, &[("RUSTFLAGS", "-C target-feature=+crt-static")])?;
    for package in make(&target().join(&architecture).join("release"), &target().join("packages"))? {
        println!("{}", package.display());
    }
    Ok(())
}

/// Makes the packages of the programs in a folder, into another, which is emptied.
///
/// # Errors
/// When something is missing.
pub(crate) fn make(programs: &Path, into: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let _ = std::fs::remove_dir_all(into);
    std::fs::create_dir_all(into).context("make the folder of packages")?;
    let scratch = tempfile::tempdir_in(into).context("make a scratch folder")?;
    let architecture = printed(Command::new("dpkg").arg("--print-architecture"))?;
    let mut made = Vec::new();
    for package in &PACKAGES {
        let tree = scratch.path().join(package.name);
        fill(package, programs, &tree).with_context(|| format!("fill the package {}", package.name))?;
        control(package, architecture.trim(), &tree)?;
        let file = into.join(format!("{}_{}_{}.deb", package.name, env!("CARGO_PKG_VERSION"), architecture.trim()));
        let arguments = ["--root-owner-group", "-Zgzip", "--build", &tree.to_string_lossy(), &file.to_string_lossy()];
        tools::run_in(scratch.path(), "dpkg-deb", &arguments)?;
        made.push(file);
    }
    Ok(made)
}

fn fill(package: &Package, programs: &Path, tree: &Path) -> anyhow::Result<()> {
    let strip = tools::packaged_in("strip", "binutils")?;
    for program in package.programs {
        let (from, to) = (programs.join(program), tree.join("usr/bin").join(program));
        make_parent(&to)?;
        let arguments = ["-o", &to.to_string_lossy(), &from.to_string_lossy()];
        tools::run_in(tree, &strip.to_string_lossy(), &arguments)?;
    }
    for (file, directory) in package.files {
        let name = Path::new(file).file_name().context("a file has a name")?;
        put(&tree.join(directory).join(name), &read(file)?, 0o644)?;
    }
    put(&tree.join("usr/share/doc").join(package.name).join("copyright"), &read("LICENSE")?, 0o644)?;
    if package.programs.contains(&"muster") {
        command_line(&programs.join("muster"), tree)?;
    }
    Ok(())
}

/// Completions and manual pages, which `muster` prints itself.
fn command_line(muster: &Path, tree: &Path) -> anyhow::Result<()> {
    for (shell, place) in COMPLETIONS {
        let script = printed(Command::new(muster).args(["generate", "completions", shell]))?;
        put(&tree.join(place), script.as_bytes(), 0o644)?;
    }
    let manual = tree.join("usr/share/man/man1");
    printed(Command::new(muster).args(["generate", "man"]).arg(&manual))?;
    let pages = std::fs::read_dir(&manual).context("list the manual pages")?.flatten().map(|page| page.path());
    let pages = pages.map(|page| page.to_string_lossy().into_owned()).collect::<Vec<_>>();
    ensure!(!pages.is_empty(), "muster printed no manual pages");
    let arguments = ["--best", "--no-name"].into_iter().chain(pages.iter().map(String::as_str)).collect::<Vec<_>>();
    tools::run_in(&manual, "gzip", &arguments)
}

/// What dpkg has to know of a package.
fn control(package: &Package, architecture: &str, tree: &Path) -> anyhow::Result<()> {
    let Package { name, summary, description, settings, .. } = package;
    let text = format!(
        "Package: {name}\nVersion: {}\nArchitecture: {architecture}\nMaintainer: the Muster project\nSection: admin\nPriority: optional\nDescription: {summary}\n {description}\n",
        env!("CARGO_PKG_VERSION")
    );
    let place = tree.join("DEBIAN");
    put(&place.join("control"), text.as_bytes(), 0o644)?;
    if !settings.is_empty() {
        put(&place.join("conffiles"), format!("{}\n", settings.join("\n")).as_bytes(), 0o644)?;
    }
    if let Some(folder) = package.scripts {
        for script in std::fs::read_dir(root().join(folder)).with_context(|| format!("list {folder}"))?.flatten() {
            let text = std::fs::read(script.path()).context("read a script of a package")?;
            put(&place.join(script.file_name()), &text, 0o755)?;
        }
    }
    Ok(())
}

fn read(file: &str) -> anyhow::Result<Vec<u8>> {
    std::fs::read(root().join(file)).with_context(|| format!("read {file}"))
}

fn put(file: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    make_parent(file)?;
    std::fs::write(file, content).with_context(|| format!("write {}", file.display()))?;
    let mode = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(file, mode).with_context(|| format!("set the mode of {}", file.display()))
}

fn make_parent(file: &Path) -> anyhow::Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))
}

/// What a program prints.
fn printed(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("run {program}"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).with_context(|| format!("read what {program} printed"))
}
