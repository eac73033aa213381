//! The time of the log, and the ages of its records: nothing irreversible follows from the wall clock.
//!
//! Log time counts only time that has certainly passed. While the process lives, and over a restart of the process
//! within one boot of the machine, the boot clock measures it. How long a machine was down is only an estimate: the
//! shortest that the wall clock suggests. The estimate hides publications at once, which is reversible; it counts for what
//! is irreversible only after the wall clock has not jumped for a while. Every uncertainty makes records younger, never
//! older.
//!
//! Pure: the driver reads the clocks. `record` stores the state, `log` feeds the wall clock.

use std::time::Duration;

use steadfast_engine::time::{SteadyClock, WallJump};
use steadfast_machine::{Instant, Timestamp, convert};

/// How long the wall clock must not jump before a downtime that it suggests counts: 1 h.
///
/// A machine without a battery for its clock has the right time once a time service has set it, usually within a
/// minute of its start, and within an hour even if its network is late.
pub const SETTLED_AFTER: Duration = Duration::from_hours(1);

/// No right wall clock is before 2023: the date is that of a machine which has lost it.
const PLAUSIBLE_FROM: Timestamp = Timestamp::from_millis(1_672_531_200_000);

/// The downtimes that are distinguished; the oldest are merged. More than one within [`SETTLED_AFTER`] counts as one, so
/// these are the downtimes of several hours at least.
pub(crate) const DOWNTIMES_MAX: usize = 8;

/// The identity of one boot of a machine: random, different after each start of any machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub [u8; Self::BYTES]);

impl BootId {
    /// The length of an identity.
    pub const BYTES: usize = 16;
}

/// A reading of the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootTime {
    /// The boot in which it was read.
    pub id: BootId,
    /// Milliseconds since this boot, with those for which the machine was suspended.
    pub millis: u64,
}

/// The clocks of a machine, read at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock, which may be wrong.
    pub wall: Timestamp,
    /// The boot clock; `None` if the operating system does not identify its boots, so that each start counts as one after
    /// a downtime.
    pub boot: Option<BootTime>,
}

/// A time for which the machine was down, and which log time therefore does not contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Downtime {
    /// Records with an earlier log time are older by the downtime.
    pub(crate) until: Timestamp,
    /// Its length in milliseconds.
    pub(crate) millis: u64,
}

/// Downtimes, oldest first; those of length 0 are unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Downtimes(pub(crate) [Downtime; DOWNTIMES_MAX]);

impl Downtimes {
    /// Adds the latest downtime. If there are too many, the two oldest become one at the time of the first: records
    /// between them become younger.
    fn push(&mut self, downtime: Downtime) {
        if downtime.millis == 0 {
            return;
        }
        let is_full = self.0.iter().all(|it| it.millis > 0);
        let [first, second, ..] = &mut self.0;
        if is_full {
            first.millis = first.millis.saturating_add(second.millis);
            *second = Downtime::default();
        }
        let mut used = self
            .0
            .into_iter()
            .filter(|it| it.millis > 0)
            .chain([downtime]);
        self.0 = std::array::from_fn(|_| used.next().unwrap_or_default());
    }

    /// The sum of the downtimes after this log time.
    fn after(&self, at: Timestamp) -> Duration {
        let later = self.0.iter().filter(|it| it.until > at);
        let millis = later.fold(0_u64, |sum, it| sum.saturating_add(it.millis));
        Duration::from_millis(millis)
    }
}

/// A downtime whose length is not known for certain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Records with an earlier log time are older by the downtime.
    pub(crate) until: Timestamp,
    /// The offset of the wall clock before the downtime, in milliseconds. Whatever the wall clock is ahead of it now may be
    /// downtime.
    pub(crate) reference: i64,
    /// The shortest length that the wall clock has suggested since then, in milliseconds. A wall clock that is set forward
    /// after a start was probably just as wrong before the downtime.
    pub(crate) millis: u64,
}

impl Pending {
    /// The length that a wall clock with this offset suggests.
    fn suggested(reference: i64, offset: i64) -> u64 {
        offset.saturating_sub(reference).max(0).unsigned_abs()
    }
}

