//! Checks at the end of a run: whether everything has settled, and whether the log holds what the reference model
//! expects.
//!
//! The world reads the log directly, with a disk that completes each operation at once.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use steadfast_engine::io as engine_io;
use steadfast_engine::{ChannelEpoch, Page, Read, ReadFrom, Record, Request, RequestId, Response};
use steadfast_log::Log;
use steadfast_log::io as log_io;
use steadfast_machine::{Instant, Machine, convert};
use steadfast_protocol::message::{ChannelName, Position};

use crate::client::{Client, key_in_payload};
use crate::disk::Disk;
use crate::driver::Driver;
use crate::engine::GatewayEngine;
use crate::gateway::WORLD_SHARD;
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::world::{World, WorldEvent};

/// The longest time from the last fault until everything has settled, even for an application that reads slowly: twice
/// the time of the slowest of 6,000 runs.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(36);

/// The result of one read of a channel.
#[derive(Debug)]
struct ReadOutcome {
    epoch: ChannelEpoch,
    high_watermark: u64,
    records: Vec<Record>,
    is_complete: bool,
}

impl World {
    pub(crate) fn check_settled(&mut self) {
        self.clock
            .schedule(Duration::from_millis(100), WorldEvent::CheckSettled);
        if self.has_no_faults_left() {
            let high_watermarks = self.high_watermarks();
            let simple = self
                .clients
                .iter()
                .all(|client| client.is_settled(&high_watermarks));
            let sessions = self
                .drivers
                .iter()
                .all(|driver| driver.is_idle() && driver.application.is_settled(&high_watermarks));
            self.is_settled = simple && sessions;
        }
        self.check_sessions();
        let time_since_fault = self.clock.now().saturating_since(self.last_fault_change_at);
        if !self.is_settled && time_since_fault > SETTLE_TIME_MAX {
            self.report_unsettled();
        }
    }

