//! The end of a run: whether all has settled, and what the log holds compared with what was promised.
//!
//! The world reads the log for itself, with a disk that answers at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_hub::epoch::ChannelEpoch;
use steadfast_hub::log::io::{
    self as log_io, Answer, Page, Read, ReadFrom, Record, Request, Ticket,
};
use steadfast_machine::Machine;
use steadfast_protocol::message::{ChannelName, Position};

use crate::client::{Client, key_of};
use crate::driver::Driver;
use crate::gateway::WORLD_CORE;
use crate::mutation::Mutation;
use crate::reference::Promise;
use crate::world::{Event, World};

/// So long after the last fault everything has settled, even for an application that reads slowly: twice of what the
/// slowest of 6,000 runs took.
const SETTLE_MAX: Duration = Duration::from_secs(36);

/// What the world read of a channel.
#[derive(Debug)]
struct ReadOutcome {
    epoch: ChannelEpoch,
    top: u64,
    records: Vec<Record>,
    is_whole: bool,
}

impl World {
    pub(crate) fn check_settled(&mut self) {
        self.clock
            .plan(Duration::from_millis(100), Event::CheckSettled);
        if self.is_over() {
            let tops = self.tops();
            let simple = self.clients.iter().all(|client| client.is_settled(&tops));
            let sessions = self
                .drivers
                .iter()
                .all(|driver| driver.is_idle() && driver.application.is_settled(&tops));
            self.is_settled = simple && sessions;
        }
        self.judge_sessions();
        let quiet = self.clock.now().saturating_since(self.trouble_at);
        if !self.is_settled && quiet > SETTLE_MAX {
            self.tell_unsettled();
        }
    }

    /// Whether every fault has happened and has ended, and everybody has published.
    fn is_over(&self) -> bool {
        let now = self.clock.now();
        self.crashes_armed == 0
            && self.totals.link_losses() >= self.settings.link_losses
            && self.link_faults_left == 0
            && self.links.values().all(|link| link.is_healthy(now))
            && self
                .clients
                .iter()
                .map(Client::published)
                .chain(self.drivers.iter().map(|it| it.application.published()))
                .all(|published| published >= self.settings.publishes)
            && self
                .gateway
                .as_ref()
                .is_some_and(|gateway| gateway.is_open && gateway.is_quiet())
    }

    fn tops(&mut self) -> BTreeMap<String, Position> {
        let mut tops = BTreeMap::new();
        for channel in self.settings.channels.clone() {
            if let Some(read) = self.read_now(&channel, ReadFrom::Start, 0) {
                let position = Position {
                    epoch: read.epoch.to_string(),
                    offset: read.top,
                };
                tops.insert(channel, position);
            }
        }
        tops
    }

    /// Compares what was promised with what is there.
    pub(crate) fn judge(&mut self) {
        if !self.reference.violations().is_empty() {
            return;
        }
        if !self.is_settled {
            self.tell_unsettled();
            return;
        }
        let is_whole = self.settings.is_whole();
        let (mut published, mut kept) = (0, 0);
        for channel in self.settings.channels.clone() {
            let (top, keys) = self.read_all(&channel);
            self.reference.settle(&channel, &top, &keys, is_whole);
            for (session, draw) in self.settings.sessions.iter().enumerate() {
                // What a full disk refuses is sent again behind what was under way with it, unless nothing was.
                if self.settings.full_disks == 0 || draw.sends_one_at_a_time() {
                    let name = format!("s{session}");
                    self.reference.settle_order(&channel, &keys, &name);
                }
            }
            let visible = u64::try_from(keys.len()).unwrap_or(u64::MAX);
            if let Some(max) = self.settings.visible_max() {
                let due = top.offset.min(max);
                self.judge_retention(&channel, due..=due, visible);
            }
            published += top.offset;
            kept += visible;
        }
        if self.settings.visible_max().is_none() {
            let least = published.min(self.settings.kept_min());
            self.judge_retention("all channels", least..=published, kept);
        }
    }

    /// Somebody still waits for something.
    fn tell_unsettled(&mut self) {
        let simple = self.clients.iter().map(Client::describe);
        let sessions = self.drivers.iter().map(Driver::describe);
        let open: Vec<String> = simple.chain(sessions).collect();
        self.reference
            .break_promise(Promise::EverythingSettles, open.join("; "));
    }

