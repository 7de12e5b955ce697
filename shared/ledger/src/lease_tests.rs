//! Rules of the lease, on a real server.

use muster_bus::BusOptions;
use muster_bus::streams::{self, InitOptions};
use muster_model::nanoseconds;
use muster_testkit::NatsServer;
use rustix::process::Signal;

use super::*;

async fn leased() -> (NatsServer, Lease) {
    let server = NatsServer::start().expect("nats-server starts");
    let bus = Bus::connect(&BusOptions::insecure_local(&server.url(), "test")).await.expect("a connection");
    bus.init_streams(InitOptions { replicas: 1, size_divisor: 64 }).await.expect("streams are made");
    let lease = acquire(&bus, Service::Reservation, "a").await;
    (server, lease)
}

fn valid_until(lease: &Lease) -> i64 {
    lease.holding().valid_until()
}

/// One renewal over the revision that the lease knows.
async fn renew(lease: &Lease) -> bool {
    let revision = lease.holding().revision();
    lease.renew(revision).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_counts_from_before_its_renewal_was_sent() {
    let (server, lease) = leased().await;
    server.signal(Signal::STOP).expect("it runs");
    let going_on = async {
        let sent_before = boot_time();
        server.signal(Signal::CONT).expect("it is stopped");
        sent_before
    };
    // Polled in this order: the renewal is sent, and only then the server goes on.
    let (renewed, sent_before) = tokio::join!(biased; renew(&lease), going_on);
    assert!(renewed);
    assert!(valid_until(&lease) < sent_before + nanoseconds(streams::LEASE_AGE));
    assert!(lease.is_valid(), "it was renewed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_with_unknown_outcome_is_read_back_and_does_not_prolong_the_lease() {
    let (server, lease) = leased().await;
    let before = valid_until(&lease);
    server.signal(Signal::STOP).expect("it runs");
    assert!(!renew(&lease).await, "nobody answered");
    server.signal(Signal::CONT).expect("it is stopped");
    // It landed meanwhile, so that our revision is the one before; reading it back finds our own value.
    assert!(!renew(&lease).await, "with the old revision");
    assert_eq!(valid_until(&lease), before);
    assert!(renew(&lease).await, "with the revision that was read back");
    assert!(valid_until(&lease) > before);
}
