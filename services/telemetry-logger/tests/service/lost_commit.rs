//! A COMMIT whose answer is lost on the wire: the position is read back, and nothing is stored twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{World, batch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Forwards to PostgreSQL, and cuts a connection right after a COMMIT was done, before its answer arrives, `left` times.
async fn cutting_wire(target: String, left: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&target).await else { continue };
            tokio::spawn(forward(client, server, left.clone()));
        }
    });
    port
}

async fn forward(mut client: TcpStream, mut server: TcpStream, left: Arc<AtomicUsize>) {
    let (mut said, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut said) => {
                let Ok(count @ 1..) = read else { return };
                if server.write_all(&said[..count]).await.is_err() {
                    return;
                }
                let commits = said[..count].windows(7).any(|bytes| bytes == b"COMMIT\0");
                if commits && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                    // PostgreSQL has answered, so it has committed; nobody hears of it.
                    let _ = server.read(&mut answered).await;
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_by_its_position() {
    let world = World::start().await;
    let url = world.url.clone();
    let target = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).expect("host and port").to_owned();
    let left = Arc::new(AtomicUsize::new(0));
    let port = cutting_wire(target.clone(), left.clone()).await;
    let logger = world.logger_at(&url.replace(&target, &format!("127.0.0.1:{port}")));
    world.wait_for("SELECT count(*) FROM stream_offset", 5).await;
    for number in 1..=6 {
        left.store(1, Ordering::SeqCst);
        world.samples("m1", 1, batch("m1", number, 10), &number.to_string()).await;
        let taken = "SELECT last_seq FROM stream_offset WHERE stream = 'TEL'";
        world.wait_for(taken, i64::try_from(number).expect("small")).await;
    }
    assert_eq!(left.load(Ordering::SeqCst), 0, "connections were cut");
    assert_eq!(world.count("SELECT count(*) FROM sample").await, 60);
    assert_eq!(world.count("SELECT sum(reports) FROM layout_total").await, 60);
    logger.stop().await;
}
