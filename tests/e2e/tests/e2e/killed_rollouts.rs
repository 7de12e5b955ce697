//! Rollouts of simulated machines, many of whose boots go wrong, while parts of Muster are killed at random: each rollout is ready in the
//! end, what follows it starts once and on proven kernels alone, nothing is done twice, and no machine is switched that runs a test.
//!
//! `cargo xtask soak rollouts` does the same with more machines and more kills.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use muster_e2e::options;
use muster_testkit::kernel::{bzimage, vmlinux};
use muster_testkit::lab::Lab;
use muster_testkit::wait_until;
use serde_json::Value;

const KERNEL: &str = "6.12.1-muster-test";
/// Real agents beside the simulated machines, whose hosts stay up.
const AGENTS: u32 = 2;
/// Kills in each rollout.
const KILLS: usize = 3;
/// A rollout is ready within this: each attempt of a boot that is never heard of again takes 10 s, then its power is cycled, at most 32 machines at a
/// time, and kills hold everything up.
const READY_LIMIT: Duration = Duration::from_secs(420);

/// Of all boots 30 % come up in the stock kernel and 5 % never.
const SCRIPT: &str = r#"
[[fault]]
machines = "*"
kind = "wrong-kernel"
chance = 0.3

[[fault]]
machines = "*"
kind = "never-back"
chance = 0.05
"#;

/// Numbers that look random, the same for each seed (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("it is below a usize")
    }
}

/// A lab, and what is known of its machines.
struct Stage {
    lab: Lab,
    machines: u32,
    random: Random,
    /// What MACHINES has begun with the power of each machine, and the sequence up to which it was read.
    begun: BTreeMap<String, Vec<String>>,
    read: u64,
}

impl Stage {
    fn plugs(&self) -> PathBuf {
        self.lab.power_folder()
    }

    /// A file of a machine's plug; empty where there is none.
    fn file(&self, machine: &str, ending: &str) -> String {
        fs::read_to_string(self.plugs().join(format!("{machine}.{ending}"))).unwrap_or_default()
    }

    fn rows(&self, arguments: &[&str]) -> Vec<Value> {
        self.lab.muster_json(arguments).ok().and_then(|rows| rows.as_array().cloned()).unwrap_or_default()
    }

    fn rollout(&self, number: u64) -> Value {
        let rows = self.rows(&["rollout", "list", "--all"]);
        rows.into_iter().find(|row| row["rollout"].as_u64() == Some(number)).unwrap_or_default()
    }

    /// Ends one part with signal 9 and starts it again.
    fn kill(&mut self) -> anyhow::Result<String> {
        let parts = ["machine-lifecycle-a", "nats-server", "agent", "sim", "reservation-a", "scheduler-a"];
        let part = parts[self.random.below(parts.len())];
        match part {
            "nats-server" => {
                self.lab.nats.kill9();
                self.lab.nats.restart()?;
            }
            "agent" => {
                let name = format!("node-{}", 1 + self.random.below(AGENTS as usize));
                self.lab.agent(&name)?.restart()?;
                return Ok(name);
            }
            "sim" => return self.kill_simulated(),
            service => self.lab.service(service)?.restart()?,
        }
        Ok(part.into())
    }

    /// Ends the agents of a tenth of the simulated machines, as their plugs let one do.
    fn kill_simulated(&mut self) -> anyhow::Result<String> {
        for _ in 0..self.machines.div_ceil(10) {
            let name = format!("sim-{}", 1 + self.random.below(self.machines as usize));
            let effects = self.plugs().join(format!("{name}.effects"));
            let mut file = fs::OpenOptions::new().create(true).append(true).open(effects)?;
            file.write_all(b"kill-agent\n")?;
        }
        Ok("agents of simulated machines".into())
    }

