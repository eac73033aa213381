//! Builds the state of the log from its records, one by one, as they stand in the segments.
//!
//! A checkpoint is applied only when it is complete, so a segment whose beginning is torn changes nothing. Records
//! that contradict what is known are reported to the caller, who decides what that means.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_machine::{Instant, Timestamp};
use steadfast_protocol::message::ChannelName;

use crate::epoch::ChannelEpoch;
use crate::log::channels::{Channel, Channels, Entry};
use crate::log::dedupe::Window;
use crate::log::io::SegmentNumber;
use crate::log::open::DamageKind;
use crate::log::record::{self, Durability, FORMAT_VERSION, Header, Stored};
use crate::log::scan::Found;
use crate::log::segment::{Segment, Segments};
use crate::policy::log::LogPolicy;

/// What the log knows.
#[derive(Debug)]
pub(crate) struct State {
    /// The channels.
    pub(crate) channels: Channels,
    /// The keys of the window.
    pub(crate) window: Window,
    /// The segments.
    pub(crate) segments: Segments,
    /// The epoch of channels that do not exist yet.
    pub(crate) generation: ChannelEpoch,
}

impl State {
    /// Knows nothing.
    pub(crate) fn empty(window: Duration) -> Self {
        Self {
            channels: Channels::default(),
            window: Window::new(window),
            segments: Segments::default(),
            generation: ChannelEpoch {
                incarnation: 0,
                counter: 0,
            },
        }
    }
}

/// Builds a [`State`].
#[derive(Debug)]
pub(crate) struct Replay {
    /// What is known so far.
    pub(crate) state: State,
    /// The policy under which the log was last run.
    pub(crate) durability: Durability,
    /// The oldest segment that belongs to the log.
    pub(crate) oldest: SegmentNumber,
    /// True when the last record is a clean end.
    pub(crate) clean: bool,
    policy: LogPolicy,
    now: Instant,
    wall: Timestamp,
    segment: Segment,
    progress: Progress,
    trusted: bool,
}

/// How far the current segment is.
#[derive(Debug)]
enum Progress {
    Begun,
    Gathering(Box<Checkpoint>),
    Running { ordinal: u32 },
}

#[derive(Debug)]
struct Checkpoint {
    header: Header,
    channels: Vec<(u32, Channel, u64)>,
    keys: Vec<CarriedKey>,
}

/// A key of a checkpoint that is not complete yet.
#[derive(Debug)]
struct CarriedKey {
    channel: u32,
    offset: u64,
    at: Timestamp,
    user: Vec<u8>,
    text: Vec<u8>,
}

impl CarriedKey {
    fn of(key: &record::Key<'_>) -> Self {
        let &record::Key {
            channel,
            offset,
            at,
            user,
            text,
        } = key;
        Self {
            channel,
            offset,
            at,
            user: user.to_vec(),
            text: text.to_vec(),
        }
    }

    fn borrowed(&self) -> record::Key<'_> {
        let Self {
            channel,
            offset,
            at,
            ref user,
            ref text,
        } = *self;
        record::Key {
            channel,
            offset,
            at,
            user,
            text,
        }
    }
}

impl Replay {
    /// A replay of nothing yet; ages count back from `wall`.
    pub(crate) fn new(
        policy: LogPolicy,
        now: Instant,
        wall: Timestamp,
        generation: ChannelEpoch,
    ) -> Self {
        let state = State {
            generation,
            ..State::empty(policy.window())
        };
        Self {
            state,
            durability: Durability::Synced,
            oldest: SegmentNumber(0),
            clean: false,
            policy,
            now,
            wall,
            segment: Segment {
                number: SegmentNumber(0),
                size: 0,
            },
            progress: Progress::Begun,
            trusted: true,
        }
    }

    /// The records that follow stand in this segment.
    pub(crate) fn begin_segment(&mut self, segment: Segment) {
        self.segment = segment;
        self.progress = Progress::Begun;
        self.clean = false;
    }

    /// Records before this point are missing: the next checkpoint is believed without comparing.
    pub(crate) const fn distrust(&mut self) {
        self.trusted = false;
    }

