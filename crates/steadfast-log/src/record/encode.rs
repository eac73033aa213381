//! Encodes one record.
//!
//! The buffer belongs to the batch: no record has an allocation of its own.

use steadfast_engine::{ChannelEpoch, RetentionClass};
use steadfast_machine::Timestamp;

use crate::check;
use crate::clock::{BootId, ClockState};
use crate::identity::SegmentSecret;
use crate::record::{
    CHECK_BYTES, CHECKED_BYTES, Durability, HEAD_BYTES, NO_KEY, Publication, Stamp, Stored,
    head_check, payload_kind_code,
};

/// Length of the check of a body.
const BODY_CHECK_BYTES: usize = 8;
/// Length of the length of a body.
const LEN_BYTES: usize = 4;

/// Appends a record that will be at byte position `at` of its segment, and returns its length.
pub(crate) fn encode(
    buffer: &mut Vec<u8>,
    secret: &SegmentSecret,
    at: u64,
    stamp: Stamp,
    stored: &Stored<'_>,
) -> usize {
    let from = buffer.len();
    // The checks and the length follow from the body.
    buffer.extend_from_slice(&[0; CHECK_BYTES + BODY_CHECK_BYTES + LEN_BYTES]);
    buffer.extend_from_slice(&stamp.write_generation.to_le_bytes());
    buffer.extend_from_slice(&stamp.synced.to_le_bytes());
    buffer.push(kind(stored));
    encode_body(buffer, stored);
    let len = buffer.len() - from;
    let body_len = u32::try_from(len - HEAD_BYTES).expect("a record is smaller than a segment");
    if let Some((head, body)) = buffer
        .get_mut(from..)
        .and_then(|record| record.split_first_chunk_mut::<HEAD_BYTES>())
        && let Some((check, rest)) = head.split_first_chunk_mut::<CHECK_BYTES>()
        && let Some(checked) = rest.first_chunk_mut::<CHECKED_BYTES>()
    {
        if let Some((body_check, rest)) = checked.split_first_chunk_mut::<BODY_CHECK_BYTES>()
            && let Some(len) = rest.first_chunk_mut::<LEN_BYTES>()
        {
            *body_check = check::keyed(secret, body).to_le_bytes();
            *len = body_len.to_le_bytes();
        }
        *check = head_check(secret, at, checked).to_le_bytes();
    }
    len
}

const fn kind(stored: &Stored<'_>) -> u8 {
    match stored {
        Stored::Checkpoint(_) => 1,
        Stored::Channel(_) => 2,
        Stored::Key(_) => 3,
        Stored::Publication(_) => 4,
        Stored::Opened(_) => 5,
        Stored::ChannelExpired { .. } => 6,
        Stored::NoOp => 7,
        Stored::CleanShutdown { .. } => 8,
        Stored::SegmentEnd { .. } => 9,
        Stored::Clock(_) => 10,
    }
}

fn encode_body(buffer: &mut Vec<u8>, stored: &Stored<'_>) {
    match stored {
        Stored::Checkpoint(start) => {
            buffer.extend_from_slice(&start.oldest.0.to_le_bytes());
            encode_epoch(buffer, start.new_channel_epoch);
            buffer.push(durability_code(start.durability));
            buffer.extend_from_slice(&start.channels.to_le_bytes());
            buffer.extend_from_slice(&start.keys.to_le_bytes());
        }
        Stored::Channel(channel) => {
            buffer.extend_from_slice(&channel.id.to_le_bytes());
            encode_epoch(buffer, channel.epoch);
            buffer.extend_from_slice(&channel.high_watermark.to_le_bytes());
            buffer.extend_from_slice(&channel.start.to_le_bytes());
            encode_at(buffer, channel.last_at);
            buffer.extend_from_slice(channel.name.as_bytes());
        }
        Stored::Key(key) => {
            buffer.extend_from_slice(&key.channel.to_le_bytes());
            buffer.extend_from_slice(&key.offset.to_le_bytes());
            encode_at(buffer, key.at);
            buffer.extend_from_slice(&key.data_hash.to_le_bytes());
            encode_text_len(buffer, key.user);
            buffer.extend_from_slice(key.user);
            buffer.extend_from_slice(key.text);
        }
        Stored::Publication(publication) => encode_publication(buffer, publication),
        Stored::Opened(opened) => {
            encode_epoch(buffer, opened.new_channel_epoch);
            buffer.push(durability_code(opened.durability));
            buffer.push(u8::from(opened.has_new_epochs));
            encode_at(buffer, opened.at);
        }
        Stored::ChannelExpired {
            channel,
            new_channel_epoch,
        } => {
            buffer.extend_from_slice(&channel.to_le_bytes());
            encode_epoch(buffer, *new_channel_epoch);
        }
        Stored::Clock(clock) => encode_clock(buffer, clock),
        Stored::NoOp => {}
        Stored::CleanShutdown { at } => encode_at(buffer, *at),
        Stored::SegmentEnd { next } => buffer.extend_from_slice(&next.0.to_le_bytes()),
    }
}

