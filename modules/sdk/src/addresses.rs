//! Which addresses of this machine a peer may try, for modules whose processes connect to each other.

use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::ParameterError;

/// Most addresses that a server tells: they must fit words.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// Addresses that may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// All.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// How they are written.
    pub const NAMES: [(&str, Self); 3] = [("any", Self::Any), ("ipv4", Self::V4), ("ipv6", Self::V6)];
}

/// An address of an interface that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
}

/// Addresses of this machine that a peer may try, the best first. `network` is the value of the parameter with that name: an
/// interface (eth1) or a network (10.1.0.0/16), or empty for every address.
///
/// # Errors
/// No address fits, or the list of interfaces can not be had.
pub fn own_addresses(family: Family, network: &str) -> Result<Vec<IpAddr>, ParameterError> {
    let invalid = |reason: String| ParameterError::invalid("network", network, reason);
    let interfaces = interfaces().map_err(|error| invalid(format!("listing the interfaces failed: {error}")))?;
    let chosen = choose(&interfaces, family, &Network::read(network)?);
    if chosen.is_empty() {
        let known = interfaces.iter().map(|known| format!("{} {}", known.name, known.address));
        let known = known.collect::<Vec<_>>().join(", ");
        return Err(invalid(format!("no address of this machine fits it and `family`; it has {known}")));
    }
    Ok(chosen)
}

/// What the parameter `network` names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Network {
    All,
    Interface(String),
    Prefix(IpAddr, u32),
}

impl Network {
    fn read(text: &str) -> Result<Self, ParameterError> {
        if text.is_empty() {
            return Ok(Self::All);
        }
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let Ok(address) = address.parse::<IpAddr>() else {
            return Ok(Self::Interface(text.to_owned()));
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok().filter(|bits| *bits <= most));
        bits.map(|bits| Self::Prefix(address, bits)).ok_or_else(|| {
            ParameterError::invalid("network", text, "write an interface like eth1, or a network like 10.1.0.0/16")
        })
    }

    fn holds(&self, interface: &Interface) -> bool {
        match self {
            Self::All => true,
            Self::Interface(name) => *name == interface.name,
            Self::Prefix(IpAddr::V4(network), bits) => match interface.address {
                IpAddr::V4(address) => {
                    u32::from(address) ^ u32::from(*network) < 1_u32.checked_shl(32 - bits).unwrap_or(0) || *bits == 0
                }
                IpAddr::V6(_) => false,
            },
            Self::Prefix(IpAddr::V6(network), bits) => match interface.address {
                IpAddr::V6(address) => {
                    u128::from(address) ^ u128::from(*network) < 1_u128.checked_shl(128 - bits).unwrap_or(0)
                        || *bits == 0
                }
                IpAddr::V4(_) => false,
            },
        }
    }
}

/// Real addresses before the loopback's, IPv4 before IPv6; what needs a scope can not be told.
fn choose(interfaces: &[Interface], family: Family, network: &Network) -> Vec<IpAddr> {
    let fits = |address: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let scoped = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let held = interfaces.iter().filter(|interface| network.holds(interface)).map(|interface| interface.address);
    let mut chosen: Vec<IpAddr> = held.filter(|address| fits(address) && !scoped(address)).collect();
    chosen.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    chosen.dedup();
    chosen.truncate(ADDRESSES_MAX);
    chosen
}

/// The addresses of all interfaces that are up.
fn interfaces() -> std::io::Result<Vec<Interface>> {
    let mut first = std::ptr::null_mut();
    // SAFETY: the kernel's list is written to `first`, and freed below.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut entry = first;
    while !entry.is_null() {
        // SAFETY: the list's entries are valid until it is freed.
        let known = unsafe { &*entry };
        let up = known.ifa_flags & u32::try_from(libc::IFF_UP).unwrap_or(1) != 0;
        // SAFETY: the address is null or a socket address of its family.
        if let Some(address) = unsafe { address_of(known.ifa_addr) }.filter(|_| up) {
            // SAFETY: a name is a text that ends with a zero.
            let name = unsafe { CStr::from_ptr(known.ifa_name) }.to_string_lossy().into_owned();
            found.push(Interface { name, address });
        }
        entry = known.ifa_next;
    }
    // SAFETY: it is the list from above, and nothing borrows from it any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// # Safety
/// The pointer is null, or to a socket address that is as long as its family says.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    if address.is_null() {
        return None;
    }
    // SAFETY: by the caller's word; socket addresses of the C library are aligned for their family.
    unsafe {
        match i32::from((*address).sa_family) {
            libc::AF_INET => {
                let address = std::ptr::read_unaligned(address.cast::<libc::sockaddr_in>());
                Some(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into())
            }
            libc::AF_INET6 => {
                let address = std::ptr::read_unaligned(address.cast::<libc::sockaddr_in6>());
                Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(family: Family, network: &str) -> Vec<String> {
        let known = ["lo 127.0.0.1", "lo ::1", "eth0 fe80::1", "eth0 2001:db8::7", "eth0 10.1.2.3", "eth1 192.168.0.9"];
        let interfaces = known.map(|text| {
            let (name, address) = text.split_once(' ').expect("two words");
            Interface { name: name.to_owned(), address: address.parse().expect("an address") }
        });
        let network = Network::read(network).expect("a network");
        choose(&interfaces, family, &network).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn real_addresses_come_before_the_loopback_and_what_was_asked_for_is_kept() {
        assert_eq!(check(Family::Any, ""), ["10.1.2.3", "192.168.0.9", "2001:db8::7", "127.0.0.1", "::1"]);
        assert_eq!(check(Family::V6, ""), ["2001:db8::7", "::1"]);
        assert_eq!(check(Family::V4, "eth0"), ["10.1.2.3"]);
        assert_eq!(check(Family::Any, "10.1.0.0/16"), ["10.1.2.3"]);
        assert_eq!(check(Family::Any, "10.2.0.0/16"), Vec::<String>::new());
        assert_eq!(check(Family::Any, "2001:db8::/32"), ["2001:db8::7"]);
        assert_eq!(check(Family::Any, "192.168.0.9"), ["192.168.0.9"]);
        assert_eq!(check(Family::Any, "0.0.0.0/0"), ["10.1.2.3", "192.168.0.9", "127.0.0.1"]);
        assert!(Network::read("10.0.0.0/33").is_err());
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let found = interfaces().expect("a list");
        assert!(found.iter().any(|interface| interface.address.is_loopback()), "{found:?}");
    }
}
