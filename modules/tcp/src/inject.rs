//! What is wrong on purpose: a detector that was never seen to fire is not trusted.

use muster_pattern::spoil;

use crate::core::Disorder;
use crate::flow::Flow;
use crate::settings::Injection;

/// The packet at which it is done: late enough that there is something before it.
pub(crate) const AT_PACKET: u64 = 8;

/// Bytes to send in place of the packet `next`, and the packet that comes after them.
pub(crate) fn wrong(injection: Injection, flow: &Flow, next: u64, time: u64, seed: u64) -> (Vec<u8>, u64) {
    let packets = match injection {
        Injection::Content(_) => vec![next],
        Injection::Order(Disorder::Dropped) => vec![next + 1],
        Injection::Order(Disorder::Duplicated) => vec![next, next],
        Injection::Order(Disorder::Reordered) => vec![next + 1, next],
    };
    let mut bytes = vec![0; packets.len() * flow.packet_bytes()];
    for (buffer, packet) in bytes.chunks_exact_mut(flow.packet_bytes()).zip(&packets) {
        flow.fill(buffer, *packet, time);
    }
    if let Injection::Content(class) = injection {
        spoil(&mut bytes, class, &flow.expectation(next), seed);
    }
    let last = packets.into_iter().max().unwrap_or(next);
    (bytes, last + 1)
}