/// What a log stores about its clock. Offsets are the milliseconds by which the wall clock is ahead of log time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockState {
    /// The log time at the start of the process.
    pub(crate) at: Timestamp,
    /// The boot clock at the same moment.
    pub(crate) boot: Option<BootTime>,
    /// The offset now.
    pub(crate) offset: i64,
    /// The greatest offset that lasted for [`SETTLED_AFTER`]. It never decreases: a machine without a battery for its
    /// clock may run for days at a wrong date, and the step to the right one is not a downtime.
    pub(crate) trusted: i64,
    /// The greatest offset since an offset last lasted so long: the reference of a downtime that begins now. Either of
    /// the offsets before and after a jump may be the wrong one, and the greater one makes the downtime shorter.
    pub(crate) highest: i64,
    /// The downtime that does not count yet.
    pub(crate) pending: Option<Pending>,
    /// The downtimes that count.
    pub(crate) counted: Downtimes,
}

impl ClockState {
    /// The pending downtime.
    pub(crate) fn estimate(&self) -> Option<Downtime> {
        let Pending { until, millis, .. } = self.pending?;
        Some(Downtime { until, millis })
    }

    /// The clock of a log without records: log time begins with the wall clock.
    const fn of_new_log(clocks: Clocks) -> Self {
        Self {
            at: clocks.wall,
            boot: clocks.boot,
            offset: 0,
            trusted: 0,
            highest: 0,
            pending: None,
            counted: Downtimes(
                [Downtime {
                    until: Timestamp::from_millis(0),
                    millis: 0,
                }; DOWNTIMES_MAX],
            ),
        }
    }

    /// Continues after an earlier process of the same boot: the time since then is known.
    fn continued(self, last: Timestamp, clocks: Clocks) -> Option<Self> {
        let (before, boot) = (self.boot?, clocks.boot?);
        let passed = boot.millis.checked_sub(before.millis)?;
        let at = self.at + Duration::from_millis(passed);
        // A boot clock that is earlier than the records is that of a copy of the machine, or of another time namespace.
        let is_same = before.id == boot.id && at >= last;
        is_same.then_some(Self {
            at,
            boot: clocks.boot,
            ..self
        })
    }

    /// Continues after a downtime. If an earlier downtime does not count yet, both are one.
    fn after_downtime(self, last: Timestamp, clocks: Clocks) -> Self {
        let at = last.shifted(1);
        let offset = clocks.wall.millis_since(at);
        // Before this date the wall clock was certainly wrong, so that no length follows from it.
        let is_plausible = last.shifted(self.highest) >= PLAUSIBLE_FROM;
        let new = Pending {
            until: at,
            reference: self.highest,
            millis: if is_plausible { u64::MAX } else { 0 },
        };
        let continued = Self {
            at,
            boot: clocks.boot,
            pending: Some(self.pending.unwrap_or(new)),
            ..self
        };
        continued.with_offset(offset)
    }

    /// The wall clock has another offset.
    fn with_offset(self, offset: i64) -> Self {
        let pending = self.pending.map(|it| Pending {
            millis: it.millis.min(Pending::suggested(it.reference, offset)),
            ..it
        });
        let highest = match pending {
            Some(_) => self.highest,
            None => self.highest.max(offset),
        };
        Self {
            offset,
            highest,
            pending,
            ..self
        }
    }
}

/// What the records of a log say about time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RecordedTime {
    /// The latest log time of any record.
    pub(crate) last: Option<Timestamp>,
    /// The last state of the clock.
    pub(crate) state: Option<ClockState>,
}

impl RecordedTime {
    /// Takes the log time of a record into account.
    pub(crate) fn pass(&mut self, at: Timestamp) {
        self.last = self.last.max(Some(at));
    }
}

/// The clock of a running log.
#[derive(Debug)]
pub(crate) struct LogClock {
    steady: SteadyClock,
    state: ClockState,
    /// Since when the wall clock has not jumped.
    quiet_since: Instant,
    /// False when the state has changed since it was last written.
    pub(crate) is_recorded: bool,
}

impl LogClock {
    /// The clock of a log without records.
    pub(crate) const fn new(now: Instant, clocks: Clocks) -> Self {
        Self::start(now, ClockState::of_new_log(clocks))
    }

    const fn start(now: Instant, state: ClockState) -> Self {
        Self {
            steady: SteadyClock::with_offset(now, state.at, state.offset),
            state,
            quiet_since: now,
            is_recorded: false,
        }
    }

