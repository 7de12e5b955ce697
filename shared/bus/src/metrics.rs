//! Names and help of the bus' metrics.

/// Connections that were made; rises with every reconnect.
pub(crate) const CONNECTIONS: &str = "muster_bus_connections_total";
/// Times that a subscription was full and messages were dropped.
pub(crate) const SLOW_CONSUMERS: &str = "muster_bus_slow_consumer_total";
/// Requests of identities that ask more than they may, by kind of identity (`user`, `agent`) and by whether they were told (`told`,
/// `silent`: they were told often enough).
pub(crate) const REQUESTS_REFUSED: &str = "muster_bus_requests_refused_total";
/// Stored messages that somebody directed to a subject of live ones; none of them was taken.
pub(crate) const MISDIRECTED: &str = "muster_bus_misdirected_total";
