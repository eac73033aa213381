//! Builds the state of the log from its records, in the order of the segments.
//!
//! A checkpoint is applied only when it is complete, so a segment with a torn beginning changes nothing. Records that
//! contradict the state are reported to the caller, which decides what the contradiction means.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_engine::ChannelEpoch;
use steadfast_machine::Timestamp;
use steadfast_protocol::message::ChannelName;

use crate::channels::{Channel, Channels, IndexEntry};
use crate::clock::RecordedTime;
use crate::dedup::DedupWindow;
use crate::io::SegmentNumber;
use crate::open::CorruptionKind;
use crate::policy::LogPolicy;
use crate::record::{self, CheckpointStart, Durability, Stored};
use crate::scan::FoundRecord;
use crate::segment::{Segment, Segments};

/// The state of the log.
#[derive(Debug)]
pub(crate) struct LogState {
    pub(crate) channels: Channels,
    pub(crate) dedup_window: DedupWindow,
    pub(crate) segments: Segments,
    /// The epoch of channels that do not exist yet.
    pub(crate) new_channel_epoch: ChannelEpoch,
}

impl LogState {
    pub(crate) fn empty(dedup_window: Duration) -> Self {
        Self {
            channels: Channels::default(),
            dedup_window: DedupWindow::new(dedup_window),
            segments: Segments::default(),
            new_channel_epoch: ChannelEpoch::new(0, 0),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) state: LogState,
    /// The policy under which the log was last run.
    pub(crate) durability: Durability,
    /// The oldest segment that belongs to the log.
    pub(crate) oldest: SegmentNumber,
    /// True when the last record is a clean shutdown.
    pub(crate) is_clean: bool,
    /// What the records say about time.
    pub(crate) time: RecordedTime,
    policy: LogPolicy,
    /// The segment of the records that are applied.
    segment: Option<Segment>,
    progress: Progress,
    is_comparable: bool,
}

/// The progress in the current segment.
#[derive(Debug)]
enum Progress {
    Started,
    ReadingCheckpoint(Box<Checkpoint>),
    Running { ordinal: u32 },
}

#[derive(Debug)]
struct Checkpoint {
    start: CheckpointStart,
    channels: Vec<(u32, Channel, u64)>,
    keys: Vec<CheckpointKey>,
}

/// A key of a checkpoint that is not complete yet.
#[derive(Debug)]
struct CheckpointKey {
    channel: u32,
    offset: u64,
    at: Timestamp,
    data_hash: u64,
    user: Vec<u8>,
    text: Vec<u8>,
}

impl CheckpointKey {
    fn of(key: &record::Key<'_>) -> Self {
        let &record::Key {
            channel,
            offset,
            at,
            data_hash,
            user,
            text,
        } = key;
        Self {
            channel,
            offset,
            at,
            data_hash,
            user: user.to_vec(),
            text: text.to_vec(),
        }
    }

    fn borrowed(&self) -> record::Key<'_> {
        let Self {
            channel,
            offset,
            at,
            data_hash,
            ref user,
            ref text,
        } = *self;
        record::Key {
            channel,
            offset,
            at,
            data_hash,
            user,
            text,
        }
    }
}

impl Replay {
    /// An empty replay.
    pub(crate) fn new(policy: LogPolicy, new_channel_epoch: ChannelEpoch) -> Self {
        let state = LogState {
            new_channel_epoch,
            ..LogState::empty(policy.dedup_window())
        };
        Self {
            state,
            durability: Durability::Synced,
            oldest: SegmentNumber(0),
            is_clean: false,
            time: RecordedTime::default(),
            policy,
            segment: None,
            progress: Progress::Started,
            is_comparable: true,
        }
    }

    /// The records that follow are in this segment.
    pub(crate) fn begin_segment(&mut self, segment: Segment) {
        self.segment = Some(segment);
        self.progress = Progress::Started;
        self.is_clean = false;
    }

    /// Records before this point are missing: the next checkpoint is applied without comparing it to the state.
    pub(crate) const fn skip_check(&mut self) {
        self.is_comparable = false;
    }

