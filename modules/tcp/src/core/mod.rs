//! Pure: what the order of packets says. No sockets, no clock.

mod sequence;

pub(crate) use sequence::{Disorder, Sequence, Wrong};
