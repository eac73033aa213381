//! The gateway as its users meet it: a process, on a port, with clients that others wrote.
//!
//! - [`binaries`] finds or builds what is started.
//! - [`gateway`] starts, watches and kills one gateway; [`driver`] talks to the clients of `tests/peers`.
//! - [`walk`] leads each kind of client through every feature.
//! - [`kills`] runs load over kills and restarts; [`ledger`] is told all of it and judges.
//!
//! Nothing of the product is linked: what is tested is the binary that a user would start.

pub mod binaries;
pub mod driver;
pub mod gateway;
pub mod kills;
pub mod ledger;
pub mod peers;
pub mod verdict;
pub mod walk;
