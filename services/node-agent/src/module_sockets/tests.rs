use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use muster_module_protocol::{ModuleMessage, PROTOCOL, decode_line};

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// The sockets, and a process that has connected and said something.
fn open(said: &[u8]) -> (tempfile::TempDir, ModuleSockets, UnixStream) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let sockets = ModuleSockets::listen(&path).unwrap();
    let mut process = UnixStream::connect(&path).unwrap();
    process.write_all(said).unwrap();
    (directory, sockets, process)
}

fn hello() -> Vec<u8> {
    let dpid = "00010002".into();
    encode_line(&ModuleMessage::Hello { protocol: PROTOCOL, run: 3, dpid, attempt: 1, pid: 4 }).unwrap()
}

/// Takes what happens until something does.
async fn next(sockets: &mut ModuleSockets) -> Vec<ModuleInput> {
    let mut inputs = Vec::new();
    let taking = async {
        while inputs.is_empty() {
            sockets.ready().await;
            sockets.take(&mut inputs);
        }
    };
    tokio::time::timeout(LIMIT, taking).await.expect("something happens in time");
    inputs
}

/// Takes what happens, for ever: it comes to nothing.
async fn take_nothing(sockets: &mut ModuleSockets) {
    let mut inputs = Vec::new();
    loop {
        sockets.ready().await;
        sockets.take(&mut inputs);
        assert!(inputs.is_empty(), "{inputs:?}");
    }
}

async fn connected(sockets: &mut ModuleSockets) -> u64 {
    match next(sockets).await[..] {
        [ModuleInput::Connected { connection, .. }] => connection,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_said_last_comes_before_the_end_of_the_connection() {
    let (_directory, mut sockets, mut process) = open(&hello());
    let connection = connected(&mut sockets).await;
    process.write_all(b"{\"type\":\"ready\"}\n{\"type\":\"pong\",\"n\":1,\"iterations\":2}\n{\"type\":\"po").unwrap();
    drop(process);
    let mut inputs = Vec::new();
    while !matches!(inputs.last(), Some(ModuleInput::Closed { .. })) {
        inputs.extend(next(&mut sockets).await);
    }
    assert!(
        matches!(
            inputs[..],
            [
                ModuleInput::Said { message: ModuleMessage::Ready, .. },
                ModuleInput::Said { message: ModuleMessage::Pong { n: 1, iterations: 2 }, .. },
                ModuleInput::Closed { connection: closed, .. },
            ] if closed == connection
        ),
        "{inputs:?}"
    );
    assert!(!sockets.say(connection, &AgentMessage::Start), "nobody is there");
}

#[tokio::test]
async fn who_does_not_say_hello_first_is_let_go() {
    let (_directory, mut sockets, process) = open(b"{\"type\":\"ready\"}\n");
    let reading = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(process).read_line(&mut line).map(|size| (size, line))
    });
    let taking = take_nothing(&mut sockets);
    tokio::select! {
        () = taking => {}
        read = tokio::time::timeout(LIMIT, reading) => {
            // The end, or a reset: what it had said may not have been read.
            let read = read.expect("it ends in time").unwrap();
            assert!(read.as_ref().map_or(true, |(size, _)| *size == 0), "{read:?}");
        }
    }
}

#[tokio::test]
async fn what_a_process_does_not_read_is_kept_in_order_up_to_a_bound() {
    let (_directory, mut sockets, process) = open(&hello());
    let connection = connected(&mut sockets).await;
    let mut said = 0;
    while sockets.say(connection, &AgentMessage::Ping { n: said }) {
        sockets.write();
        said += 1;
        assert!(said < 1_000_000, "there is no bound");
    }
    let reading = tokio::task::spawn_blocking(move || {
        let mut process = BufReader::new(process);
        let lines = process.by_ref().lines().take(usize::try_from(said).unwrap());
        let heard: Vec<_> = lines.map(|line| decode_line::<AgentMessage>(line.unwrap().as_bytes()).unwrap()).collect();
        (heard, process)
    });
    let taking = take_nothing(&mut sockets);
    let (heard, _process) = tokio::select! {
        () = taking => unreachable!("it takes for ever"),
        heard = tokio::time::timeout(LIMIT, reading) => heard.expect("all is written in time").unwrap(),
    };
    assert!(heard.iter().zip(0..).all(|(message, n)| *message == Some(AgentMessage::Ping { n })), "in order");
    assert_eq!(heard.len() as u64, said);
    assert!(sockets.say(connection, &AgentMessage::Start), "there is room again");
}