    /// True once the checkpoint of the current segment is applied.
    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.progress, Progress::Running { .. })
    }

    /// Takes the next record.
    ///
    /// # Errors
    ///
    /// The record contradicts what is known, or has another version.
    pub(crate) fn apply(&mut self, found: &Found<'_>) -> Result<(), DamageKind> {
        self.clean = matches!(found.stored, Stored::Clean { .. });
        match &mut self.progress {
            Progress::Begun => self.begin_checkpoint(found),
            Progress::Gathering(checkpoint) => {
                gather(checkpoint, found.stored)?;
                self.end_checkpoint()
            }
            Progress::Running { ordinal } => {
                let ordinal = *ordinal;
                self.apply_running(ordinal, found)
            }
        }
    }

    fn begin_checkpoint(&mut self, found: &Found<'_>) -> Result<(), DamageKind> {
        let Stored::Header(header) = *found.stored else {
            return Err(DamageKind::Contradiction);
        };
        if header.version != FORMAT_VERSION {
            return Err(DamageKind::ForeignVersion {
                version: header.version,
            });
        }
        let checkpoint = Checkpoint {
            header,
            channels: Vec::new(),
            keys: Vec::new(),
        };
        self.progress = Progress::Gathering(Box::new(checkpoint));
        self.end_checkpoint()
    }

    /// Applies the checkpoint if all of it is there.
    fn end_checkpoint(&mut self) -> Result<(), DamageKind> {
        let Progress::Gathering(checkpoint) = &self.progress else {
            return Ok(());
        };
        let (channels, keys) = (checkpoint.channels.len(), checkpoint.keys.len());
        let header = checkpoint.header;
        if u32::try_from(channels) != Ok(header.channels) || u32::try_from(keys) != Ok(header.keys)
        {
            return Ok(());
        }
        self.drop_segments_below(header.oldest);
        let ordinal = self.state.segments.push(self.segment);
        let gathered = std::mem::replace(&mut self.progress, Progress::Running { ordinal });
        let Progress::Gathering(checkpoint) = gathered else {
            return Ok(());
        };
        self.oldest = header.oldest;
        self.state.generation = header.generation;
        self.durability = header.durability;
        self.take_channels(checkpoint.channels)?;
        for key in &checkpoint.keys {
            self.state
                .window
                .restore(self.now, self.wall, &key.borrowed(), ordinal);
        }
        self.trusted = true;
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

    fn take_channels(&mut self, gathered: Vec<(u32, Channel, u64)>) -> Result<(), DamageKind> {
        // The first segment that is here has nothing before it to agree with.
        let compare = self.trusted && self.state.segments.len() > 1;
        let mut before = std::mem::take(&mut self.state.channels);
        for (id, mut channel, start) in gathered {
            // The epoch may differ: a start that changes the epochs at the beginning of a segment writes them here.
            let same = before
                .by_id(id)
                .is_some_and(|known| known.name == channel.name && known.top == channel.top);
            if same && let Some(known) = before.remove(id) {
                channel.entries = known.entries;
            } else if compare {
                return Err(DamageKind::Contradiction);
            }
            channel.hide_below(start);
            if !self.state.channels.insert(id, channel) {
                return Err(DamageKind::Contradiction);
            }
        }
        Ok(())
    }

    fn apply_running(&mut self, ordinal: u32, found: &Found<'_>) -> Result<(), DamageKind> {
        match found.stored {
            Stored::Header(_) => return Err(DamageKind::Contradiction),
            Stored::Channel(stored) => {
                if !self.state.channels.insert(stored.id, channel(stored)?) {
                    return Err(DamageKind::Contradiction);
                }
            }
            Stored::Key(_) => return Err(DamageKind::Contradiction),
            Stored::Publication(publication) => return self.publish(ordinal, found, publication),
            Stored::Opened(opened) => {
                self.state.generation = opened.generation;
                self.durability = opened.durability;
                if opened.moved {
                    self.move_channels(opened.generation);
                }
            }
            Stored::Forgotten {
                channel,
                generation,
            } => {
                self.state
                    .channels
                    .remove(*channel)
                    .ok_or(DamageKind::Contradiction)?;
                self.state.generation = *generation;
                self.state.window.forget(&BTreeSet::from([*channel]));
            }
            Stored::Void => {}
            Stored::Clean { .. } => {}
            Stored::End { .. } => {}
        }
        Ok(())
    }

    /// Moves every channel to a generation: what was acknowledged in their epochs so far may be gone.
    pub(crate) fn move_channels(&mut self, generation: ChannelEpoch) {
        self.state.generation = generation;
        for channel in self.state.channels.iter_mut() {
            channel.epoch = generation;
        }
    }

    fn publish(
        &mut self,
        segment: u32,
        found: &Found<'_>,
        publication: &record::Publication<'_>,
    ) -> Result<(), DamageKind> {
        let channel = self
            .state
            .channels
            .by_id_mut(publication.channel)
            .ok_or(DamageKind::Contradiction)?;
        if channel.top.checked_add(1) != Some(publication.offset) {
            return Err(DamageKind::Contradiction);
        }
        let place = (u32::try_from(found.at), u32::try_from(found.len));
        let (Ok(position), Ok(len)) = place else {
            return Err(DamageKind::Contradiction);
        };
        let entry = Entry {
            segment,
            position,
            len,
            at: publication.at,
        };
        channel.restore(entry, &self.policy, self.wall);
        if let Some(text) = publication.key {
            let &record::Publication {
                channel,
                offset,
                at,
                user,
                ..
            } = publication;
            let key = record::Key {
                channel,
                offset,
                at,
                user,
                text,
            };
            self.state
                .window
                .restore(self.now, self.wall, &key, segment);
        }
        Ok(())
    }
}

/// Offsets stay far below the end of their range; a record that says otherwise is none of ours.
const TOP_MAX: u64 = u64::MAX / 2;

fn gather(checkpoint: &mut Checkpoint, stored: &Stored<'_>) -> Result<(), DamageKind> {
    match stored {
        Stored::Channel(stored) => {
            let channel = channel(stored)?;
            checkpoint.channels.push((stored.id, channel, stored.start));
        }
        Stored::Key(key) => checkpoint.keys.push(CarriedKey::of(key)),
        Stored::Header(_) => return Err(DamageKind::Contradiction),
        Stored::Publication(_) => return Err(DamageKind::Contradiction),
        Stored::Opened(_) => return Err(DamageKind::Contradiction),
        Stored::Forgotten { .. } => return Err(DamageKind::Contradiction),
        Stored::Void => return Err(DamageKind::Contradiction),
        Stored::Clean { .. } => return Err(DamageKind::Contradiction),
        Stored::End { .. } => return Err(DamageKind::Contradiction),
    }
    Ok(())
}

fn channel(stored: &record::Channel<'_>) -> Result<Channel, DamageKind> {
    if stored.top > TOP_MAX {
        return Err(DamageKind::Contradiction);
    }
    let name = ChannelName::from(stored.name);
    Ok(Channel::new(name, stored.epoch, stored.top, stored.last_at))
}
