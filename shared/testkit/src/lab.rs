//! A whole lab on this machine: nats-server, PostgreSQL, all services, and agents whose disks are directories of their own.
//!
//! The agents of a lab never look at the machine's real disks.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::Context;

use crate::{Client, NatsServer, Postgres, Process, Spawn, free_port, wait_until};

mod ending;
mod keys;

use ending::members;
pub use ending::{down, left_up, remove};

/// Names of the services, in the order in which they are started: the telemetry-logger first, because it migrates the store.
pub const SERVICES: [&str; 5] = ["telemetry-logger", "report", "scheduler", "machine-lifecycle", "reservation"];
/// Modules that a lab brings along.
pub const MODULES: [&str; 7] = ["high-io", "command", "idle", "trivial", "tcp", "memory", "lock"];
/// The machine that a lab's block devices are of.
const FIRST_MACHINE: &str = "node-1";
/// How long a part may take to come up, on a machine that is busy with other tests.
const UP_LIMIT: Duration = Duration::from_secs(60);
/// How long a clean stop of a service may take before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What a lab consists of.
#[derive(Debug, Clone)]
pub struct LabOptions {
    /// Folder for everything that the lab writes.
    pub directory: PathBuf,
    /// Folder with Muster's programs.
    pub programs: PathBuf,
    /// How many machines.
    pub machines: u32,
    /// Directories that stand for disks, on each machine.
    pub disks: u32,
    /// Block devices of the first machine: its agent has leave to format and mount them.
    pub devices: Vec<PathBuf>,
    /// Instances of each owning service.
    pub replicas: u32,
    /// Simulated machines, beside the real agents.
    pub simulated: u32,
    /// Simulated machines that share a connection.
    pub simulated_per_connection: u32,
    /// What is to go wrong on them: the file that tests/machines/README.md describes.
    pub script: Option<PathBuf>,
    /// Servers of the bus: 1, or 3 as a cluster with every stream on all of them.
    pub nats: u32,
    /// The clocks of its machines are set apart, evenly over this; zero is the host's clock for all.
    pub clock_spread: Duration,
    /// Everybody has a key, and the servers let nobody else in; without it a lab is open to whoever reaches it. Not with simulated
    /// machines, which share a connection.
    pub secured: bool,
    /// Services sign what they tell agents, and agents, simulated ones too, believe nothing else. Always so in a secured lab.
    pub signed: bool,
}

impl LabOptions {
    /// So many machines without disks, one instance of each service and one server, all clocks alike.
    #[must_use]
    pub fn new(directory: PathBuf, programs: PathBuf, machines: u32) -> Self {
        Self {
            directory,
            programs,
            machines,
            disks: 0,
            devices: Vec::new(),
            replicas: 1,
            simulated: 0,
            simulated_per_connection: 256,
            script: None,
            nats: 1,
            clock_spread: Duration::ZERO,
            secured: false,
            signed: false,
        }
    }
}

/// A running lab; everything is ended when dropped, unless it was [`Lab::release`]d.
#[derive(Debug)]
pub struct Lab {
    options: LabOptions,
    /// The bus, or its first server.
    pub nats: NatsServer,
    /// The other servers of a cluster.
    pub nats_others: Vec<NatsServer>,
    /// The store.
    pub postgres: Postgres,
    services: Vec<Process>,
    agents: Vec<Process>,
    /// What parts are told otherwise than by the lab.
    told: BTreeMap<String, BTreeMap<String, String>>,
    released: bool,
}

/// Says what is being done, to a person.
pub type Say<'a> = &'a dyn Fn(&str);

impl Lab {
    /// Brings a lab up: servers, a new system, services, agents, activated machines and modules.
    ///
    /// # Errors
    /// Says which part did not come up, with the end of its log.
    pub fn up(options: LabOptions, say: Say<'_>) -> anyhow::Result<Self> {
        let mut lab = Self::servers(options, say)?;
        lab.fill(say)?;
        Ok(lab)
    }