    /// True once the checkpoint of the current segment is applied.
    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Running { .. })
    }

    /// Applies the next record.
    ///
    /// # Errors
    ///
    /// The record contradicts the state.
    pub(crate) fn apply(&mut self, found: &FoundRecord<'_>) -> Result<(), CorruptionKind> {
        self.is_clean = matches!(found.stored, Stored::CleanShutdown { .. });
        match &mut self.progress {
            Progress::Started => self.begin_checkpoint(found),
            Progress::ReadingCheckpoint(checkpoint) => {
                add_to_checkpoint(checkpoint, found.stored)?;
                self.end_checkpoint()
            }
            Progress::Running { ordinal } => {
                let ordinal = *ordinal;
                self.apply_running(ordinal, found)
            }
        }
    }

    fn begin_checkpoint(&mut self, found: &FoundRecord<'_>) -> Result<(), CorruptionKind> {
        let Stored::Checkpoint(start) = *found.stored else {
            return Err(CorruptionKind::Inconsistent);
        };
        let checkpoint = Checkpoint {
            start,
            channels: Vec::new(),
            keys: Vec::new(),
        };
        self.progress = Progress::ReadingCheckpoint(Box::new(checkpoint));
        self.end_checkpoint()
    }

    /// Applies the checkpoint if it is complete.
    fn end_checkpoint(&mut self) -> Result<(), CorruptionKind> {
        let Progress::ReadingCheckpoint(checkpoint) = &self.progress else {
            return Ok(());
        };
        let (channels, keys) = (checkpoint.channels.len(), checkpoint.keys.len());
        let start = checkpoint.start;
        if u32::try_from(channels) != Ok(start.channels) || u32::try_from(keys) != Ok(start.keys) {
            return Ok(());
        }
        let Some(segment) = self.segment else {
            return Ok(());
        };
        self.drop_segments_below(start.oldest);
        let ordinal = self.state.segments.push(segment);
        let stored_channels = std::mem::replace(&mut self.progress, Progress::Running { ordinal });
        let Progress::ReadingCheckpoint(checkpoint) = stored_channels else {
            return Ok(());
        };
        self.oldest = start.oldest;
        self.state.new_channel_epoch = start.new_channel_epoch;
        self.durability = start.durability;
        self.replace_channels(checkpoint.channels)?;
        for key in &checkpoint.keys {
            self.time.pass(key.at);
            self.state.dedup_window.restore(&key.borrowed(), ordinal);
        }
        if !checkpoint.keys.is_empty() {
            self.state.dedup_window.sort();
        }
        self.is_comparable = true;
        Ok(())
    }

    fn drop_segments_below(&mut self, oldest: SegmentNumber) {
        while self
            .state
            .segments
            .oldest()
            .is_some_and(|segment| segment.number < oldest)
        {
            self.state.segments.pop_oldest();
        }
        let first = self.state.segments.first();
        for channel in self.state.channels.iter_mut() {
            channel.hide_segments_before(first);
        }
    }

    fn replace_channels(
        &mut self,
        stored_channels: Vec<(u32, Channel, u64)>,
    ) -> Result<(), CorruptionKind> {
        // Before the first existing segment there is no state to compare with.
        let compare = self.is_comparable && self.state.segments.len() > 1;
        let mut before = std::mem::take(&mut self.state.channels);
        for (id, mut channel, start) in stored_channels {
            self.time.pass(channel.last_at);
            // The epoch may differ: a start that changes the epochs at the beginning of a segment writes the new epochs
            // here.
            let same = before.by_id(id).is_some_and(|known| {
                known.name == channel.name && known.high_watermark == channel.high_watermark
            });
            if same && let Some(known) = before.remove(id) {
                channel.entries = known.entries;
                channel.stored = known.stored;
            } else if compare {
                return Err(CorruptionKind::Inconsistent);
            }
            channel.hide_below(start);
            if !self.state.channels.insert(id, channel) {
                return Err(CorruptionKind::Inconsistent);
            }
        }
        Ok(())
    }

    fn apply_running(
        &mut self,
        ordinal: u32,
        found: &FoundRecord<'_>,
    ) -> Result<(), CorruptionKind> {
        match found.stored {
            Stored::Checkpoint(_) => return Err(CorruptionKind::Inconsistent),
            Stored::Channel(stored) => {
                self.time.pass(stored.last_at);
                if !self.state.channels.insert(stored.id, channel(stored)?) {
                    return Err(CorruptionKind::Inconsistent);
                }
            }
            Stored::Key(_) => return Err(CorruptionKind::Inconsistent),
            Stored::Publication(publication) => {
                return self.apply_publication(ordinal, found, publication);
            }
            Stored::Opened(opened) => {
                self.time.pass(opened.at);
                self.state.new_channel_epoch = opened.new_channel_epoch;
                self.durability = opened.durability;
                if opened.has_new_epochs {
                    self.change_epochs(opened.new_channel_epoch);
                }
            }
            Stored::ChannelExpired {
                channel,
                new_channel_epoch,
            } => {
                self.state
                    .channels
                    .remove(*channel)
                    .ok_or(CorruptionKind::Inconsistent)?;
                self.state.new_channel_epoch = *new_channel_epoch;
                self.state
                    .dedup_window
                    .remove_channels(&BTreeSet::from([*channel]));
            }
            Stored::Clock(state) => {
                self.time.pass(state.at);
                self.time.state = Some(*state);
            }
            Stored::NoOp => {}
            Stored::CleanShutdown { at } => self.time.pass(*at),
            Stored::SegmentEnd { .. } => {}
        }
        Ok(())
    }

    /// Changes the epoch of every channel: acknowledged publications may be lost.
    pub(crate) fn change_epochs(&mut self, new_channel_epoch: ChannelEpoch) {
        self.state.new_channel_epoch = new_channel_epoch;
        for channel in self.state.channels.iter_mut() {
            channel.epoch = new_channel_epoch;
        }
    }

    fn apply_publication(
        &mut self,
        segment: u32,
        found: &FoundRecord<'_>,
        publication: &record::Publication<'_>,
    ) -> Result<(), CorruptionKind> {
        let channel = self
            .state
            .channels
            .by_id_mut(publication.channel)
            .ok_or(CorruptionKind::Inconsistent)?;
        if channel.high_watermark.checked_add(1) != Some(publication.offset) {
            return Err(CorruptionKind::Inconsistent);
        }
        let location = (u32::try_from(found.at), u32::try_from(found.len));
        let (Ok(byte_position), Ok(len)) = location else {
            return Err(CorruptionKind::Inconsistent);
        };
        let entry = IndexEntry {
            segment,
            byte_position,
            len,
            at: publication.at,
        };
        channel.restore(entry, &self.policy);
        self.time.pass(publication.at);
        if let Some(text) = publication.key {
            let &record::Publication {
                channel,
                offset,
                at,
                user,
                kind,
                data,
                ..
            } = publication;
            let key = record::Key {
                channel,
                offset,
                at,
                data_hash: record::data_hash(kind, data),
                user,
                text,
            };
            self.state.dedup_window.restore(&key, segment);
        }
        self.state.dedup_window.expire(publication.at);
        Ok(())
    }
}