    /// One rollout with its kills, from the order to the return of the machines.
    fn round(&mut self, job: u64) -> anyhow::Result<()> {
        let target = (self.machines * 9 / 10).to_string();
        let minimum = (self.machines * 7 / 10).to_string();
        let quorum = ["--target", &target, "--minimum", &minimum, "--countdown", "60s", "--give-up", "15m"];
        let then = ["--then", "start idle --per-machine 1", "--yes"];
        let started =
            self.lab.muster_json(&[&["rollout", "start", "--kernel", KERNEL], &quorum[..], &then[..]].concat());
        let number = started?[0]["rollout"].as_u64().context("read the number of the rollout")?;
        for _ in 0..KILLS {
            let enough = self.random.below(self.machines as usize * 7 / 10) as u64;
            wait_until("some machines are proven", READY_LIMIT, || self.is_far(number, enough))?;
            let killed = self.kill()?;
            eprintln!("rollout {number}: {killed} killed when {enough} machines were proven");
        }
        wait_until("the rollout is ready", READY_LIMIT, || self.has_started(number))
            .with_context(|| format!("{}", self.rollout(number)))?;
        let ready = self.rollout(number)["ready"].as_u64().context("count the machines")?;
        self.all_run(job, ready)?;
        self.lab.muster_ok(&["checkin", &number.to_string()])?;
        wait_until("everything is the pool's again", READY_LIMIT, || self.are_back())
            .with_context(|| self.lab.muster_ok(&["machine", "list"]).unwrap_or_default())?;
        self.nothing_was_done_twice()
    }

    fn is_far(&self, number: u64, enough: u64) -> bool {
        let rollout = self.rollout(number);
        self.has_started(number) || rollout["ready"].as_u64().is_some_and(|ready| ready >= enough)
    }

    /// It is ready, or what was attached runs on it already.
    fn has_started(&self, number: u64) -> bool {
        ["ready", "active"].map(Value::from).contains(&self.rollout(number)["state"])
    }

    /// What follows a rollout was started once, on each of its machines, and each of those is in the kernel of the rollout.
    fn all_run(&self, job: u64, count: u64) -> anyhow::Result<()> {
        let job_text = job.to_string();
        let running = || {
            let rows = self.rows(&["ps", "--job", &job_text]);
            rows.iter().filter(|row| row["state"] == "running").count() as u64 == count
        };
        wait_until("what follows runs on all of its machines", READY_LIMIT, running)
            .with_context(|| self.lab.muster_ok(&["ps", "--all", "--job", &job_text]).unwrap_or_default())?;
        let on: BTreeSet<String> =
            self.rows(&["ps", "--job", &job_text]).iter().map(|row| row["machine"].to_string()).collect();
        for machine in self.rows(&["machine", "list"]) {
            let used = on.contains(&machine["machine"].to_string());
            ensure!(!used || machine["kernel_release"] == KERNEL, "a test runs on {machine}");
        }
        let jobs = self.rows(&["jobs", "--all"]).len() as u64;
        ensure!(jobs == job, "{jobs} jobs after {job} rollouts");
        Ok(())
    }

    /// Every machine is the pool's and proven, or was given up or found flaky, which people are told.
    fn are_back(&self) -> bool {
        let rows = self.rows(&["machine", "list"]);
        let is_told = |row: &Value| row["trouble"].as_str().is_some_and(|trouble| trouble.starts_with("quarantined"));
        let is_back = |row: &&Value| {
            let is_proven = row["phase"] == "ready" && row["kernel_release"] != KERNEL;
            row["tenure"] == "pool" && (is_proven || row["phase"] == "offline" || is_told(row))
        };
        rows.iter().filter(is_back).count() == (self.machines + AGENTS) as usize
    }

    /// Each power operation was written down before it was done, and no machine lost a process by one.
    fn nothing_was_done_twice(&mut self) -> anyhow::Result<()> {
        // What is begun after this look is in the log and not in the files.
        let names: Vec<String> = (1..=self.machines).map(|number| format!("sim-{number}")).collect();
        let done: Vec<String> = names.iter().map(|name| self.file(name, "done")).collect();
        self.read_log()?;
        for (machine, done) in names.iter().zip(done) {
            let begun = self.begun.get(machine).cloned().unwrap_or_default();
            let done: Vec<&str> = done.lines().collect();
            ensure!(is_part_of(&done, &begun), "{machine} was switched {done:?}, and of that was begun {begun:?}");
            let harm = self.file(machine, "harm");
            ensure!(harm.is_empty(), "{machine} was switched while it ran a test: {harm}, {begun:?}");
        }
        Ok(())
    }

    /// Reads on in MACHINES, and remembers each power operation that began.
    fn read_log(&mut self) -> anyhow::Result<()> {
        let since = (self.read + 1).to_string();
        let events = self.lab.muster_ok(&["events", "--log", "machines", "--since", &since])?;
        for line in events.lines() {
            let event: Value = serde_json::from_str(line).context("read an event")?;
            let sequence = event["position"].as_str().and_then(|position| position.split('/').nth(1)?.parse().ok());
            self.read = self.read.max(sequence.context("read a position")?);
            if event["kind"] == "power_begun" {
                let machine = event["machine"].as_str().context("read a machine")?;
                let begun = self.begun.entry(machine.into()).or_default();
                match event["fields"]["task"].as_str().context("read a task")? {
                    // Off, seen to be off, and on.
                    "cycle" => begun.extend(["off".to_owned(), "on".to_owned()]),
                    task => begun.push(task.to_owned()),
                }
            }
        }
        Ok(())
    }