    /// What [`Lab::up`] brings up beside the servers, for who told parts something first.
    ///
    /// # Errors
    /// As there.
    pub fn fill(&mut self, say: Say<'_>) -> anyhow::Result<()> {
        say("making the streams of a new system");
        self.new_system()?;
        self.start_services(say)?;
        self.start_agents(say)?;
        self.add_modules(say)
    }

    /// Only the servers: a lab without a system in it.
    ///
    /// # Errors
    /// When one does not start.
    pub fn servers(options: LabOptions, say: Say<'_>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.directory).context("make the folder of the lab")?;
        let authorization = keys::make(&options, say)?;
        say("starting nats-server (JetStream, sync_interval: always)");
        let count = options.nats.max(1) as usize;
        let mut servers = NatsServer::start_cluster(&options.directory, count, authorization.as_deref())?;
        let nats = servers.remove(0);
        say("starting PostgreSQL");
        let postgres = Postgres::start_in(&options.directory.join("postgres"), 0)?;
        Ok(Self {
            options,
            nats,
            nats_others: servers,
            postgres,
            services: Vec::new(),
            agents: Vec::new(),
            told: BTreeMap::new(),
            released: false,
        })
    }

    /// From its next start on, the part of this name reaches the bus by `url`: through somebody who stands between them.
    pub fn reach_by(&mut self, part: &str, url: &str) {
        self.tell(part, "MUSTER_NATS", url);
    }

    /// From its next start on, the part of this name has this in its environment, whatever the lab would put there.
    pub fn tell(&mut self, part: &str, name: &str, value: &str) {
        self.told.entry(part.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    /// Makes the streams of a new system; a cluster takes a while to have a leader for them.
    ///
    /// # Errors
    /// When they can not be made.
    pub fn new_system(&self) -> anyhow::Result<()> {
        let replicas = self.options.nats.to_string();
        let init = ["admin", "init", "--replicas", &replicas];
        let made = || self.muster(&init).is_ok_and(|output| output.status.success());
        wait_until("the streams are made", UP_LIMIT, made)
            .or_else(|_| self.muster_ok(&init).map(drop))
            .context("make the streams")?;
        self.muster_ok(&["admin", "init", "--new-system", "--replicas", &replicas]).map(drop)
    }

    /// Starts every service.
    ///
    /// # Errors
    /// When a program can not be run.
    pub fn start_services(&mut self, say: Say<'_>) -> anyhow::Result<()> {
        say("starting the five services");
        for service in SERVICES {
            let replicas =
                if matches!(service, "telemetry-logger" | "report") { 1 } else { self.options.replicas.max(1) };
            for replica in 0..replicas {
                let spawn = self.service_spawn(service, replica)?;
                self.services.push(Process::start(spawn)?);
            }
        }
        let ready = || self.muster(&["admin", "status"]).is_ok_and(|output| output.status.success());
        wait_until("`muster admin status` answers", UP_LIMIT, ready).with_context(|| self.tails())
    }

    /// How a service of this lab is started.
    ///
    /// # Errors
    /// When no port is free.
    pub fn service_spawn(&self, service: &str, replica: u32) -> anyhow::Result<Spawn> {
        let instance = char::from(b'a' + u8::try_from(replica).unwrap_or(25)).to_string();
        let name = format!("{service}-{instance}");
        let mut environment = self.spawn_environment(&name);
        if self.options.secured {
            environment.insert("MUSTER_CREDENTIALS".into(), text(&keys::of_service(&self.options, service)));
        }
        let signing_key = keys::signing_key(&self.options, service);
        environment.extend(signing_key.map(|file| ("MUSTER_SIGNING_KEY".into(), text(&file))));
        environment.insert("MUSTER_INSTANCE".into(), instance.clone());
        environment.insert("MUSTER_HTTP".into(), format!("127.0.0.1:{}", free_port()?));
        Ok(Spawn {
            log: self.options.directory.join(format!("{name}.log")),
            name,
            program: self.options.programs.join(format!("muster-{service}")),
            arguments: Vec::new(),
            environment,
            user: None,
        })
    }

    /// Starts every agent, waits until its machine is up, and activates it.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn start_agents(&mut self, say: Say<'_>) -> anyhow::Result<()> {
        say(&format!("starting {} node agent(s)", self.options.machines));
        for number in 1..=self.options.machines {
            let mut spawn = self.agent_spawn(&format!("node-{number}"))?;
            let ahead = clock_ahead(self.options.clock_spread, number, self.options.machines);
            spawn.environment.insert("MUSTER_CLOCK_AHEAD_MS".into(), ahead.to_string());
            self.agents.push(Process::start(spawn)?);
        }
        if self.options.simulated > 0 {
            say(&format!("starting {} simulated machines", self.options.simulated));
            let spawn = self.simulated_spawn();
            self.agents.push(Process::start(spawn)?);
        }
        self.let_take_part(self.options.machines + self.options.simulated)
    }

    /// Waits until so many machines are up, and activates them.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn let_take_part(&self, machines: u32) -> anyhow::Result<()> {
        if machines > 0 {
            self.wait_machines("up", machines)?;
            self.muster_ok(&["machine", "activate", "*", "--yes"])?;
        }
        Ok(())
    }