/// Offsets stay far below the end of their range; a record with a larger offset is invalid.
const OFFSET_MAX: u64 = u64::MAX / 2;

fn add_to_checkpoint(
    checkpoint: &mut Checkpoint,
    stored: &Stored<'_>,
) -> Result<(), CorruptionKind> {
    match stored {
        Stored::Channel(stored) => {
            let channel = channel(stored)?;
            checkpoint.channels.push((stored.id, channel, stored.start));
        }
        Stored::Key(key) => checkpoint.keys.push(CheckpointKey::of(key)),
        Stored::Checkpoint(_) => return Err(CorruptionKind::Inconsistent),
        Stored::Publication(_) => return Err(CorruptionKind::Inconsistent),
        Stored::Opened(_) => return Err(CorruptionKind::Inconsistent),
        Stored::ChannelExpired { .. } => return Err(CorruptionKind::Inconsistent),
        Stored::Clock(_) => return Err(CorruptionKind::Inconsistent),
        Stored::NoOp => return Err(CorruptionKind::Inconsistent),
        Stored::CleanShutdown { .. } => return Err(CorruptionKind::Inconsistent),
        Stored::SegmentEnd { .. } => return Err(CorruptionKind::Inconsistent),
    }
    Ok(())
}

fn channel(stored: &record::Channel<'_>) -> Result<Channel, CorruptionKind> {
    if stored.high_watermark > OFFSET_MAX {
        return Err(CorruptionKind::Inconsistent);
    }
    let name = ChannelName::from(stored.name);
    Ok(Channel::new(
        name,
        stored.epoch,
        stored.high_watermark,
        stored.last_at,
    ))
}
