//! Hostile modules are contained: each has its own user and limits, all are gone soon after they are stopped, and agent, heartbeats and
//! the good module beside them notice nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use common::{World, id, orders, processes_of, stops};
use muster_model::ProcessId;
use muster_proto::v1::{self, ProcessState, Verdict};

/// Jobs 2 to 13; job 1 is good.
const MODES: [&str; 12] = [
    "fork_bomb",
    "memory",
    "disk",
    "descriptors",
    "log_flood",
    "double_fork",
    "ignores_signals",
    "zombie_maker",
    "setsid",
    "ptrace",
    "reads_state",
    "fills_spool",
];
/// What the machine's policy says.
const POLICY: &str = "[limits]\nprocesses = 100\nopen_files = 200\nmemory = \"256MiB\"\nwork = \"32MiB\"\n";
/// From the stop until nothing is left.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// All of them may do harm for so many heartbeats.
const HEARTBEATS_OF_HARM: usize = 6;
/// Heartbeats come each second; on a machine that others use too, none comes later.
const HEARTBEAT_GAP_MAX: Duration = Duration::from_secs(3);

fn process_of(mode: &str) -> ProcessId {
    let place = MODES.iter().position(|known| *known == mode).unwrap();
    id(u32::try_from(place + 2).unwrap(), 1)
}

fn hostile_module() -> Vec<u8> {
    std::fs::read(common::ping_module().with_file_name("hostile_module")).unwrap()
}

/// OS processes of these users, zombies included.
fn of_users(users: &[u32]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let value =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
        let user = value("Uid:").split_whitespace().next().and_then(|user| user.parse().ok());
        if user.is_some_and(|user| users.contains(&user)) {
            found.push(format!("{} {} {}", value("Pid:"), value("Name:"), value("State:")));
        }
    }
    found
}

struct Arena {
    world: World,
    jobs: Vec<v1::JobOrders>,
    users: Vec<u32>,
}

