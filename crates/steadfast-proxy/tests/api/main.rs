//! The HTTP API over real connections: statuses, headers and exact bodies, for requests as clients of Toxiproxy send them.

#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests measure on the clock of the machine, and poll what the kernel does"
)]

mod batches;
mod bodies;
mod extensions;
mod http;
mod limits;
mod load;
mod proxies;
mod rows;
mod toxics;
mod wait;
