//! The command center on a terminal, with services that the test plays.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_bus::{Authority, Bus, subjects::Service};
use muster_proto::v1::{self, envelope::Body, job_command, job_query, job_reply, machine_reply};
use muster_testkit::{NatsServer, Terminal};

use crate::server;

const LIMIT: Duration = Duration::from_secs(30);

/// What the played services were asked for.
#[derive(Default)]
struct Played {
    starts: AtomicU32,
    takes: AtomicU32,
    releases: AtomicU32,
    master: Mutex<Option<v1::Master>>,
}

fn jobs() -> v1::JobList {
    let module = v1::Module { name: "high-io".into(), ..Default::default() };
    let spec = v1::StartSpec { module: Some(module), run: 1, job: 7, ..Default::default() };
    let job = v1::JobRecord { spec: Some(spec), processes: 3, by_state: vec![0, 0, 3], ..Default::default() };
    v1::JobList { jobs: vec![job], more: false, run: 1 }
}

fn answer(played: &Played, kind: job_query::Kind) -> job_reply::Kind {
    match kind {
        job_query::Kind::Jobs(_) => job_reply::Kind::Jobs(jobs()),
        job_query::Kind::Modules(_) => {
            let named = |name: &str| v1::Module { name: name.into(), ..Default::default() };
            job_reply::Kind::Modules(v1::ModuleList { modules: vec![named("high-io"), named("tcp")] })
        }
        job_query::Kind::Master(_) => {
            let master = played.master.lock().expect("nobody panics with it").clone();
            job_reply::Kind::Master(v1::MasterReply { master })
        }
        job_query::Kind::Clock(_) => job_reply::Kind::Clock(v1::ClockReply { pool_time_ns: 1 }),
        _ => job_reply::Kind::Processes(v1::ProcessList::default()),
    }
}