    /// How the agent of a machine of this lab is started.
    ///
    /// # Errors
    /// When its folders can not be made.
    pub fn agent_spawn(&self, machine: &str) -> anyhow::Result<Spawn> {
        let home = self.options.directory.join(machine);
        let state = home.join("state");
        std::fs::create_dir_all(&state).context("make the folder of an agent")?;
        let log = home.join("agent.log");
        let mut arguments = vec!["--machine".to_owned(), machine.to_owned(), "--state".into(), text(&state)];
        for disk in 1..=self.options.disks {
            let disk = home.join(format!("disk{disk}"));
            std::fs::create_dir_all(&disk).context("make a directory that stands for a disk")?;
            arguments.extend(["--disk".to_owned(), text(&disk)]);
        }
        arguments.extend(["--log-file".to_owned(), text(&log)]);
        arguments.extend(["--home".to_owned(), text(&home)]);
        let policy = home.join("triggers.toml");
        if !policy.exists() {
            // What triggers send stays on this machine.
            std::fs::write(&policy, "packet_to = \"127.0.0.1:9\"\n").context("write the policy of an agent")?;
        }
        arguments.extend(["--trigger-policy".to_owned(), text(&policy)]);
        arguments.extend(["--policy".to_owned(), text(&self.machine_policy(&home)?)]);
        // Crashes of this host are not those of its machines.
        arguments.extend(["--crash-files".to_owned(), text(&home.join("crash"))]);
        arguments.extend(["--allow-boot".to_owned(), "simulated".into()]);
        if machine == FIRST_MACHINE && !self.options.devices.is_empty() {
            arguments.push("--allow-storage".into());
            arguments.extend(self.options.devices.iter().flat_map(|device| ["--device".to_owned(), text(device)]));
        }
        Ok(Spawn {
            name: machine.to_owned(),
            program: self.options.programs.join("muster-agent"),
            arguments,
            environment: self.machine_environment(machine),
            log,
            user: None,
        })
    }

    /// The policy of a machine. Where everybody may come in, tests may be everybody; in a secured lab they have users of their own, who
    /// have to pass through its folders.
    fn machine_policy(&self, home: &Path) -> anyhow::Result<PathBuf> {
        let policy = home.join("policy.toml");
        if self.options.secured {
            let temporary = std::env::temp_dir();
            for folder in home.ancestors().filter(|folder| folder.starts_with(&temporary) && *folder != temporary) {
                let mode = std::fs::metadata(folder).context("look at the folder of a lab")?.permissions().mode();
                std::fs::set_permissions(folder, Permissions::from_mode(mode | 0o011))
                    .context("open a lab's folder")?;
            }
        } else if !policy.exists() {
            std::fs::write(&policy, "own_users = false\nroot = [\"*\"]\n").context("write the policy of a machine")?;
        }
        Ok(policy)
    }

