//! The HTTP API over real connections: statuses, headers and exact bodies, for requests as clients of Toxiproxy send them.

#![cfg(test)]

mod bodies;
mod extensions;
mod http;
mod limits;
mod load;
mod proxies;
mod toxics;
