//! Encodes one record.
//!
//! The buffer belongs to the batch: no record has an allocation of its own.

use steadfast_engine::ChannelEpoch;
use steadfast_machine::Timestamp;

use crate::record::{CRC_BYTES, Durability, HEAD_BYTES, NO_KEY, Publication, Stamp, Stored};

/// Appends a record to the buffer and returns its length.
pub(crate) fn encode(buffer: &mut Vec<u8>, stamp: Stamp, stored: &Stored<'_>) -> usize {
    let from = buffer.len();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&stamp.segment.0.to_le_bytes());
    buffer.extend_from_slice(&stamp.write_generation.to_le_bytes());
    buffer.extend_from_slice(&stamp.synced.to_le_bytes());
    buffer.push(kind(stored));
    encode_body(buffer, stored);
    let len = buffer.len() - from;
    let body_len = u32::try_from(len - HEAD_BYTES).expect("a record is smaller than a segment");
    if let Some(record) = buffer.get_mut(from..)
        && let Some((crc, covered)) = record.split_first_chunk_mut::<CRC_BYTES>()
    {
        if let Some(field) = covered.first_chunk_mut::<4>() {
            *field = body_len.to_le_bytes();
        }
        *crc = crc32fast::hash(covered).to_le_bytes();
    }
    len
}

const fn kind(stored: &Stored<'_>) -> u8 {
    match stored {
        Stored::Header(_) => 1,
        Stored::Channel(_) => 2,
        Stored::Key(_) => 3,
        Stored::Publication(_) => 4,
        Stored::Opened(_) => 5,
        Stored::ChannelExpired { .. } => 6,
        Stored::NoOp => 7,
        Stored::CleanShutdown { .. } => 8,
        Stored::SegmentEnd { .. } => 9,
    }
}

fn encode_body(buffer: &mut Vec<u8>, stored: &Stored<'_>) {
    match stored {
        Stored::Header(header) => {
            buffer.extend_from_slice(&header.version.to_le_bytes());
            buffer.extend_from_slice(&header.oldest.0.to_le_bytes());
            encode_epoch(buffer, header.new_channel_epoch);
            buffer.push(durability_code(header.durability));
            buffer.extend_from_slice(&header.channels.to_le_bytes());
            buffer.extend_from_slice(&header.keys.to_le_bytes());
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
        Stored::NoOp => {}
        Stored::CleanShutdown { at } => encode_at(buffer, *at),
        Stored::SegmentEnd { next } => buffer.extend_from_slice(&next.0.to_le_bytes()),
    }
}

fn encode_publication(buffer: &mut Vec<u8>, publication: &Publication<'_>) {
    buffer.extend_from_slice(&publication.channel.to_le_bytes());
    buffer.extend_from_slice(&publication.offset.to_le_bytes());
    encode_at(buffer, publication.at);
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