    fn judge_retention(&mut self, whose: &str, due: RangeInclusive<u64>, visible: u64) {
        if !due.contains(&visible) {
            let seen = format!("{whose}: {visible} publications are visible, {due:?} had to be");
            self.reference
                .break_promise(Promise::RetentionKeepsWhatItSays, seen);
        }
    }

    /// Everything that the log holds of a channel, page by page.
    fn read_all(&mut self, channel: &str) -> (Position, Vec<(u64, String)>) {
        let mut keys: Vec<(u64, String)> = Vec::new();
        let mut from = ReadFrom::Start;
        while let Some(read) = self.read_now(channel, from, 100) {
            let position = Position {
                epoch: read.epoch.to_string(),
                offset: read.top,
            };
            let first = read.records.first().map_or(0, |record| record.offset);
            let last = match keys.last() {
                Some((offset, _)) => *offset,
                None if self.settings.visible_max() == Some(u64::MAX) => 0,
                None => first.saturating_sub(1),
            };
            for (expected, record) in (last + 1..).zip(&read.records) {
                if record.offset != expected {
                    let seen = format!(
                        "{channel}: the log holds {} where {expected} belongs",
                        record.offset
                    );
                    self.reference.break_promise(Promise::OrderIsKept, seen);
                }
                keys.push((record.offset, key_of(&record.data).to_owned()));
            }
            if read.is_whole || read.records.is_empty() {
                return (position, keys);
            }
            let offset = keys.last().map_or(0, |(offset, _)| *offset);
            from = ReadFrom::After {
                epoch: read.epoch,
                offset,
            };
        }
        (Position::default(), keys)
    }

    /// Asks the log about each channel for the world itself; the answers come with the following events.
    pub(crate) fn learn_tops(&mut self) {
        if self.mutation != Some(Mutation::NoPositionCheck) {
            return;
        }
        for channel in self.settings.channels.clone() {
            if let Some(ReadOutcome { epoch, top, .. }) =
                self.read_now(&channel, ReadFrom::Start, 0)
                && let Some(gateway) = &mut self.gateway
            {
                gateway
                    .tops
                    .insert(ChannelName::from(channel.as_str()), (epoch, top));
            }
        }
    }

    /// Reads a channel as the world, with a disk that answers at once. Only for a log without other work.
    fn read_now(&mut self, channel: &str, from: ReadFrom, limit: usize) -> Option<ReadOutcome> {
        let (now, at) = (self.clock.now(), self.wall());
        let gateway = self.gateway.as_mut()?;
        let ticket = Ticket {
            core: WORLD_CORE,
            number: 0,
        };
        let read = Read {
            ticket,
            channel: ChannelName::from(channel),
            from,
            limit,
            bytes_max: 1 << 20,
        };
        gateway.told.clear();
        gateway.log.handle(
            now,
            log_io::Input::Requested {
                batch: vec![Request::Read(read)],
                at,
            },
        );
        while let Some(output) = gateway.log.poll_output() {
            match output {
                log_io::Output::Read {
                    read,
                    segment,
                    at,
                    len,
                } => {
                    let bytes = self.disk.read(segment, at, len);
                    gateway
                        .log
                        .handle(now, log_io::Input::ReadDone { read, bytes });
                }
                log_io::Output::Answer {
                    ticket,
                    answer: Answer::Read(answer),
                } if ticket.core == WORLD_CORE => {
                    let (records, is_whole) = match answer.page {
                        Page::Records { records, more } => (records, !more),
                        Page::Unrecoverable => (Vec::new(), false),
                    };
                    return Some(ReadOutcome {
                        epoch: answer.epoch,
                        top: answer.top,
                        records,
                        is_whole,
                    });
                }
                other @ (log_io::Output::Reserve { .. }
                | log_io::Output::Write { .. }
                | log_io::Output::Sync { .. }
                | log_io::Output::Remove { .. }
                | log_io::Output::Opened(_)
                | log_io::Output::Damaged(_)
                | log_io::Output::Commit(_)
                | log_io::Output::Answer { .. }
                | log_io::Output::Notify(_)
                | log_io::Output::Closed) => unreachable!("a quiet log ordered {other:?}"),
            }
        }
        None
    }
}
