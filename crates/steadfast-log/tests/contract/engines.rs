//! One interface to all engines under test, and settings that mean the same to each of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::io as engine_io;
use steadfast_engine::memory::{MemoryEngine, MemoryPolicy, MemorySettings, Offsets};
use steadfast_engine::{Engine as _, Health};
use steadfast_log::Log;
use steadfast_log::clock::Clocks;
use steadfast_log::identity::{DirectoryId, SegmentSecret, StartValues};
use steadfast_log::io as log_io;
use steadfast_log::policy::{LogPolicy, LogSettings};
use steadfast_machine::{ByteSize, Generator, Instant, Machine, Seed, Timestamp};

use crate::harness::Delivery;

pub(crate) use steadfast_engine::io::Input;

/// The payload bytes of a publication that is too large for every engine, and of one that is not.
pub(crate) const TOO_LARGE: usize = 4_200;
pub(crate) const LARGE: usize = 3_500;

/// What every engine bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) history_size: usize,
    pub(crate) history_ttl: Duration,
    pub(crate) channel_ttl: Duration,
    pub(crate) channels_max: usize,
    pub(crate) dedup_window: Duration,
    pub(crate) idempotency_keys_max: usize,
    /// The size of the history, about 200 KiB at least.
    pub(crate) history_bytes: ByteSize,
    pub(crate) channel_bytes_max: ByteSize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            history_size: 1_000,
            history_ttl: Duration::from_hours(24),
            channel_ttl: Duration::from_hours(30 * 24),
            channels_max: 100,
            dedup_window: Duration::from_mins(2),
            idempotency_keys_max: 1_000,
            history_bytes: ByteSize::from_mib(64),
            channel_bytes_max: ByteSize::from_mib(64),
        }
    }
}

/// An engine whose operations complete at once, unless it says otherwise.
pub(crate) trait Engine {
    /// Starts an engine that accepts requests.
    fn start(settings: Settings, now: Instant, wall: Timestamp) -> Self;

    /// Feeds an input and returns what the engine delivers to the shards.
    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery>;

    /// Completes everything that is in flight.
    fn settle(&mut self, _now: Instant) -> Vec<Delivery> {
        Vec::new()
    }

    fn next_deadline(&self) -> Option<Instant>;

    fn health(&self) -> Health;
}

/// The memory engine with dense offsets.
pub(crate) struct DenseMemory(MemoryEngine);

/// The memory engine with one sequence for all channels, which advances by 3.
pub(crate) struct IncreasingMemory(MemoryEngine);

/// The log with all recent batches in its cache.
pub(crate) struct CachedLog(LogWithStorage);

/// The log that reads every publication from its storage.
pub(crate) struct StoredLog(LogWithStorage);

/// The log on a disk that completes operations late and in any order.
pub(crate) struct LateLog {
    log: LogWithStorage,
    in_flight: Vec<log_io::Output>,
    random: Generator,
}

impl LateLog {
    /// Feeds inputs; completes operations in random order until as many are in flight as given.
    fn run(&mut self, now: Instant, input: Option<log_io::Input>, left: usize) -> Vec<Delivery> {
        let mut delivered = Vec::new();
        let mut next = input;
        loop {
            if let Some(input) = next.take() {
                self.log.log.handle(now, input);
            }
            while let Some(output) = self.log.log.poll_output() {
                let is_operation = matches!(
                    output,
                    log_io::Output::Reserve { .. }
                        | log_io::Output::Write { .. }
                        | log_io::Output::Sync { .. }
                        | log_io::Output::Read { .. }
                );
                if is_operation {
                    self.in_flight.push(output);
                } else {
                    let completion = self.log.execute(output, &mut delivered);
                    assert!(completion.is_none(), "not an operation");
                }
            }
            if self.in_flight.len() <= left {
                return delivered;
            }
            let index = self.random.below_len(self.in_flight.len());
            let operation = self.in_flight.swap_remove(index);
            next = self.log.execute(operation, &mut delivered);
        }
    }
}

