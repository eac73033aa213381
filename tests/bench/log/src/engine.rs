//! The storage engines: each makes batches of records durable and reports the writers of the durable records.

mod committer;
mod steadfast;

use std::path::Path;

use anyhow::Result;
use bytes::Bytes;

pub(crate) use self::steadfast::{Steadfast, policy};

/// A record to make durable. Each writer has a separate channel or key prefix.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) writer: u16,
    pub(crate) payload: Bytes,
}

/// A storage engine that makes records durable in batches.
pub(crate) trait Engine {
    /// Submits the records of one loop iteration.
    fn submit(&mut self, batch: Vec<Record>) -> Result<()>;

    /// Waits until records are durable and appends the writer of each durable record.
    fn acknowledged(&mut self, writers: &mut Vec<u16>) -> Result<()>;
}

/// The kinds of storage engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// The gateway's log with its ring buffer, which also delivers every record to the shard.
    Steadfast,
    /// A preallocated file: one write and one sync per batch, no index, no format. A baseline, not a product.
    Floor,
    Fjall,
    Redb,
}

impl EngineKind {
    pub(crate) const ALL: [Self; 4] = [Self::Steadfast, Self::Floor, Self::Fjall, Self::Redb];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steadfast => "steadfast",
            Self::Floor => "floor",
            Self::Fjall => "fjall",
            Self::Redb => "redb",
        }
    }

    /// Creates an engine in an empty directory.
    pub(crate) fn open(self, directory: &Path) -> Result<Box<dyn Engine>> {
        Ok(match self {
            Self::Steadfast => Box::new(Steadfast::open(directory)?),
            Self::Floor => Box::new(committer::floor(directory)?),
            Self::Fjall => Box::new(committer::fjall(directory)?),
            Self::Redb => Box::new(committer::redb(directory)?),
        })
    }
}
