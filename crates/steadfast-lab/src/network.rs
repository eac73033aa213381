//! Network namespaces of a run: one for each instance whose links can be broken, and a router between them and the clients.
//!
//! A link is a pair of addresses of its own, one at the clients and one at the instance, with a device for each direction
//! in the router. So a rule, a queue or a device of one link concerns no other. The namespaces have no names: processes
//! hold them, and when these end the kernel removes the namespaces with all devices, rules and queues.

pub(crate) mod command;
mod holder;
mod layout;
mod namespaces;
pub(crate) mod rules;

pub(crate) use layout::{Layout, LinkPlace};
pub(crate) use namespaces::Namespaces;