    /// How the simulated machines of this lab are started: all of them are one process.
    fn simulated_spawn(&self) -> Spawn {
        let mut arguments = vec!["--count".into(), self.options.simulated.to_string()];
        arguments.extend(["--per-connection".into(), self.options.simulated_per_connection.to_string()]);
        arguments.extend(self.options.script.iter().flat_map(|file| ["--script".to_owned(), text(file)]));
        arguments.extend(["--power".to_owned(), text(&self.power_folder())]);
        Spawn {
            name: "simulated-machines".into(),
            program: self.options.programs.join("muster-simulated-machines"),
            arguments,
            environment: self.machine_environment("simulated-machines"),
            log: self.options.directory.join("simulated-machines.log"),
            user: None,
        }
    }

    /// What the power driver `simulated directory=..` does here happens to the simulated machines.
    #[must_use]
    pub fn power_folder(&self) -> PathBuf {
        self.options.directory.join("power")
    }

    /// Waits until `count` machines show `health`.
    ///
    /// # Errors
    /// When they do not within a minute.
    pub fn wait_machines(&self, health: &str, count: u32) -> anyhow::Result<()> {
        let arrived = || {
            let rows = self.muster_json(&["machine", "list"]).unwrap_or_default();
            let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
            rows.iter().filter(|row| row["health"] == health).count() >= count as usize
        };
        wait_until(&format!("{count} machine(s) {health}"), UP_LIMIT, arrived).with_context(|| self.tails())
    }

    /// Puts the modules that Muster comes with into the catalogue.
    ///
    /// # Errors
    /// When one is refused.
    pub fn add_modules(&self, say: Say<'_>) -> anyhow::Result<()> {
        say("registering the test modules");
        let programs = text(&self.options.programs);
        for module in MODULES {
            let manifest = crate::tools::root().join("modules").join(module);
            self.muster_ok(&["module", "add", &text(&manifest), "--artifacts", &programs])?;
        }
        Ok(())
    }