impl Arena {
    async fn begin() -> Self {
        assert!(rustix::process::geteuid().is_root(), "only root can give tests users of their own");
        let mut world = World::new().await;
        std::fs::set_permissions(world.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        std::fs::write(world.home.path().join("policy.toml"), POLICY).unwrap();
        world.start_agent();
        world.wait_up().await;
        let (good, bad) = (world.ping_module().await, world.module(&hostile_module()).await);
        let mut jobs = vec![orders(&good, 1, 1..=1, &[])];
        world.update(vec![jobs[0].clone()], vec![]).await;
        world.wait("the good one runs", |script| processes_of(script, ProcessState::Running) == 1).await;
        let hostile = MODES.iter().map(|mode| orders(&bad, process_of(mode).dpid.job.0, 1..=1, &[("mode", mode)]));
        jobs.extend(hostile);
        world.update(jobs[1..].to_vec(), vec![]).await;
        let works = (1..=13).map(|job| world.work(id(job, 1)));
        let works: Vec<_> = works.collect();
        muster_testkit::wait_until("all have a place", common::LIMIT, || {
            works.iter().all(|work| work.join("log").exists())
        })
        .unwrap();
        world.wait("all but few have begun", |script| processes_of(script, ProcessState::Running) >= 11).await;
        let users = works.iter().map(|work| std::fs::metadata(work).unwrap().uid()).collect();
        Self { world, jobs, users }
    }

    fn came_of(&self, mode: &str) -> String {
        let path = self.world.work(process_of(mode)).join("came_of_it");
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        muster_testkit::wait_until(&format!("{mode} has done its worst"), common::LIMIT, || !read().is_empty())
            .unwrap();
        read().trim().to_owned()
    }

    /// Longest time between two heartbeats, by the agent's own clock.
    fn heartbeat_gap(&self) -> Duration {
        let script = self.world.script();
        let times: Vec<i64> = script.heartbeats.iter().map(|(_, heartbeat)| heartbeat.pool_time_ns).collect();
        let gaps = times.windows(2).filter(|pair| pair[0] > 0).map(|pair| pair[1] - pair[0]);
        Duration::from_nanos(gaps.max().unwrap_or(0).unsigned_abs())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_modules_are_contained_and_end_when_they_are_stopped() {
    let arena = Arena::begin().await;
    let each_has_its_own = arena.users.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(each_has_its_own == 13 && !arena.users.contains(&0), "{:?}", arena.users);
    let number = |words: &str| words.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let bomb = arena.came_of("fork_bomb");
    assert!(number(&bomb) <= 100, "{bomb}");
    let memory = arena.came_of("memory");
    assert!(number(&memory) <= 256 << 20, "{memory}");
    let descriptors = arena.came_of("descriptors");
    assert!(number(&descriptors) < 200, "{descriptors}");
    let traced = arena.came_of("ptrace");
    assert!(traced.ends_with("attached 0 stopped 0 read 0") && !traced.starts_with("of 0"), "{traced}");
    assert_eq!(arena.came_of("reads_state"), "reached []");
    for mode in ["double_fork", "ignores_signals", "zombie_maker", "setsid"] {
        arena.came_of(mode);
    }
    let hidden: u32 = arena.came_of("double_fork").parse().unwrap();
    assert!(muster_testkit::is_alive(hidden));
    let reasons = [("disk", "work directory is over the limit"), ("log_flood", "log over its limit")];
    for (mode, reason) in reasons {
        let is_over = |script: &common::Script| {
            script.reports.iter().any(|report| match &report.kind {
                Some(v1::report::Kind::Process(it)) => {
                    it.id == Some(process_of(mode).into()) && it.reason.contains(reason)
                }
                _ => false,
            })
        };
        arena.world.wait(mode, is_over).await;
    }
    let heard = arena.world.script().heartbeats.len();
    arena.world.wait("it goes on", |script| script.heartbeats.len() >= heard + HEARTBEATS_OF_HARM).await;

    let all: Vec<v1::JobOrders> = arena.jobs.iter().map(|job| stops(job.clone(), 1_000)).collect();
    let stopped = Instant::now();
    arena.world.update(all, vec![]).await;
    let gone = || of_users(&arena.users).is_empty();
    let ended = muster_testkit::wait_until("nothing of theirs is left", common::LIMIT, gone);
    let took = stopped.elapsed();
    ended.unwrap_or_else(|error| panic!("{error}: {:?}", of_users(&arena.users)));
    assert!(took < ENDED_WITHIN, "it took {took:?}");
    arena
        .world
        .wait("all are said to have ended", |script| {
            processes_of(script, ProcessState::Dead) + processes_of(script, ProcessState::Finished) == 13
        })
        .await;
    assert!(!muster_testkit::is_alive(hidden));
    let good = &arena.world.states()[&id(1, 1)];
    assert_eq!((good.state(), good.verdict()), (ProcessState::Finished, Verdict::Pass), "{good:?}");
    let gap = arena.heartbeat_gap();
    println!(
        "twelve hostile modules: gone {took:?} after the stop, heartbeats at most {gap:?} apart; {bomb}, {memory}"
    );
    assert!(gap < HEARTBEAT_GAP_MAX, "{gap:?} between two heartbeats");
    let told = arena.world.script().heartbeats.last().unwrap().1.containment.clone().unwrap();
    assert!(told.own_users && told.policy_error.is_empty(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_forbids_is_not_started_and_who_asked_hears_why() {
    let mut world = World::new().await;
    std::fs::set_permissions(world.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::write(world.home.path().join("policy.toml"), "root = [\"other\"]\n").unwrap();
    world.start_agent();
    world.wait_up().await;
    let rooted = v1::Module { root: true, ..world.ping_module().await };
    world.update(vec![orders(&rooted, 1, 1..=1, &[])], vec![]).await;
    world.wait("it is refused", |script| processes_of(script, ProcessState::Dead) == 1).await;
    let refused = world.states()[&id(1, 1)].reason.clone();
    assert!(
        refused.contains("does not let the module ping run as root") && refused.contains("policy.toml"),
        "{refused}"
    );
    std::fs::write(world.home.path().join("policy.toml"), "root = [\"ping\"]\n").unwrap();
    world.update(vec![orders(&rooted, 2, 1..=1, &[])], vec![]).await;
    world.wait("it runs as root", |script| processes_of(script, ProcessState::Running) == 1).await;
    assert_eq!(std::fs::metadata(world.work(id(2, 1))).unwrap().uid(), 0);
    let policy = world.home.path().join("policy.toml");
    std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o666)).unwrap();
    world.update(vec![orders(&rooted, 3, 1..=1, &[])], vec![]).await;
    world
        .wait("a file that others may write permits nothing", |script| processes_of(script, ProcessState::Dead) == 2)
        .await;
    let refused = world.states()[&id(3, 1)].reason.clone();
    assert!(refused.contains("has to belong to root and be writable by its owner alone"), "{refused}");
}
