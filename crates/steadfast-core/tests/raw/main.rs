//! Tests of a session without a protocol of its own: frames are sent and received as they are. `script` plays the server.

mod closing;
mod handshake;
mod migration;
mod receiving;
mod script;
mod sending;
mod slow_reader;