    /// Whether every fault has been injected and has ended, and every client has made its publications.
    fn has_no_faults_left(&self) -> bool {
        let now = self.clock.now();
        self.crashes_armed == 0
            && self.totals.connection_losses() >= self.settings.connection_losses
            && self.connection_faults_left == 0
            && self
                .connections
                .values()
                .all(|connection| connection.is_healthy(now))
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

    fn high_watermarks(&mut self) -> BTreeMap<String, Position> {
        let mut high_watermarks = BTreeMap::new();
        for channel in self.settings.channels.clone() {
            if let Some(read) = self.read_page(&channel, ReadFrom::Oldest, 0) {
                let position = Position {
                    epoch: read.epoch.to_string(),
                    offset: read.high_watermark,
                };
                high_watermarks.insert(channel, position);
            }
        }
        high_watermarks
    }

    /// Compares the log with the reference model.
    pub(crate) fn check_final_state(&mut self) {
        if !self.reference_model.violations().is_empty() {
            return;
        }
        if !self.is_settled {
            self.report_unsettled();
            return;
        }
        let is_durable = self.settings.is_durable();
        let (mut published, mut retained) = (0, 0);
        for channel in self.settings.channels.clone() {
            let (high_watermark, keys) = self.read_all(&channel);
            self.check_epoch(&channel, &high_watermark);
            self.reference_model
                .check_log(&channel, &high_watermark, &keys, is_durable);
            for (session, parameters) in self.settings.sessions.iter().enumerate() {
                // A publication that a full disk rejects is resent after later publications that were in flight.
                if self.settings.full_disks == 0 || parameters.is_sending_one_at_a_time() {
                    let name = format!("s{session}");
                    self.reference_model.check_order(&channel, &keys, &name);
                }
            }
            let visible = convert::to_u64(keys.len());
            if let Some(max) = self.settings.visible_max() {
                let expected = high_watermark.offset.min(max);
                self.check_retention(&channel, expected..=expected, visible);
            }
            published += high_watermark.offset;
            retained += visible;
        }
        if self.settings.visible_max().is_none() {
            let least = published.min(self.settings.retained_min());
            self.check_retention("all channels", least..=published, retained);
        }
    }

    /// Checks that a memory engine keeps the epochs of its process: no channel expires in a run, so only a restart loses
    /// publications.
    fn check_epoch(&mut self, channel: &str, high_watermark: &Position) {
        if let Some(expected) = self.epoch_in_memory
            && high_watermark.epoch != expected.to_string()
        {
            let details = format!("{channel} is at {high_watermark:?} in a process of {expected}");
            self.reference_model
                .report_violation(Invariant::NoAcknowledgedLoss, details);
        }
    }

    /// Reports every client, whether or not it has settled.
    fn report_unsettled(&mut self) {
        let simple = self.clients.iter().map(Client::describe);
        let sessions = self.drivers.iter().map(Driver::describe);
        let unsettled: Vec<String> = simple.chain(sessions).collect();
        self.reference_model
            .report_violation(Invariant::SystemSettles, unsettled.join("; "));
    }

    fn check_retention(&mut self, scope: &str, expected: RangeInclusive<u64>, visible: u64) {
        if !expected.contains(&visible) {
            let details =
                format!("{scope}: {visible} publications are visible, expected {expected:?}");
            self.reference_model
                .report_violation(Invariant::RetentionExact, details);
        }
    }

    /// Reads all visible publications of a channel from the log, page by page.
    fn read_all(&mut self, channel: &str) -> (Position, Vec<(u64, String)>) {
        let mut keys: Vec<(u64, String)> = Vec::new();
        let mut from = ReadFrom::Oldest;
        while let Some(read) = self.read_page(channel, from, 100) {
            let position = Position {
                epoch: read.epoch.to_string(),
                offset: read.high_watermark,
            };
            let first = read.records.first().map_or(0, |record| record.offset);
            let last = match keys.last() {
                Some((offset, _)) => *offset,
                None if self.settings.visible_max() == Some(u64::MAX) => 0,
                None => first.saturating_sub(1),
            };
            for (expected, record) in (last + 1..).zip(&read.records) {
                if record.offset != expected {
                    let details = format!(
                        "{channel}: the log holds offset {}, expected {expected}",
                        record.offset
                    );
                    self.reference_model
                        .report_violation(Invariant::OrderPreserved, details);
                }
                keys.push((record.offset, key_in_payload(&record.data).to_owned()));
            }
            if read.is_complete || read.records.is_empty() {
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

    /// Reads each channel's epoch and high watermark, for the planted bug that replaces positions.
    pub(crate) fn load_high_watermarks(&mut self) {
        if self.planted_bug != Some(PlantedBug::NoPositionCheck) {
            return;
        }
        for channel in self.settings.channels.clone() {
            if let Some(ReadOutcome {
                epoch,
                high_watermark,
                ..
            }) = self.read_page(&channel, ReadFrom::Oldest, 0)
                && let Some(gateway) = &mut self.gateway
            {
                gateway
                    .high_watermarks
                    .insert(ChannelName::from(channel.as_str()), (epoch, high_watermark));
            }
        }
    }

    /// Reads a channel, with a disk that completes each operation at once. Requires an engine without pending operations.
    fn read_page(&mut self, channel: &str, from: ReadFrom, limit: usize) -> Option<ReadOutcome> {
        let read = Read {
            request_id: RequestId {
                shard: WORLD_SHARD,
                number: 0,
            },
            channel: ChannelName::from(channel),
            from,
            limit,
            bytes_max: 1 << 20,
        };
        let response = self.request_of_world(Request::Read(read))?;
        let Response::Read(response) = response else {
            return None;
        };
        let (records, is_complete) = match response.page {
            Page::Records {
                records, has_more, ..
            } => (records, !has_more),
            Page::Unrecoverable => (Vec::new(), false),
        };
        Some(ReadOutcome {
            epoch: response.epoch,
            high_watermark: response.high_watermark,
            records,
            is_complete,
        })
    }

    /// Returns the response to a request of the world itself.
    fn request_of_world(&mut self, request: Request) -> Option<Response> {
        let (now, at) = (self.clock.now(), self.wall());
        let requests = vec![request];
        match &mut self.gateway.as_mut()?.engine {
            GatewayEngine::Log(log) => {
                log.handle(now, log_io::Input::Requested { requests, at });
                response_of_log(log, &self.disk, now)
            }
            GatewayEngine::Memory(engine) => {
                engine.handle(now, engine_io::Input::Requested { requests, at });
                match engine.poll_output() {
                    Some(engine_io::Output::Respond { response, .. }) => Some(response),
                    other => unreachable!("an idle engine must not return {other:?}"),
                }
            }
        }
    }
}

/// The response of an idle log, after the reads of the disk that it needs.
fn response_of_log(log: &mut Log, disk: &Disk, now: Instant) -> Option<Response> {
    while let Some(output) = log.poll_output() {
        match output {
            log_io::Output::Read {
                read,
                segment,
                at,
                len,
            } => {
                let bytes = disk.read(segment, at, len);
                log.handle(now, log_io::Input::ReadDone { read, bytes });
            }
            log_io::Output::Respond { response, .. } => return Some(response),
            other @ (log_io::Output::Reserve { .. }
            | log_io::Output::Write { .. }
            | log_io::Output::Sync { .. }
            | log_io::Output::Remove { .. }
            | log_io::Output::Opened(_)
            | log_io::Output::Corrupt(_)
            | log_io::Output::Commit(_)
            | log_io::Output::Notify(_)
            | log_io::Output::Closed) => unreachable!("an idle log must not return {other:?}"),
        }
    }
    None
}
