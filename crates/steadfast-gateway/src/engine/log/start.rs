//! Starts the log: opens its storage, and waits until its thread has opened the log.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;

use steadfast_engine::Engine;
use steadfast_log::io::{Input, Output};
use steadfast_log::open::OpenReport;

use super::error::LogError;
use super::files::Files;
use super::memory::Memory;
use super::storage::Storage;
use super::writer::Writer;
use crate::engine::exchange::Exchange;
use crate::engine::service::{self, EngineService, EngineSetup};
use crate::engine::shard_engine::ShardEngine;

/// Where a log stores its segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In memory: nothing survives the process.
    Memory,
    /// In files of this directory, which is created if it does not exist.
    Directory(PathBuf),
}

/// Opens the log and starts its thread; blocks until the log is open, at most a few seconds per GiB.
///
/// `machine` is a `steadfast_log::Log` created with `setup.clock`, or a wrapper around it. The shards' ends are in order
/// of shards. The report says what was found when the log was opened.
///
/// # Errors
///
/// When the directory cannot be used or the log is corrupt; [`LogError::help`] returns what to do.
pub fn start<M>(
    setup: &EngineSetup,
    store: &Store,
    machine: M,
) -> Result<(EngineService, Vec<ShardEngine>, OpenReport), LogError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let (service, shards, exchange) = service::connect(setup);
    let report = match store {
        Store::Memory => open(setup, store, machine, Memory::default(), exchange)?,
        Store::Directory(path) => {
            let files = Files::open(path, Box::new(service.waker()))?;
            open(setup, store, machine, files, exchange)?
        }
    };
    Ok((service, shards, report))
}

fn open<M, S>(
    setup: &EngineSetup,
    store: &Store,
    machine: M,
    storage: S,
    exchange: Exchange,
) -> Result<OpenReport, LogError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
    S: Storage + Send + 'static,
{
    let directory = match store {
        Store::Memory => None,
        Store::Directory(path) => Some(path.clone()),
    };
    let writer = Writer::new(machine, storage, exchange, setup.clock);
    let (opened_sender, opened) = sync_channel(1);
    std::thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || writer.run(directory.as_deref(), &opened_sender))
        .map_err(|source| LogError::ThreadNotStarted { source })?;
    opened.recv().unwrap_or(Err(LogError::WriterExited))
}
