//! What writer, reader and trial have in common: the records, their names, and the lines they print.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use steadfast_gateway::clock::Clock;
use steadfast_gateway::log::{CoreLog, LogService, LogSetup, RingLimits, Store};
use steadfast_hub::log::Log;
use steadfast_hub::policy::log::{LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Generator, Seed};

/// Any failure, in words.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// Channels that the records are spread over.
pub(crate) const CHANNELS: u64 = 5;

/// Names one record for ever: cycle, thread, number in the thread.
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

    /// Everything about a record follows from its name.
    fn generator(self) -> Generator {
        Seed::new((self.cycle << 40) | (self.thread << 32) | self.number).generator()
    }

    pub(crate) fn channel(self) -> String {
        format!("channel-{}", self.generator().below(CHANNELS))
    }

    /// One in eight has a key, so that the keys of the window fit into the checkpoint of a small segment.
    pub(crate) fn is_keyed(self) -> bool {
        self.number.is_multiple_of(8)
    }

    /// The name in quotes and up to 2 KiB of digits that follow from it.
    pub(crate) fn payload(self) -> Bytes {
        let mut generator = self.generator();
        let len = generator.below(2048);
        let digit = |_| char::from_digit(u32::try_from(generator.below(16)).ok()?, 16);
        let fill: String = (0..len).filter_map(digit).collect();
        let text = format!("{{\"name\":\"{}\",\"fill\":\"{fill}\"}}", self.text());
        Bytes::from(text)
    }

    /// The name inside a payload.
    pub(crate) fn of_payload(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let rest = text.strip_prefix("{\"name\":\"")?;
        Self::parse(rest.split('"').next()?)
    }
}

/// A number that differs for different payloads (FNV-1a, 64 bits).
pub(crate) fn hash(payload: &[u8]) -> u64 {
    payload.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Opens the log with small segments, which keep everything.
///
/// The window outlasts the pause between a kill and the repeats, and its keys fit into half a segment.
pub(crate) fn open(directory: &str, cores: u16) -> Result<(LogService, Vec<CoreLog>), Failure> {
    let settings = LogSettings {
        segment_bytes: ByteSize::from_mib(1),
        log_bytes: ByteSize::from_mib(64 << 10),
        history_size: 10_000_000,
        retry_delay: Duration::from_millis(20),
        dedup_window: Duration::from_mins(1),
        ..LogSettings::for_tests()
    };
    let clock = Clock::start();
    let setup = LogSetup {
        store: Store::Directory(PathBuf::from(directory)),
        cores: NonZeroU16::new(cores).ok_or("at least one core")?,
        ring: RingLimits::DEFAULT,
        clock,
    };
    let log = Log::new(LogPolicy::new(settings)?, clock.now());
    LogService::start(&setup, log).map_err(|error| format!("{error}: {}", error.advice()).into())
}

/// Prints whole lines at once. A closed pipe means that the trial is gone, and so shall this process be.
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

/// The fields `name=value` of a line.
pub(crate) fn fields(line: &str) -> BTreeMap<&str, &str> {
    line.split(' ')
        .filter_map(|field| field.split_once('='))
        .collect()
}
