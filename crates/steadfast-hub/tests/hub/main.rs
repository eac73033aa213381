//! The hub, behaviour by behaviour, through its inputs and outputs. The script plays the part of the log.

mod bounds;
mod commands;
mod fanout;
mod liveness;
mod presence;
mod random;
mod recovery;
mod script;
mod slow_consumer;
