//! Toxics: faults of a proxied connection, as pure machines.
//!
//! A [`Toxic`] says what happens to which direction of which connections. Each connection draws once whether a toxic
//! affects it ([`Identity::draw`]), and runs one machine per toxic that does. The machines of a direction form a [`Pipeline`]:
//! chunks with their times enter it, and what to write, when, and how to end the connection comes out. A proxy drives
//! pipelines with sockets, and the simulation drives the same pipelines in virtual time.

mod attributes;
mod build;
mod kind;
mod machines;
mod path;
mod pipeline;
mod select;
mod validation;
mod victim;

use std::time::Duration;

pub use attributes::{Attribute, AttributeError, AttributeValue, KIND_NAMES};
pub use build::default_name;
pub use kind::{BlackHoleMode, CloseMode, ToxicKind};
pub use machines::Ending;
pub use path::{ActiveToxic, Path, ToxicChange, dial_delay};
pub use pipeline::{Pipeline, Step};
pub use select::{CONNECTIONS_MAX, Network, NetworkError, Select};

pub use validation::NAME_BYTES_MAX;
pub use victim::{Draw, Identity};

use crate::link::Direction;

/// The directions of a connection that a toxic affects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Directions {
    /// From the client to the server; `upstream` for Toxiproxy.
    ToServer,
    /// From the server to the client; `downstream` for Toxiproxy, and its default.
    #[default]
    ToClient,
    /// Both, with one draw for both.
    Both,
}

impl Directions {
    /// Whether it includes this direction.
    pub const fn includes(self, direction: Direction) -> bool {
        match self {
            Self::Both => true,
            Self::ToServer => matches!(direction, Direction::ToServer),
            Self::ToClient => matches!(direction, Direction::ToClient),
        }
    }

    /// Its name in configurations: `upstream`, `downstream` or `both`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToServer => "upstream",
            Self::ToClient => "downstream",
            Self::Both => "both",
        }
    }
}

/// A fault of a proxy: what happens to which direction of which connections, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Toxic {
    /// Unique in its proxy; by default the name of the kind, `_`, and the name of the directions. 1 to [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// The affected directions.
    pub directions: Directions,
    /// The share of connections that are affected, from 0.0 to 1.0; 1.0 by default.
    pub toxicity: f64,
    /// What happens to the bytes, with its attributes.
    pub kind: ToxicKind,
    /// The toxic removes itself after this time; `None` keeps it.
    pub duration: Option<Duration>,
    /// Which connections may be affected.
    pub select: Select,
}
