//! Checks at the end of a run: whether the nodes hold what the reference model expects.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use steadfast_engine::ReadFrom;
use steadfast_machine::convert;
use steadfast_protocol::message::Position;

use crate::context::Context;
use crate::ids::ConnectionId;
use crate::node::Node;
use crate::recorder::key_in_payload;
use crate::reference_model::Invariant;
use crate::words;

/// The number of publications that one read returns.
const PAGE_LEN: usize = 100;

/// Returns the high watermarks of a quiet node, by channel.
pub(crate) fn high_watermarks(ctx: &Context, node: &mut Node) -> BTreeMap<String, Position> {
    let mut high_watermarks = BTreeMap::new();
    for channel in &ctx.settings.channels {
        if let Some(read) = node.read_page(ctx, channel, ReadFrom::Oldest, 0) {
            let position = Position {
                epoch: read.epoch.to_string(),
                offset: read.high_watermark,
            };
            high_watermarks.insert(channel.clone(), position);
        }
    }
    high_watermarks
}

/// Compares what a node stores with the reference model.
pub(crate) fn check_node(ctx: &mut Context, node: &mut Node) {
    let is_durable = ctx.settings.is_durable();
    let (mut published, mut retained) = (0, 0);
    for channel in ctx.settings.channels.clone() {
        let (high_watermark, keys) = read_all(ctx, node, &channel);
        check_epoch(ctx, node, &channel, &high_watermark);
        ctx.reference_model
            .check_log(node.index().0, &channel, &high_watermark, &keys, is_durable);
        for (session, parameters) in ctx.settings.sessions.iter().enumerate() {
            // A publication that is rejected, because the disk is full or too much waits for it, is resent after later
            // publications that were in flight.
            let is_disk_intact = ctx.settings.full_disks + ctx.settings.stalled_disks == 0;
            if is_disk_intact || parameters.is_sending_one_at_a_time() {
                let name = format!("s{session}");
                ctx.reference_model
                    .check_order(node.index().0, &channel, &keys, &name);
            }
        }
        let visible = convert::to_u64(keys.len());
        if let Some(max) = ctx.settings.visible_max() {
            let expected = high_watermark.offset.min(max);
            check_retention(ctx, &channel, expected..=expected, visible);
        }
        published += high_watermark.offset;
        retained += visible;
    }
    if ctx.settings.visible_max().is_none() {
        let least = published.min(ctx.settings.retained_min());
        check_retention(ctx, "all channels", least..=published, retained);
    }
}

/// Checks that a client has received every join and leave, and each of them once.
pub(crate) fn check_membership(ctx: &mut Context, connection: ConnectionId) {
    ctx.totals.memberships_complete += 1;
    if let Some(wrong) = ctx.membership.check_quiet(connection) {
        ctx.report(Invariant::MembershipPushed, wrong);
    }
}

/// Checks that a memory engine keeps the epochs of its process: no channel expires in a run, so only a restart loses
/// publications.
fn check_epoch(ctx: &mut Context, node: &Node, channel: &str, high_watermark: &Position) {
    if let Some(expected) = node.epoch_in_memory
        && high_watermark.epoch != expected.to_string()
    {
        let details = format!(
            "{channel} is at {} in a process with epoch {expected}",
            words::position(high_watermark)
        );
        ctx.report(Invariant::NoAcknowledgedLoss, details);
    }
}

fn check_retention(ctx: &mut Context, scope: &str, expected: RangeInclusive<u64>, visible: u64) {
    if !expected.contains(&visible) {
        let (least, most) = (expected.start(), expected.end());
        let details =
            format!("{scope}: {visible} publications are visible, expected {least} to {most}");
        ctx.report(Invariant::RetentionExact, details);
    }
}

/// Reads all visible publications of a channel, page by page.
fn read_all(ctx: &mut Context, node: &mut Node, channel: &str) -> (Position, Vec<(u64, String)>) {
    let mut keys: Vec<(u64, String)> = Vec::new();
    let mut from = ReadFrom::Oldest;
    while let Some(read) = node.read_page(ctx, channel, from, PAGE_LEN) {
        let position = Position {
            epoch: read.epoch.to_string(),
            offset: read.high_watermark,
        };
        let first = read.records.first().map_or(0, |record| record.offset);
        let last = match keys.last() {
            Some((offset, _)) => *offset,
            None if ctx.settings.visible_max() == Some(u64::MAX) => 0,
            None => first.saturating_sub(1),
        };
        for (expected, record) in (last + 1..).zip(&read.records) {
            if record.offset != expected {
                let details = format!(
                    "{channel}: the log holds offset {}, expected {expected}",
                    record.offset
                );
                ctx.report(Invariant::OrderPreserved, details);
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
