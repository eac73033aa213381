//! Tests of the hub, one for each behaviour, through its inputs and outputs. The hub runs over the memory engine.

mod bounds;
mod commands;
mod engine;
mod fanout;
mod liveness;
mod messages;
mod presence;
mod random;
mod recovery;
mod responses;
mod script;
mod slow_consumer;
