//! The engines: each makes batches of records durable, and says whose were.

mod committer;
mod steadfast;

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;

pub(crate) use self::steadfast::{Steadfast, policy};

/// One record to make durable. Each writer has a channel (or key prefix) of its own.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) writer: u16,
    pub(crate) payload: Bytes,
}

/// Something that makes records durable in groups.
pub(crate) trait Engine {
    /// Hands over what the writers ask in one turn.
    fn submit(&mut self, batch: Vec<Item>) -> Result<()>;

    /// Waits until something is durable, and appends whose it was.
    fn acknowledged(&mut self, writers: &mut Vec<u16>) -> Result<()>;
}

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The log of the gateway, with its ring: it also shows every record to the core.
    Steadfast,
    /// A bare preallocated file: one write and one sync a group, no index, no format. The limit, not a product.
    Floor,
    Fjall,
    Redb,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Steadfast, Self::Floor, Self::Fjall, Self::Redb];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steadfast => "steadfast",
            Self::Floor => "floor",
            Self::Fjall => "fjall",
            Self::Redb => "redb",
        }
    }

    /// A new engine in an empty directory.
    pub(crate) fn open(self, directory: &Path) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Steadfast => Box::new(Steadfast::open(directory)?),
            Self::Floor => Box::new(committer::floor(directory)?),
            Self::Fjall => Box::new(committer::fjall(directory)?),
            Self::Redb => Box::new(committer::redb(directory)?),
        })
    }
}
