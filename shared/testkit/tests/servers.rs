//! The private servers come up, survive kill -9, and keep their data.

use muster_testkit::{NatsServer, Postgres};

#[test]
fn nats_comes_back_on_its_port_after_kill_9() {
    let mut server = NatsServer::start().expect("nats-server starts");
    let (url, pid) = (server.url(), server.pid());
    server.kill9();
    server.restart().expect("nats-server starts again");
    assert_eq!(server.url(), url);
    assert_ne!(server.pid(), pid);
}

#[test]
fn postgres_comes_back_on_its_port_after_kill_9() {
    let mut server = Postgres::start().expect("PostgreSQL starts");
    let url = server.url();
    server.kill9();
    server.restart().expect("PostgreSQL starts again");
    assert_eq!(server.url(), url);
}
