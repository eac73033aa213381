//! Starts the log: opens its files, and waits until its thread has opened the log.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use steadfast_engine::Engine;
use steadfast_log::io::{Input, Output};
use steadfast_log::open::OpenReport;

use super::disk::{Disk, SystemDisk};
use super::error::LogError;
use super::files::{Files, WakeFn};
use super::writer::Writer;
use crate::engine::service::{self, EngineService, EngineSetup};
use crate::engine::shard_engine::ShardEngine;

/// Opens the log in this directory, which is created if it does not exist, and starts its thread; blocks until the log is
/// open, at most a few seconds per GiB.
///
/// `machine` is a `steadfast_log::Log` created with `setup.clock`, or a wrapper around it. The shards' ends are in order
/// of shards. The report says what was found when the log was opened.
///
/// # Errors
///
/// When the directory cannot be used or the log is corrupt; [`LogError::help`] returns what to do.
pub fn start<M>(
    setup: &EngineSetup,
    directory: &Path,
    machine: M,
) -> Result<(EngineService, Vec<ShardEngine>, OpenReport), LogError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    start_on(setup, directory, machine, &disk)
}

/// The same as [`start()`], on another disk.
///
/// # Errors
///
/// The same errors as [`start()`].
pub fn start_on<M>(
    setup: &EngineSetup,
    directory: &Path,
    machine: M,
    disk: &Arc<dyn Disk>,
) -> Result<(EngineService, Vec<ShardEngine>, OpenReport), LogError>
where
    M: Engine<Input = Input, Output = Output> + Send + 'static,
{
    let (service, shards, exchange) = service::connect(setup);
    let wake: WakeFn = Arc::new(service.waker());
    let files = Files::open(directory, disk, &wake)?;
    let writer = Writer::new(machine, files, exchange, setup.clock);
    let directory = directory.to_path_buf();
    let (opened_sender, opened) = sync_channel(1);
    std::thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || writer.run(&directory, &opened_sender))
        .map_err(|source| LogError::ThreadNotStarted { source })?;
    let report = opened.recv().unwrap_or(Err(LogError::WriterExited))?;
    if report.is_copy {
        tracing::warn!(
            "the data directory was copied or restored, or was not used by this version before: all channel epochs are \
             new, so that clients that know the original reload"
        );
    }
    Ok((service, shards, report))
}