impl Engine for LateLog {
    fn start(settings: Settings, now: Instant, wall: Timestamp) -> Self {
        Self {
            // Half of what the tests publish is read from the storage.
            log: LogWithStorage::start(settings, ByteSize::from_kib(4), now, wall),
            in_flight: Vec::new(),
            random: Seed::new(7).generator(),
        }
    }

    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery> {
        let input = match input {
            Input::Requested { requests, at } => log_io::Input::Requested { requests, at },
            Input::CloseRequested => log_io::Input::CloseRequested,
            Input::Tick { at } => log_io::Input::Tick { at },
        };
        let left = self.random.below_len(4);
        self.run(now, Some(input), left)
    }

    fn settle(&mut self, now: Instant) -> Vec<Delivery> {
        self.run(now, None, 0)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.log.log.poll_timeout()
    }

    fn health(&self) -> Health {
        self.log.log.health()
    }
}

impl Engine for DenseMemory {
    fn start(settings: Settings, now: Instant, _wall: Timestamp) -> Self {
        Self(memory(settings, Offsets::Dense, now))
    }

    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery> {
        run_memory(&mut self.0, now, input)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn health(&self) -> Health {
        self.0.health()
    }
}

impl Engine for IncreasingMemory {
    fn start(settings: Settings, now: Instant, _wall: Timestamp) -> Self {
        Self(memory(settings, Offsets::Increasing { step: 3 }, now))
    }

    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery> {
        run_memory(&mut self.0, now, input)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn health(&self) -> Health {
        self.0.health()
    }
}

impl Engine for CachedLog {
    fn start(settings: Settings, now: Instant, wall: Timestamp) -> Self {
        let cache = ByteSize::from_mib(64);
        Self(LogWithStorage::start(settings, cache, now, wall))
    }

    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery> {
        self.0.handle(now, input)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.log.poll_timeout()
    }

    fn health(&self) -> Health {
        self.0.log.health()
    }
}

impl Engine for StoredLog {
    fn start(settings: Settings, now: Instant, wall: Timestamp) -> Self {
        let cache = ByteSize::from_bytes(0);
        Self(LogWithStorage::start(settings, cache, now, wall))
    }

    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery> {
        self.0.handle(now, input)
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.0.log.poll_timeout()
    }

    fn health(&self) -> Health {
        self.0.log.health()
    }
}

fn memory(settings: Settings, offsets: Offsets, now: Instant) -> MemoryEngine {
    let settings = MemorySettings {
        offsets,
        history_bytes: settings.history_bytes,
        channel_bytes_max: settings.channel_bytes_max,
        publication_bytes_max: ByteSize::from_kib(4),
        history_size: settings.history_size,
        history_ttl: settings.history_ttl,
        channel_ttl: settings.channel_ttl,
        channels_max: settings.channels_max,
        dedup_window: settings.dedup_window,
        idempotency_keys_max: settings.idempotency_keys_max,
    };
    MemoryEngine::new(MemoryPolicy::new(settings).unwrap(), 0x9f, now)
}

fn run_memory(engine: &mut MemoryEngine, now: Instant, input: Input) -> Vec<Delivery> {
    engine.handle(now, input);
    let outputs = std::iter::from_fn(|| engine.poll_output());
    let delivery = |output| match output {
        engine_io::Output::Commit(committed) => Some(Delivery::Committed(committed)),
        engine_io::Output::Respond {
            request_id,
            response,
        } => Some(Delivery::Response(request_id, response)),
        engine_io::Output::Notify(_) | engine_io::Output::Closed => None,
    };
    outputs.filter_map(delivery).collect()
}

/// The secret of every segment: no publisher here tries to imitate a record.
const SECRET: SegmentSecret = SegmentSecret::new([7; SegmentSecret::BYTES]);

/// The log over segments in memory.
struct LogWithStorage {
    log: Log,
    segments: BTreeMap<log_io::SegmentNumber, Vec<u8>>,
}

impl LogWithStorage {
    fn start(settings: Settings, cache: ByteSize, now: Instant, wall: Timestamp) -> Self {
        let settings = LogSettings {
            // A quarter of a segment is the maximum size of a publication.
            segment_bytes: ByteSize::from_kib(16),
            log_bytes: settings.history_bytes,
            channel_bytes_max: settings.channel_bytes_max,
            history_size: settings.history_size,
            history_ttl: settings.history_ttl,
            channel_ttl: settings.channel_ttl,
            channels_max: settings.channels_max,
            dedup_window: settings.dedup_window,
            idempotency_keys_max: settings.idempotency_keys_max,
            cache_bytes: cache,
            ..LogSettings::for_tests()
        };
        let mut started = Self {
            log: Log::new(LogPolicy::new(settings).unwrap(), now),
            segments: BTreeMap::new(),
        };
        let delivered = started.run(
            now,
            log_io::Input::Found {
                segments: Vec::new(),
                place: log_io::Place::New,
                values: StartValues {
                    incarnation: 0x9f,
                    directory: DirectoryId([1; DirectoryId::BYTES]),
                    secret: SECRET,
                },
                clocks: Clocks { wall, boot: None },
            },
        );
        assert_eq!(delivered, []);
        started
    }

