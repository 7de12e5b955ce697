//! Round trips of the wire.
