//! Tests of the hub, one for each behaviour, through its inputs and outputs. The script acts as the log.

mod bounds;
mod commands;
mod fanout;
mod liveness;
mod messages;
mod presence;
mod random;
mod recovery;
mod script;
mod slow_consumer;