/// Plays the scheduler and machine-lifecycle. A start is never answered.
async fn play(bus: &Bus) -> Arc<Played> {
    let played = Arc::new(Played::default());
    let mut scheduler = bus.serve(Service::Scheduler, "test", &["command", "query"]).await.expect("it serves");
    let mut lifecycle = bus.serve(Service::MachineLifecycle, "test", &["query"]).await.expect("it serves");
    bus.settled().await.expect("the server has it");
    let (mut commands, mut queries) = (scheduler.endpoints.remove(0), scheduler.endpoints.remove(0));
    let mut machines = lifecycle.endpoints.remove(0);
    let seen = Arc::clone(&played);
    tokio::spawn(async move {
        let _serving = (scheduler, lifecycle);
        loop {
            tokio::select! {
                Some(request) = queries.next() => {
                    let Ok(v1::Envelope { body: Some(Body::JobQuery(query)), .. }) = request.envelope.clone() else { continue };
                    let kind = Some(answer(&seen, query.kind.expect("a query")));
                    request.answer(Body::JobReply(v1::JobReply { kind }), Authority::default()).await;
                }
                Some(request) = machines.next() => {
                    let record = v1::MachineRecord { machine: "node-1".into(), active: true, ..Default::default() };
                    let up = v1::MachineStatus { record: Some(record), health: v1::Health::Up.into(), ..Default::default() };
                    let kind = Some(machine_reply::Kind::Machines(v1::MachineList { machines: vec![up], more: false, hold: None }));
                    request.answer(Body::MachineReply(v1::MachineReply { kind }), Authority::default()).await;
                }
                Some(request) = commands.next() => {
                    let Ok(v1::Envelope { body: Some(Body::JobCommand(command)), .. }) = request.envelope.clone() else { continue };
                    assert!(!command.center.is_empty(), "a center says that it is one");
                    match command.kind {
                        Some(job_command::Kind::Master(change)) => {
                            if change.release { &seen.releases } else { &seen.takes }.fetch_add(1, Ordering::Relaxed);
                            let center = command.center;
                            let master = v1::Master { center, actor: "user:anna".into(), ..Default::default() };
                            let master = (!change.release).then_some(master);
                            seen.master.lock().expect("nobody panics with it").clone_from(&master);
                            let kind = Some(job_reply::Kind::Master(v1::MasterReply { master }));
                            request.answer(Body::JobReply(v1::JobReply { kind }), Authority::default()).await;
                        }
                        _ => drop(seen.starts.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                else => return,
            }
        }
    });
    played
}

fn center(url: &str, home: &std::path::Path) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command
        .env("MUSTER_NATS", url)
        .env("MUSTER_INSECURE_LOCAL", "true")
        .env("MUSTER_USER", "anna")
        .env("XDG_STATE_HOME", home);
    Terminal::start(command).expect("it starts")
}

/// A played pool and a center on it that has shown its first prompt.
async fn begun() -> (NatsServer, Arc<Played>, Terminal, tempfile::TempDir) {
    let (server, bus) = server().await;
    let played = play(&bus).await;
    let home = tempfile::tempdir().expect("a folder is made");
    let terminal = center(&server.url(), home.path());
    let terminal = blocking(terminal, |terminal| shows(terminal, "muster>")).await;
    (server, played, terminal, home)
}

/// Runs what waits for a terminal beside the played services.
async fn blocking(mut terminal: Terminal, work: impl FnOnce(&mut Terminal) + Send + 'static) -> Terminal {
    let worked = tokio::task::spawn_blocking(move || {
        work(&mut terminal);
        terminal
    });
    worked.await.expect("the terminal does as it should")
}

#[track_caller]
fn shows(terminal: &Terminal, text: &str) {
    terminal.wait_for(text, LIMIT).unwrap_or_else(|error| panic!("{error:#}"));
}

#[track_caller]
fn types(terminal: &mut Terminal, keys: &str) {
    terminal.type_keys(keys).expect("the terminal is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_errors_and_help_are_shown_and_the_center_goes_on() {
    let (_server, played, terminal, _home) = begun().await;
    blocking(terminal, |terminal| {
        shows(terminal, "machines 1/1 up | 1 job: 3 running | you are master");
        types(terminal, "jobs\r");
        shows(terminal, "high-io");
        types(terminal, "start high-io --processes 0\r");
        shows(terminal, "0 is not in 1..=65535");
        types(terminal, "ps 'open\r");
        shows(terminal, "is not closed");
        types(terminal, "help master take\r");
        shows(terminal, "--take-over");
        types(terminal, "\x04");
        assert!(terminal.wait_end(LIMIT).expect("ctrl-D ends it").success());
    })
    .await;
    assert_eq!(played.takes.load(Ordering::Relaxed), 1, "it takes what nobody has");
    assert_eq!(played.releases.load(Ordering::Relaxed), 1, "and gives it back");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_and_not_the_center() {
    let (_server, played, terminal, _home) = begun().await;
    let seen = Arc::clone(&played);
    blocking(terminal, move |terminal| {
        types(terminal, "start high-io -n 1\r");
        muster_testkit::wait_until("the start", LIMIT, || seen.starts.load(Ordering::Relaxed) > 0).expect("it comes");
        types(terminal, "\x03");
        shows(terminal, "interrupted");
        shows(terminal, "muster>");
        types(terminal, "stop --all\r");
        shows(terminal, "Go on? [y/N]");
        types(terminal, "\x03");
        shows(terminal, "interrupted");
        shows(terminal, "muster>");
        types(terminal, "half a line");
        shows(terminal, "half a line");
        types(terminal, "\x03");
        shows(terminal, "muster>");
        types(terminal, "exit\r");
        assert!(terminal.wait_end(LIMIT).expect("exit ends it").success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tab_completes_names_of_the_pool_and_the_history_is_kept() {
    let (server, _played, terminal, home) = begun().await;
    blocking(terminal, |terminal| {
        types(terminal, "module sh\thi\t\r");
        shows(terminal, "stop grace");
        types(terminal, "exit\r");
        terminal.wait_end(LIMIT).expect("exit ends it");
    })
    .await;
    let kept = std::fs::read_to_string(home.path().join("muster/history")).expect("the history is kept");
    assert!(kept.contains("module show high-io"), "{kept}");
    let again = center(&server.url(), home.path());
    blocking(again, |terminal| {
        shows(terminal, "muster>");
        types(terminal, "\x1b[A\x1b[A\r");
        shows(terminal, "stop grace");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_bus_is_in_the_status_line_and_commands_say_what_they_wait_for() {
    let (mut server, _played, terminal, _home) = begun().await;
    let terminal = blocking(terminal, |terminal| shows(terminal, "1/1 up")).await;
    server.kill9();
    blocking(terminal, |terminal| {
        types(terminal, "");
        shows(terminal, "NATS lost for");
        types(terminal, "jobs --timeout 4s\r");
        shows(terminal, "waiting for scheduler until");
        shows(terminal, "the connection to NATS was lost for 4s");
        shows(terminal, "muster>");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_center_cleanly_while_one_types() {
    let (_server, played, terminal, _home) = begun().await;
    blocking(terminal, |terminal| {
        shows(terminal, "you are master");
        types(terminal, "half a line");
        let pid = i32::try_from(terminal.pid()).expect("a pid");
        // SAFETY: it is our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
        assert!(terminal.wait_end(LIMIT).expect("it ends").success());
    })
    .await;
    assert_eq!(played.releases.load(Ordering::Relaxed), 1);
}

#[test]
fn without_a_terminal_nothing_to_do_is_a_usage_error_with_help() {
    let output = crate::muster("nats://127.0.0.1:9", &[]);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
    assert!(crate::error_of(&output).contains("Usage: muster"), "{}", crate::error_of(&output));
}