    fn handle(&mut self, now: Instant, input: Input) -> Vec<Delivery> {
        let input = match input {
            Input::Requested { requests, at } => log_io::Input::Requested { requests, at },
            Input::CloseRequested => log_io::Input::CloseRequested,
            Input::Tick { at } => log_io::Input::Tick { at },
        };
        self.run(now, input)
    }

    /// Feeds an input, completes every operation, and returns what was delivered.
    fn run(&mut self, now: Instant, input: log_io::Input) -> Vec<Delivery> {
        let mut inputs = VecDeque::from([input]);
        let mut delivered = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.log.handle(now, input);
            while let Some(output) = self.log.poll_output() {
                inputs.extend(self.execute(output, &mut delivered));
            }
        }
        delivered
    }

    /// Executes an output, and returns the result of an operation of the storage.
    fn execute(
        &mut self,
        output: log_io::Output,
        delivered: &mut Vec<Delivery>,
    ) -> Option<log_io::Input> {
        let index = |at: u64| usize::try_from(at).unwrap();
        match output {
            log_io::Output::Reserve {
                segment,
                bytes,
                first,
                last,
            } => {
                let zeros = vec![0; index(bytes) - first.len() - last.len()];
                let content = [&first[..], &zeros, &last].concat();
                self.segments.insert(segment, content);
                let input = log_io::Input::Reserved {
                    segment,
                    next_secret: SECRET,
                };
                return Some(input);
            }
            log_io::Output::Write {
                segment,
                at,
                bytes,
                sync,
            } => {
                let written = self.segments.entry(segment).or_default();
                written[index(at)..][..bytes.len()].copy_from_slice(&bytes);
                return Some(if sync {
                    log_io::Input::Synced
                } else {
                    log_io::Input::Written
                });
            }
            log_io::Output::Sync { .. } => return Some(log_io::Input::Synced),
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                // The segment may have been removed while the read was in flight.
                let Some(content) = self.segments.get(&segment) else {
                    return Some(log_io::Input::Failed {
                        operation: log_io::FailedOperation::Read(read),
                        error: log_io::StorageError::Io,
                    });
                };
                let bytes = &content[index(at)..];
                let bytes = Bytes::copy_from_slice(&bytes[..len.min(bytes.len())]);
                return Some(log_io::Input::ReadDone { read, bytes });
            }
            log_io::Output::Remove { segment } => {
                self.segments.remove(&segment);
            }
            log_io::Output::Commit(committed) => delivered.push(Delivery::Committed(committed)),
            log_io::Output::Respond {
                request_id,
                response,
            } => delivered.push(Delivery::Response(request_id, response)),
            log_io::Output::Corrupt(corruption) => panic!("{corruption:?}"),
            log_io::Output::Claim
            | log_io::Output::Opened(_)
            | log_io::Output::Notify(_)
            | log_io::Output::Closed => {}
        }
        None
    }
}