    /// Environment in which a person's programs find this lab.
    #[must_use]
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = self.places();
        if self.options.secured {
            environment.insert("MUSTER_CREDENTIALS".into(), text(&keys::of_administrator(&self.options)));
            environment.insert("MUSTER_KEYS".into(), text(&keys::directory(&self.options)));
        } else {
            let user = std::env::var("MUSTER_USER").unwrap_or_else(|_| keys::ADMINISTRATOR.into());
            environment.insert("MUSTER_USER".into(), user);
        }
        environment
    }

    /// Where the servers of this lab are, and whether they let everybody in.
    fn places(&self) -> BTreeMap<String, String> {
        let mut places =
            BTreeMap::from([("MUSTER_NATS".into(), self.nats_url()), ("MUSTER_POSTGRES".into(), self.postgres.url())]);
        if !self.options.secured {
            places.insert("MUSTER_INSECURE_LOCAL".into(), "true".into());
        }
        places
    }

    /// URL of the bus: every server of it.
    #[must_use]
    pub fn nats_url(&self) -> String {
        let all = std::iter::once(&self.nats).chain(&self.nats_others);
        all.map(NatsServer::url).collect::<Vec<_>>().join(",")
    }

    /// The environment of a part: it names the lab's folder, by which [`down`] finds it.
    fn spawn_environment(&self, part: &str) -> BTreeMap<String, String> {
        let mut environment = self.places();
        environment.insert("MUSTER_LAB".into(), format!("{}/", text(&self.options.directory)));
        environment.extend(self.told.get(part).cloned().unwrap_or_default());
        environment
    }

    /// The environment of machines: it names by which keys they know their services.
    fn machine_environment(&self, part: &str) -> BTreeMap<String, String> {
        let mut environment = self.spawn_environment(part);
        let signers = keys::signers(&self.options);
        environment.extend(signers.map(|file| ("MUSTER_SIGNERS".into(), text(&file))));
        environment
    }

    /// Folder of the lab.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Path of the command line tool.
    #[must_use]
    pub fn muster_program(&self) -> PathBuf {
        self.options.programs.join("muster")
    }

    /// The command line tool, as a person of this lab runs it; it outlives the borrow of the lab.
    #[must_use]
    pub fn client(&self) -> Client {
        Client { program: self.muster_program(), environment: self.environment() }
    }

    /// Runs the command line tool, and returns what it printed.
    ///
    /// # Errors
    /// When it can not be run.
    pub fn muster(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.client().run(arguments)
    }

    /// Runs the command line tool, and returns its stdout.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn muster_ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.client().ok(arguments)
    }

    /// Runs the command line tool with `--output json`.
    ///
    /// # Errors
    /// When it fails, or prints something else.
    pub fn muster_json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        self.client().json(arguments)
    }

    /// A service by the name of its process: `scheduler-a`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn service(&mut self, name: &str) -> anyhow::Result<&mut Process> {
        let found = self.services.iter_mut().find(|process| process.name() == name);
        found.with_context(|| format!("find the service {name}"))
    }

    /// An agent by its machine.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn agent(&mut self, machine: &str) -> anyhow::Result<&mut Process> {
        let found = self.agents.iter_mut().find(|process| process.name() == machine);
        found.with_context(|| format!("find the agent {machine}"))
    }

    /// OS process ids of everything that belongs to this lab: keepers and test processes too.
    #[must_use]
    pub fn members(&self) -> Vec<u32> {
        members(&self.options.directory)
    }

    /// The ends of the logs of all parts, for error messages.
    #[must_use]
    pub fn tails(&self) -> String {
        let parts = self.services.iter().chain(&self.agents);
        parts.map(|part| format!("--- {}\n{}\n", part.name(), part.log_tail())).collect()
    }

    /// Leaves everything running; [`down`] ends it.
    ///
    /// # Errors
    /// When the lab's file can not be written.
    pub fn release(mut self) -> anyhow::Result<()> {
        let environment = serde_json::to_string_pretty(&self.environment()).context("encode the environment")?;
        std::fs::write(self.options.directory.join("lab.json"), environment).context("write lab.json")?;
        self.released = true;
        Ok(())
    }

    /// Ends everything: tests, agents, services, servers.
    ///
    /// # Errors
    /// When something does not die.
    pub fn down(mut self) -> anyhow::Result<()> {
        for process in self.agents.iter_mut().chain(&mut self.services) {
            process.stop(STOP_GRACE);
        }
        self.postgres.stop();
        for server in std::iter::once(&mut self.nats).chain(&mut self.nats_others) {
            server.stop();
        }
        down(&self.options.directory)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.released {
            for process in self.agents.iter_mut().chain(&mut self.services) {
                process.forget();
            }
            for server in std::iter::once(&mut self.nats).chain(&mut self.nats_others) {
                server.forget();
            }
            self.postgres.forget();
        } else {
            self.agents.clear();
            self.services.clear();
            let _ = down(&self.options.directory);
        }
    }
}

/// How far the clock of a machine is ahead of the host's, milliseconds: from half the spread behind to half of it ahead.
fn clock_ahead(spread: Duration, number: u32, machines: u32) -> i64 {
    let spread = i64::try_from(spread.as_millis()).unwrap_or(i64::MAX / 1_000_000);
    spread * i64::from(number - 1) / i64::from(machines.max(2) - 1) - spread / 2
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_set_apart_evenly() {
        let ahead = |number| clock_ahead(Duration::from_secs(1), number, 5);
        assert_eq!([1, 2, 3, 4, 5].map(ahead), [-500, -250, 0, 250, 500]);
        assert_eq!(clock_ahead(Duration::ZERO, 3, 5), 0);
        assert_eq!(clock_ahead(Duration::from_secs(1), 1, 1), -500);
    }
}
