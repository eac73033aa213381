//! Tests of each behaviour of the session, through its inputs and outputs. `script` plays the server.

mod closing;
mod coalescing;
mod credentials;
mod endpoint_logs;
mod endpoints;
mod failback;
mod hostile_dialect;
mod hostile_peer;
mod invariants;
mod jitter;
mod liveness;
mod migration;
mod network_available;
mod order;
mod outages;
mod outbox;
mod policy;
mod random_inputs;
mod random_recovery;
mod reconnecting;
mod replies;
mod requests_in_flight;
mod script;
mod standby;
mod standby_credentials;
mod subscriptions;
