//! Connections between processes of a gang: where a server listens, and the options by which a dead peer is noticed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rustix::net::sockopt;

/// How long sent data may stay unacknowledged, and how long a silent peer is believed in: after that the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// Sends at once what is written, and ends the connection when its peer is silent for 15 seconds.
///
/// # Errors
/// The kernel refuses an option.
pub fn keep_alive(socket: &TcpStream) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE_INTERVAL)?;
    let milliseconds = u32::try_from(SILENCE_MAX.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(socket, milliseconds)?)
}

/// Listens, without blocking, at an ephemeral port of all addresses; of IPv4 alone where the machine has no IPv6.
///
/// # Errors
/// The kernel refuses it.
pub fn listen_anywhere() -> std::io::Result<TcpListener> {
    let all = [IpAddr::from(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()].map(|any| SocketAddr::new(any, 0));
    let listener = TcpListener::bind(&all[..])?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// An IPv4 address as people write it, though an IPv6 socket has it.
#[must_use]
pub fn plain_address(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