    /// Continues the clock of the records. The clocks were read at `now`. Returns the jump of the wall clock since the
    /// last process, if it is known that there was one.
    pub(crate) fn open(
        now: Instant,
        clocks: Clocks,
        recorded: RecordedTime,
    ) -> (Self, Option<WallJump>) {
        let Some(last) = recorded.last else {
            return (Self::new(now, clocks), None);
        };
        let Some(before) = recorded.state else {
            return (Self::without_state(now, last, clocks), None);
        };
        let Some(continued) = before.continued(last, clocks) else {
            return (Self::start(now, before.after_downtime(last, clocks)), None);
        };
        let mut clock = Self::start(now, continued);
        let jump = clock.observe(now, clocks.wall);
        (clock, jump)
    }

    /// Continues records without a state of the clock: no downtime can be estimated.
    fn without_state(now: Instant, last: Timestamp, clocks: Clocks) -> Self {
        let offset = clocks.wall.millis_since(last);
        let before = ClockState {
            trusted: offset,
            highest: offset,
            ..ClockState::of_new_log(clocks)
        };
        Self::start(now, before.after_downtime(last, clocks))
    }

    /// The log time.
    pub(crate) fn at(&self, now: Instant) -> Timestamp {
        self.steady.at(now)
    }

    pub(crate) const fn state(&self) -> &ClockState {
        &self.state
    }

    /// Compares the wall clock with log time, both read at the same moment. Returns the jump, if there was one.
    pub(crate) fn observe(&mut self, now: Instant, wall: Timestamp) -> Option<WallJump> {
        let jump = self.steady.observe(now, wall);
        if jump.is_some() {
            self.quiet_since = now;
            self.state = self.state.with_offset(self.steady.offset());
            self.is_recorded = false;
        } else if now.saturating_since(self.quiet_since) >= SETTLED_AFTER {
            self.settle();
        }
        jump
    }

    /// The wall clock has not jumped for so long that it counts as right.
    fn settle(&mut self) {
        let before = self.state;
        if let Some(downtime) = self.state.estimate() {
            self.state.counted.push(downtime);
        }
        self.state.pending = None;
        self.state.trusted = before.trusted.max(before.offset);
        self.state.highest = self.state.trusted;
        if self.state != before {
            self.is_recorded = false;
        }
    }

    /// The ages of records now.
    pub(crate) fn ages(&self, now: Instant) -> Ages {
        Ages {
            now: self.at(now),
            counted: self.state.counted,
            estimate: self.state.estimate(),
        }
    }

    /// The wall-clock time of a log time, as far as the wall clock is right now.
    pub(crate) fn display(&self, at: Timestamp) -> Timestamp {
        let downtimes = self.state.counted.after(at) + estimate_after(self.state.estimate(), at);
        let millis: i64 = convert::saturating(downtimes.as_millis());
        self.steady.display(at).shifted(-millis)
    }
}

/// The ages of records at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ages {
    now: Timestamp,
    counted: Downtimes,
    estimate: Option<Downtime>,
}

impl Ages {
    /// The ages of which a record proves that they have passed at this log time.
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            now,
            ..Self::default()
        }
    }

    /// Ages with a downtime that is only an estimate.
    #[cfg(test)]
    pub(crate) fn estimating(now: Timestamp, until: Timestamp, millis: u64) -> Self {
        Self {
            estimate: Some(Downtime { until, millis }),
            ..Self::at(now)
        }
    }

    /// The age that a record of this log time has at least: what is irreversible follows from it.
    pub(crate) fn proven(&self, at: Timestamp) -> Duration {
        self.now.saturating_since(at) + self.counted.after(at)
    }

    /// The age that a record of this log time probably has.
    pub(crate) fn estimated(&self, at: Timestamp) -> Duration {
        self.proven(at) + estimate_after(self.estimate, at)
    }

    /// Whether the estimated ages differ from the proven ones.
    pub(crate) const fn has_estimate(&self) -> bool {
        self.estimate.is_some()
    }
}

fn estimate_after(estimate: Option<Downtime>, at: Timestamp) -> Duration {
    let later = estimate.filter(|it| it.until > at);
    Duration::from_millis(later.map_or(0, |it| it.millis))
}

#[cfg(test)]
mod tests;
