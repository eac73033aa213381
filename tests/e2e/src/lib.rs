//! End-to-end tests of the gateway as users run it: a process, on a port, with third-party clients.
//!
//! - [`binaries`] finds or builds what is started.
//! - [`gateway`] starts, watches and kills one gateway; [`driver`] talks to the clients of `tests/third-party`.
//! - [`walk`] exercises every feature with each kind of client.
//! - [`edges`] runs the npm client into what the gateway does not support.
//! - [`many_channels`] lets clients subscribe to as many channels as the gateway permits, and publish as much at once.
//! - [`slow_links`] lets clients recover over links of a few kbit/s; [`namespaces`] separates such runs from the machine.
//! - [`failover`] moves the client library between two gateways, one of which is made unavailable.
//! - [`proxy_clients`] lets published clients of Toxiproxy drive the proxy, and measures what they set.
//! - [`truenas_clients`] lets a published client of TrueNAS use the emulator; [`bridge_kills`] lets several programs share a
//!   bridge while the server and the bridge end.
//! - [`documents`] runs every command and sample of the documents, and [`examples`] the services among the examples of the
//!   client library.
//! - [`lab_run`] runs one scenario of the lab, and reads its report.
//! - [`kills`] runs load over kills and restarts; [`ledger`] records every event and evaluates them.
//!
//! The gateway is not linked: the tests run the binary that a user would start. The client library is.

pub mod binaries;
pub mod bridge_kills;
pub mod documents;
pub mod driver;
pub mod edges;
pub mod examples;
pub mod failover;
pub mod gateway;
pub(crate) mod http;
pub mod kills;
pub mod lab_run;
pub mod ledger;
pub mod many_channels;
pub mod namespaces;
pub mod proxy_clients;
pub mod rpc_server;
pub(crate) mod sdk;
pub mod slow_links;
pub mod third_party;
pub mod truenas_clients;
pub mod verdict;
pub mod walk;
