//! The hub, behaviour by behaviour, through its inputs and outputs. The log's side is played by the script.

mod bounds;
mod chance;
mod commands;
mod fanout;
mod liveness;
mod presence;
mod recovery;
mod script;
mod slow;
