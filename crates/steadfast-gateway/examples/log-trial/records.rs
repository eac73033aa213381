//! What writer, reader and trial share: the records, their names, and the lines that they print.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use steadfast_clock::Clock;
use steadfast_gateway::engine::{EngineService, EngineSetup, RING_LIMITS, ShardEngine, log};
use steadfast_log::Log;
use steadfast_log::open::OpenReport;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Generator, Seed};

/// Any failure, as a text.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The number of channels over which the records are distributed.
pub(crate) const CHANNELS: u64 = 5;

/// The unique name of a record: cycle, thread, and number within the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) cycle: u64,
    pub(crate) thread: u64,
    pub(crate) number: u64,
}

impl Name {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(str::parse);
        let name = Self {
            cycle: parts.next()?.ok()?,
            thread: parts.next()?.ok()?,
            number: parts.next()?.ok()?,
        };
        parts.next().is_none().then_some(name)
    }

    pub(crate) fn text(self) -> String {
        format!("{}-{}-{}", self.cycle, self.thread, self.number)
    }

    /// Everything about a record is derived from its name.
    fn generator(self) -> Generator {
        Seed::new((self.cycle << 40) | (self.thread << 32) | self.number).generator()
    }

    pub(crate) fn channel(self) -> String {
        format!("channel-{}", self.generator().below(CHANNELS))
    }

    /// One record in eight has an idempotency key, so that the keys of the deduplication window fit into the checkpoint
    /// of a small segment.
    pub(crate) fn has_idempotency_key(self) -> bool {
        self.number.is_multiple_of(8)
    }

    /// The name in quotes and up to 2 KiB of digits that are derived from it.
    pub(crate) fn payload(self) -> Bytes {
        let mut generator = self.generator();
        let len = generator.below(2048);
        let digit = |_| char::from_digit(u32::try_from(generator.below(16)).ok()?, 16);
        let fill: String = (0..len).filter_map(digit).collect();
        let text = format!("{{\"name\":\"{}\",\"fill\":\"{fill}\"}}", self.text());
        Bytes::from(text)
    }

    /// Parses the name in a payload.
    pub(crate) fn of_payload(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let rest = text.strip_prefix("{\"name\":\"")?;
        Self::parse(rest.split('"').next()?)
    }
}

/// Returns a hash of a payload (FNV-1a, 64 bits).
pub(crate) fn hash(payload: &[u8]) -> u64 {
    payload.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Opens the log with small segments and without retention limits.
///
/// The deduplication window is longer than the pause between a kill and the repeats, and its keys fit into half a
/// segment.
pub(crate) fn open(
    directory: &str,
    shards: u16,
) -> Result<(EngineService, Vec<ShardEngine>, OpenReport), Failure> {
    let settings = LogSettings {
        segment_bytes: ByteSize::from_mib(1),
        log_bytes: ByteSize::from_mib(64 << 10),
        history_size: 10_000_000,
        retry_delay: Duration::from_millis(20),
        dedup_window: Duration::from_mins(1),
        ..LogSettings::for_tests()
    };
    let clock = Clock::start();
    let setup = EngineSetup {
        shards: NonZeroU16::new(shards).ok_or("at least one shard")?,
        ring: RING_LIMITS,
        clock,
    };
    let machine = Log::new(LogPolicy::new(settings)?, clock.now());
    log::start(&setup, Path::new(directory), machine)
        .map_err(|error| format!("{error}: {}", error.help()).into())
}

/// Prints complete lines at once. A closed pipe means that the trial has exited, so this process exits as well.
pub(crate) fn print(lines: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(lines.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::abort();
    }
}

/// Parses the fields `name=value` of a line.
pub(crate) fn fields(line: &str) -> BTreeMap<&str, &str> {
    line.split(' ')
        .filter_map(|field| field.split_once('='))
        .collect()
}
