//! The session, behaviour by behaviour, through its inputs and outputs. The server's side is played by the script.

mod account;
mod answers;
mod chance;
mod closing;
mod coming_back;
mod herd;
mod liveness;
mod order;
mod outbox;
mod script;
mod subscriptions;
mod together;
mod world;
