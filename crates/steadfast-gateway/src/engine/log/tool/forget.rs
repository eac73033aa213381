//! Removes channels from the log of a stopped gateway, through the log itself: it is opened, writes the records of the
//! removal, and is closed cleanly.

use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_log::Log;
use steadfast_log::io::Input;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_machine::Machine;
use steadfast_protocol::message::ChannelName;

use super::{Progress, check_repairable, read_all};
use crate::engine::log::files::directory::{Directory, marker};
use crate::engine::log::{LogError, start};
use crate::engine::{EngineSetup, RING_LIMITS};

/// How long the log may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_mins(10);

/// The largest settings: a checkpoint that this start writes must not hide or remove what the gateway would keep.
const YEARS: Duration = Duration::from_hours(10 * 365 * 24);

/// Removes channels with their publications and idempotency keys. The next publication to such a channel begins a new
/// history, with another epoch.
///
/// # Errors
///
/// When there is no log or it is corrupt, when a gateway uses the directory, when a channel does not exist, and when the
/// removal cannot be written. Nothing is changed if a channel does not exist.
pub fn forget(
    path: &Path,
    channels: &[ChannelName],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), LogError> {
    let policy = check(path, channels, progress)?;
    let clock = Clock::start();
    let setup = EngineSetup {
        shards: NonZeroU16::MIN,
        ring: RING_LIMITS,
        clock,
    };
    let mut log = Log::new(policy, clock.now());
    let channels = channels.to_vec();
    log.handle(clock.now(), Input::ForgetRequested { channels });
    let (service, _shards, _) = start(&setup, path, log)?;
    service
        .close(CLOSE_TIMEOUT)
        .map_err(|error| LogError::NotForgotten {
            directory: path.to_path_buf(),
            reason: error.to_string(),
        })
}

/// Checks that the log is intact and has the channels; returns settings with which it keeps everything else.
fn check(
    path: &Path,
    channels: &[ChannelName],
    progress: &mut dyn FnMut(Progress),
) -> Result<LogPolicy, LogError> {
    let to_error = |error| LogError::from_io(path, error);
    if !path.try_exists().map_err(to_error)? {
        let directory = path.to_path_buf();
        return Err(LogError::NotFound { directory });
    }
    let names = super::Names::open(path).map_err(to_error)?;
    if names.segments().map_err(to_error)?.is_empty() {
        return Err(super::no_log(path));
    }
    let directory = Directory::open(path)?;
    marker::check_usable(path, directory.names())?;
    let verifier = read_all(path, directory.names(), progress)?;
    let unknown = verifier.unknown_channels(channels);
    let found = verifier.finish();
    check_repairable(path, &found)?;
    if let Some(corruption) = found.corruptions.first() {
        return Err(LogError::from_corruption(path, *corruption));
    }
    if let Some(channel) = unknown.first() {
        return Err(LogError::UnknownChannel {
            directory: path.to_path_buf(),
            channel: channel.as_str().to_owned(),
        });
    }
    let segments = directory.segments().map_err(to_error)?;
    LogPolicy::new(LogSettings {
        history_size: 10_000_000,
        history_ttl: YEARS,
        channel_ttl: YEARS,
        channels_max: 1 << 20,
        dedup_window: Duration::from_hours(1),
        idempotency_keys_max: 16_000_000,
        ..super::settings(&segments)
    })
    .map_err(|error| to_error(std::io::Error::other(error)))
}
