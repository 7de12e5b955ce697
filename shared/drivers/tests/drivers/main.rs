//! The drivers against what they drive: real programs, simulators that others made, and targets that hang, fail, talk rubbish and lie.

mod command;
mod ipmitool;
mod libvirt;
mod mail;
mod manual;
mod notice;
mod page;
mod qemu;
mod redfish;
mod rude;
mod simulated;
mod support;
