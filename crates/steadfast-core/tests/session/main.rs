//! The session in virtual time against a scripted server: what it promises when connections end, and what it never does.

mod endings;
mod liveness;
mod publications;
mod reconnects;
mod script;
mod subscriptions;
