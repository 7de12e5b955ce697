//! A private nats-server with JetStream on a port of the loopback.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::{Process, Spawn, free_port, tools, wait_until};

/// Its configuration, in its folder.
const CONFIGURATION: &str = "nats.conf";
/// What says who may connect, beside it.
const AUTHORIZATION: &str = "authorization.conf";
/// It says what is alive in its memory within this.
const PROFILE_LIMIT: Duration = Duration::from_secs(10);

/// How a server is configured.
#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// Folder for its data, configuration and log.
    pub directory: PathBuf,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Greatest size of its file store.
    pub store_max: String,
    /// Its place in a cluster; none for a single server.
    pub cluster: Option<ClusterPlace>,
    /// File that says who may connect; without one everybody may.
    pub authorization: Option<PathBuf>,
}

/// Which server of a cluster it is.
#[derive(Debug, Clone)]
pub struct ClusterPlace {
    /// Index of this server.
    pub index: usize,
    /// Ports between servers, of all of them.
    pub ports: Vec<u16>,
}

/// A running nats-server; killed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    process: Process,
    port: u16,
    /// Where it says what is alive in its memory, if it was asked to.
    profile_port: Option<u16>,
    directory: PathBuf,
    _scratch: Option<tempfile::TempDir>,
}

impl NatsServer {
    /// Starts a server in a folder of its own that goes with it.
    ///
    /// # Errors
    /// When none can be obtained or started.
    pub fn start() -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir().context("make a folder for nats-server")?;
        let directory = scratch.path().to_owned();
        let store_max = "20GB".into();
        let options = NatsOptions { directory, port: 0, store_max, cluster: None, authorization: None };
        let mut server = Self::start_with(&options)?;
        server._scratch = Some(scratch);
        Ok(server)
    }

    /// Starts a server as told.
    ///
    /// # Errors
    /// When none can be obtained or started.
    pub fn start_with(options: &NatsOptions) -> anyhow::Result<Self> {
        let port = if options.port == 0 { free_port().context("find a free port")? } else { options.port };
        std::fs::create_dir_all(&options.directory).context("make the folder of nats-server")?;
        if let Some(file) = &options.authorization {
            // Servers include what is beside their own configuration.
            let beside = std::os::unix::fs::symlink(file, options.directory.join(AUTHORIZATION));
            beside.context("put the authorization beside the configuration of nats-server")?;
        }
        let configuration = options.directory.join(CONFIGURATION);
        write_configuration(&configuration, &configuration_text(options, port))?;
        let process = Process::start(Spawn {
            name: "nats-server".into(),
            program: tools::nats_server()?,
            arguments: vec!["--config".into(), configuration.to_string_lossy().into_owned()],
            environment: BTreeMap::from([("MUSTER_LAB".into(), format!("{}/", options.directory.display()))]),
            log: options.directory.join("nats.log"),
            user: None,
        })?;
        let mut server =
            Self { process, port, profile_port: None, directory: options.directory.clone(), _scratch: None };
        server.wait_ready()?;
        Ok(server)
    }

    /// Starts `count` servers in folders below `directory`, `nats`, `nats-2` and so on; more than one are a cluster. Where a file says
    /// who may connect, it counts for all of them.
    ///
    /// # Errors
    /// When one can not be obtained or started.
    pub fn start_cluster(directory: &Path, count: usize, authorization: Option<&Path>) -> anyhow::Result<Vec<Self>> {
        let ports = (0..count).map(|_| free_port()).collect::<Result<Vec<_>, _>>().context("find free ports")?;
        let start = |index: usize| {
            let cluster = (count > 1).then(|| ClusterPlace { index, ports: ports.clone() });
            let folder = if index == 0 { "nats".to_owned() } else { format!("nats-{}", index + 1) };
            let directory = directory.join(folder);
            let (store_max, authorization) = ("20GB".into(), authorization.map(Path::to_owned));
            Self::start_with(&NatsOptions { directory, port: 0, store_max, cluster, authorization })
        };
        (0..count).map(start).collect()
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Folder with its data.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// OS process id; none when it is not running.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Kills it with SIGKILL.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Ends it cleanly.
    pub fn stop(&mut self) {
        self.process.stop(Duration::from_secs(5));
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is not running.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)
    }

    /// Starts it again on the same port and data; kills it first if it still runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.restart()?;
        self.wait_ready()
    }

    /// Starts it again as one that says what is alive in its memory ([`NatsServer::live_bytes`]).
    ///
    /// # Errors
    /// When it does not come up.
    pub fn profile(&mut self) -> anyhow::Result<()> {
        let port = free_port().context("find a free port")?;
        self.configure(&format!("prof_port: {port}"))?;
        self.profile_port = Some(port);
        self.restart()
    }

    /// Starts it again as one that tells over HTTP how it is; gives the URL of that.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn monitor(&mut self) -> anyhow::Result<String> {
        let port = free_port().context("find a free port")?;
        self.configure(&format!("http: 127.0.0.1:{port}"))?;
        self.restart()?;
        Ok(format!("http://127.0.0.1:{port}"))
    }

    /// Adds a line to its configuration, which counts from its next start.
    fn configure(&self, line: &str) -> anyhow::Result<()> {
        let path = self.directory.join(CONFIGURATION);
        let configuration = std::fs::read_to_string(&path).context("read the configuration of nats-server")?;
        write_configuration(&path, &format!("{configuration}{line}\n"))
    }

    /// It has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Bytes that are alive in its memory, after it has collected its garbage. What it has of the operating system is more: a program
    /// in Go takes about twice what is alive, and gives it back late.
    ///
    /// # Errors
    /// When it was not asked for a profile, or does not answer.
    pub fn live_bytes(&self) -> anyhow::Result<u64> {
        let port = self.profile_port.context("this server was not asked for a profile")?;
        let mut stream = TcpStream::connect(("127.0.0.1", port)).context("connect to the profile of nats-server")?;
        stream.set_read_timeout(Some(PROFILE_LIMIT)).context("limit the time of the profile")?;
        stream.write_all(b"GET /debug/pprof/heap?debug=1&gc=1 HTTP/1.0\r\n\r\n").context("ask for the profile")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).context("read the profile")?;
        let alive = text.lines().find_map(|line| line.strip_prefix("# HeapAlloc = "));
        alive.context("find HeapAlloc in the profile")?.trim().parse().context("read HeapAlloc")
    }

    /// Lets it outlive this value.
    pub(crate) fn forget(&mut self) {
        self.process.forget();
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let listening = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
        wait_until("nats-server listens", Duration::from_secs(20), listening)
            .with_context(|| format!("start nats-server: {}", self.process.log_tail()))
    }
}

fn write_configuration(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).context("write the configuration of nats-server")
}

/// What Muster asks of a server: durable, and quick to notice a dead peer.
fn configuration_text(options: &NatsOptions, port: u16) -> String {
    let index = options.cluster.as_ref().map_or(0, |place| place.index);
    let cluster = options.cluster.as_ref().map(cluster_text).unwrap_or_default();
    let authorization =
        options.authorization.as_ref().map(|_| format!("include {AUTHORIZATION}\n")).unwrap_or_default();
    format!(
        "listen: 127.0.0.1:{port}\nserver_name: lab-{index}\nmax_payload: 1MB\nping_interval: \"5s\"\nping_max: 2\nwrite_deadline: \"5s\"\n\
         jetstream {{\n  store_dir: \"{}\"\n  max_mem: 1GB\n  max_file: {}\n  sync_interval: always\n}}\n{cluster}{authorization}",
        options.directory.join("jetstream").display(),
        options.store_max
    )
}

fn cluster_text(place: &ClusterPlace) -> String {
    let routes: Vec<String> = place.ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let own = place.ports[place.index];
    format!("cluster {{\n  name: lab\n  listen: 127.0.0.1:{own}\n  routes: [{}]\n}}\n", routes.join(", "))
}
