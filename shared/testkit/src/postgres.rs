//! A private PostgreSQL on a port of the loopback. As root it runs as another user, since PostgreSQL refuses to be root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal};

use crate::{Process, Spawn, free_port, tools, wait_until};

/// A running PostgreSQL with an empty database `muster`; killed when dropped.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    data: PathBuf,
    programs: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl Postgres {
    /// Starts one in a folder of its own that goes with it.
    ///
    /// # Errors
    /// When none can be obtained or started.
    pub fn start() -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("make a folder for PostgreSQL")?;
        let mut server = Self::start_in(scratch.path(), 0)?;
        server._scratch = Some(scratch);
        Ok(server)
    }

    /// Starts one in `directory`, on `port` (0 takes a free one).
    ///
    /// # Errors
    /// When none can be obtained or started.
    pub fn start_in(directory: &Path, port: u16) -> anyhow::Result<Self> {
        let programs = tools::postgres_programs()?;
        let port = if port == 0 { free_port().context("find a free port")? } else { port };
        let user = other_user()?;
        let directory = &home(directory, user)?;
        let (data, log) = (directory.join("data"), directory.join("postgres.log"));
        let spawn = |name: &str, arguments: Vec<String>| Spawn {
            name: name.into(),
            program: programs.join(name),
            arguments,
            environment: BTreeMap::from([("LC_ALL".into(), "C".into())]),
            log: log.clone(),
            user,
        };
        if !data.join("PG_VERSION").exists() {
            let arguments = ["--auth=trust", "--username=muster", "--encoding=UTF8", "--no-sync", "--pgdata"];
            let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
            arguments.push(data.to_string_lossy().into_owned());
            let mut initdb = Process::start(spawn("initdb", arguments))?;
            wait_until("initdb ends", Duration::from_secs(60), || !initdb.is_running())?;
        }
        let arguments =
            ["-D", &data.to_string_lossy(), "-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c"];
        let mut arguments: Vec<String> = arguments.map(str::to_owned).into();
        arguments.push(format!("unix_socket_directories={}", directory.display()));
        // Segments of a server that was killed are left behind in /dev/shm for ever; files of its own folder go with that.
        arguments.extend(["-c".to_owned(), "dynamic_shared_memory_type=mmap".to_owned()]);
        let process = Process::start(spawn("postgres", arguments))?;
        let mut server = Self { process, port, data, programs: programs.clone(), _scratch: None };
        server.wait_ready()?;
        Ok(server)
    }

    /// Its URL; the database is the user's own, `postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("muster")
    }

    /// The URL for another role.
    #[must_use]
    pub fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/postgres", self.port)
    }

    /// OS process id; none when it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Sends a signal to it and to all of its children: each connection has one.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)?;
        // One that ended meanwhile needs no signal.
        let pid = self.process.pid().context("signal PostgreSQL: it is not running")?;
        for child in children(pid) {
            let _ = rustix::process::kill_process(child, signal);
        }
        Ok(())
    }

    /// Kills it with SIGKILL, together with its children, which notice it by themselves.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Ends it cleanly, without waiting for its clients.
    pub fn stop(&mut self) {
        let _ = self.process.signal(Signal::INT);
        let _ = wait_until("PostgreSQL ends", Duration::from_secs(10), || !self.process.is_running());
        self.process.kill9();
    }

    /// Starts it again on the same port and data; kills it first if it still runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.kill9();
        // The children of a killed PostgreSQL hold its shared memory until they notice.
        let lock = self.data.join("postmaster.pid");
        let _ = std::fs::remove_file(lock);
        let start = std::time::Instant::now();
        loop {
            self.process.restart()?;
            if self.wait_ready().is_ok() {
                return Ok(());
            }
            anyhow::ensure!(
                start.elapsed() < Duration::from_secs(30),
                "restart PostgreSQL: {}",
                self.process.log_tail()
            );
        }
    }

    /// Lets it outlive this value.
    pub(crate) fn forget(&mut self) {
        self.process.forget();
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        // Listening is not enough: a server that recovers from a crash refuses connections for a while.
        let mut probe = Command::new(self.programs.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let process = &mut self.process;
        let ready = || !process.is_running() || probe.status().is_ok_and(|status| status.success());
        wait_until("PostgreSQL takes connections", Duration::from_secs(60), ready)?;
        anyhow::ensure!(self.process.is_running(), "start PostgreSQL: {}", self.process.log_tail());
        Ok(())
    }
}

/// Children of a process, as its one thread that makes them has them.
fn children(pid: u32) -> Vec<Pid> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

/// The folder itself, or a link's target: where the user of PostgreSQL can not go (root's own folder is closed to others), its files
/// are in the system's folder for temporary files, and the folder is a link to them.
fn home(directory: &Path, user: Option<(u32, u32)>) -> anyhow::Result<PathBuf> {
    let parent = directory.parent().context("the folder of PostgreSQL has no parent")?;
    std::fs::create_dir_all(parent).context("make the folder above PostgreSQL's")?;
    if !directory.exists() {
        match user {
            Some(user) if !may_enter(&parent.canonicalize()?, user) => {
                let elsewhere = tempfile::Builder::new().prefix("muster-postgres-").tempdir_in(ELSEWHERE);
                let elsewhere = elsewhere.context("make a folder that PostgreSQL can reach")?.keep();
                std::os::unix::fs::symlink(elsewhere, directory).context("link the folder of PostgreSQL")?;
            }
            Some(_) | None => std::fs::create_dir(directory).context("make the folder of PostgreSQL")?,
        }
    }
    let directory = directory.canonicalize().context("find the folder of PostgreSQL")?;
    if let Some((user, group)) = user {
        std::os::unix::fs::chown(&directory, Some(user), Some(group)).context("give PostgreSQL its folder")?;
    }
    Ok(directory)
}

/// Where PostgreSQL's files are when its user can not reach the lab's.
const ELSEWHERE: &str = "/var/tmp";

/// The user may search this folder and all above it.
fn may_enter(directory: &Path, (user, group): (u32, u32)) -> bool {
    use std::os::unix::fs::MetadataExt;
    directory.ancestors().all(|folder| {
        let Ok(found) = folder.metadata() else { return false };
        let bit = match (found.uid() == user, found.gid() == group) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        found.mode() & bit != 0
    })
}

/// Deletes the folder of a PostgreSQL that has ended, wherever its files are.
///
/// # Errors
/// When something can not be deleted.
pub(crate) fn remove(directory: &Path) -> std::io::Result<()> {
    let target = std::fs::read_link(directory).unwrap_or_else(|_| directory.to_owned());
    match std::fs::remove_dir_all(target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The user to run as: none where we are not root, else `postgres`, else `nobody`.
fn other_user() -> anyhow::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let id = |name: &str| {
        let fields: Vec<&str> = passwd.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    let found = id("postgres").or_else(|| id("nobody"));
    Ok(Some(found.context("find a user for PostgreSQL: neither postgres nor nobody is in /etc/passwd")?))
}
