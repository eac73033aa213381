//! Tests of a session that speaks JSON-RPC 2.0. `script` plays the server.

mod calls;
mod feeds;
mod hostile_peer;
mod idle;
mod login;
mod login_steps;
mod oversized;
mod relogin;
mod renewal;
mod script;
mod too_many_calls;