fn encode_publication(buffer: &mut Vec<u8>, publication: &Publication<'_>) {
    buffer.extend_from_slice(&publication.channel.to_le_bytes());
    buffer.extend_from_slice(&publication.offset.to_le_bytes());
    encode_at(buffer, publication.at);
    buffer.push(payload_kind_code(publication.kind));
    match publication.retention {
        RetentionClass::Kept => buffer.push(0),
        RetentionClass::KeptUntil(until) => {
            buffer.push(1);
            encode_at(buffer, until);
        }
        RetentionClass::NotStored => buffer.push(2),
    }
    encode_text_len(buffer, publication.user);
    encode_text_len(buffer, publication.client);
    match publication.key {
        Some(key) => encode_text_len(buffer, key),
        None => buffer.extend_from_slice(&NO_KEY.to_le_bytes()),
    }
    buffer.extend_from_slice(publication.user);
    buffer.extend_from_slice(publication.client);
    buffer.extend_from_slice(publication.key.unwrap_or_default());
    buffer.extend_from_slice(publication.data);
}

/// Every field is present and has its place, so that the record has one length.
fn encode_clock(buffer: &mut Vec<u8>, clock: &ClockState) {
    encode_at(buffer, clock.at);
    let (BootId(id), millis) = clock.boot.map_or((BootId([0; BootId::BYTES]), 0), |boot| {
        (boot.id, boot.millis)
    });
    buffer.push(u8::from(clock.boot.is_some()));
    buffer.extend_from_slice(&id);
    buffer.extend_from_slice(&millis.to_le_bytes());
    for offset in [clock.offset, clock.trusted, clock.highest] {
        buffer.extend_from_slice(&offset.to_le_bytes());
    }
    let pending = clock.pending.unwrap_or_default();
    buffer.push(u8::from(clock.pending.is_some()));
    encode_at(buffer, pending.until);
    buffer.extend_from_slice(&pending.reference.to_le_bytes());
    buffer.extend_from_slice(&pending.millis.to_le_bytes());
    for downtime in &clock.counted.0 {
        encode_at(buffer, downtime.until);
        buffer.extend_from_slice(&downtime.millis.to_le_bytes());
    }
}

fn encode_epoch(buffer: &mut Vec<u8>, epoch: ChannelEpoch) {
    buffer.extend_from_slice(&epoch.incarnation().to_le_bytes());
    buffer.extend_from_slice(&epoch.counter().to_le_bytes());
}

fn encode_at(buffer: &mut Vec<u8>, at: Timestamp) {
    buffer.extend_from_slice(&at.as_millis().to_le_bytes());
}

fn encode_text_len(buffer: &mut Vec<u8>, text: &[u8]) {
    let len = u16::try_from(text.len()).expect("texts are checked before they are stored");
    buffer.extend_from_slice(&len.to_le_bytes());
}

const fn durability_code(durability: Durability) -> u8 {
    match durability {
        Durability::Synced => 0,
        Durability::Written => 1,
    }
}