    /// What was given up, or proved flaky, is looked at by a person and put back.
    fn repair(&self) -> anyhow::Result<()> {
        let rows = self.rows(&["machine", "list"]);
        let offline = rows.iter().filter(|row| row["phase"] != "ready").filter_map(|row| row["machine"].as_str());
        let offline: Vec<&str> = offline.collect();
        eprintln!("{} machines were given up or flaky", offline.len());
        for machine in &offline {
            self.lab.muster_ok(&["machine", "deactivate", machine])?;
            self.lab.muster_ok(&["machine", "activate", machine])?;
            self.lab.muster_ok(&["machine", "boot", machine, "--stock", "--yes"])?;
        }
        let usable = || self.rows(&["machine", "list"]).iter().filter(|row| row["phase"] == "ready").count();
        let enough = (self.machines as usize) * 95 / 100;
        wait_until("they are back", READY_LIMIT, || usable() >= enough)
    }
}

/// All of `done` are in `begun`, in order, and none of them twice.
fn is_part_of(done: &[&str], begun: &[String]) -> bool {
    let mut begun = begun.iter();
    done.iter().all(|done| begun.any(|begun| begun == done))
}

/// Two of a hundred things that are done to a machine's power are refused.
fn write_power_faults(lab: &Lab, machines: u32, random: &mut Random) {
    fs::create_dir_all(lab.power_folder()).expect("the folder is made");
    for number in 1..=machines {
        let lines: String = (0..200).map(|_| if random.below(100) < 2 { "fail\n" } else { "ok\n" }).collect();
        fs::write(lab.power_folder().join(format!("sim-{number}.faults")), lines).expect("the faults are written");
    }
}

fn up(machines: u32, random: &mut Random) -> (Lab, tempfile::TempDir) {
    let (mut options, scratch) = options(AGENTS, 1).expect("a folder is made");
    let script = scratch.path().join("faults.toml");
    fs::write(&script, SCRIPT).expect("the script is written");
    (options.simulated, options.script) = (machines, Some(script));
    let lab = Lab::up(options, &|_| ()).expect("the lab comes up");
    write_power_faults(&lab, machines, random);
    let image = scratch.path().join("vmlinuz");
    fs::write(&image, bzimage(KERNEL, &vmlinux(KERNEL, 62, Some(&[0x5a; 20])))).expect("the image is written");
    lab.muster_ok(&["kernel", "add", &image.display().to_string()]).expect("the kernel is added");
    let settings = ["boot=simulated", "attempts=6", "boot-within=10s", "install-within=30s", "drain=5s"];
    lab.muster_ok(&[&["machine", "set", "*"], &settings[..]].concat()).expect("settings are taken");
    let power = format!("power=simulated directory={}", lab.power_folder().display());
    lab.muster_ok(&["machine", "set", "sim-*", &power]).expect("settings are taken");
    (lab, scratch)
}

#[test]
fn kills_during_rollouts_harm_no_test_forget_no_machine_and_repeat_no_order() {
    let soak: Option<usize> = std::env::var("MUSTER_SOAK_ROUNDS").ok().and_then(|text| text.parse().ok());
    let (machines, kills) = soak.map_or((40, KILLS), |kills| (200, kills));
    let mut random = Random(0x5eed_0005);
    let (lab, _scratch) = up(machines, &mut random);
    let mut stage = Stage { lab, machines, random, begun: BTreeMap::new(), read: 0 };
    for job in 1..=kills.div_ceil(KILLS) as u64 {
        if job > 1 {
            stage.repair().unwrap_or_else(|error| panic!("{error:?}\n{}", stage.lab.tails()));
        }
        stage.round(job).unwrap_or_else(|error| panic!("rollout {job}: {error:?}\n{}", stage.lab.tails()));
    }
    let switched: usize = stage.begun.values().map(Vec::len).sum();
    assert!(soak.is_none() || switched > 0, "boots that never came back were helped");
    eprintln!("{kills} kills, {switched} power operations");
    stage.lab.down().expect("nothing is left running");
}
