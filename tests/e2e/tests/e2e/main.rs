//! End-to-end tests against real servers, services, agents and test processes. One binary, tests side by side.

mod agent_boots;
mod away;
mod boots;
mod centers;
mod crashes;
mod deadlines;
mod faults;
mod kernels;
mod killed_rollouts;
mod kills;
mod leaders;
mod live;
mod locks;
mod on_error;
mod pulses;
mod qemu;
mod refusals;
mod reservations;
mod resources;
mod rollouts;
mod simulated;
mod spine;
mod storage;
mod syncs;
mod system;
mod triggers;
