//! The proxy between plain sockets: what each toxic does is measured on both sides.

mod calls;
mod endings;
mod lifecycle;
mod setup;
mod shaping;
mod upstreams;
mod victims;
