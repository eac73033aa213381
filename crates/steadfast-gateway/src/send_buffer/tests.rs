//! Tests of the order of frames in a send buffer, and of the memory that it takes.

use steadfast_protocol::websocket::{
    Decoder, Frame, Opcode, Role, WebSocketEvent, WebSocketLimits,
};

use super::*;
use crate::write_batch::{QueuedBuffers, WriteBatch};

/// Payload sizes with one-byte, two-byte and eight-byte lengths, below and above the size of shared frames.
const SIZES: [usize; 9] = [0, 100, 3, 600, 130, 70_000, 1, 4_000, 400];

#[test]
fn a_frame_that_many_peers_have_not_accepted_is_stored_once() {
    let (memory, mut batch) = (UnsentMemory::default(), WriteBatch::default());
    let mut queued = [QueuedBuffers::EMPTY; 300];
    for _ in 0..100 {
        let range = batch.add_shared(Frame::unfragmented(Opcode::Text, &[b'1'; 2_000]));
        for queued in &mut queued {
            batch.enqueue(queued, range);
        }
    }

    let mut buffers: Vec<_> = queued
        .iter()
        .map(|queued| filled(&mut batch, *queued, 0, &memory))
        .collect();
    batch.clear();

    let total: usize = buffers.iter().map(SendBuffer::bytes).sum();
    assert_eq!(total, 300 * 100 * 2_004);
    let once = 100 * (2_004 + CHUNK_OVERHEAD_BYTES);
    assert_eq!(memory.bytes(), once);
    buffers.truncate(1);
    assert_eq!(memory.bytes(), once);
    buffers.clear();
    assert_eq!(memory.bytes(), 0);
}

#[test]
fn small_frames_of_a_peer_share_a_chunk() {
    let memory = UnsentMemory::default();
    let mut buffer = SendBuffer::new(memory.clone());

    for _ in 0..100 {
        buffer.push_frame(&text(&[b'1'; 38]));
    }

    assert_eq!((buffer.bytes(), buffer.chunks.len()), (4_000, 1));
    assert_eq!(memory.bytes(), SMALL_CHUNK_BYTES + CHUNK_OVERHEAD_BYTES);
}

#[test]
fn whatever_is_written_at_a_time_the_peer_gets_every_frame_in_order() {
    for accepted_at_first in [0, 1, 2, 105, 106, 700, 30_000, 75_000] {
        for bytes_max in [1, 7, 1_000, usize::MAX] {
            let (memory, mut batch) = (UnsentMemory::default(), WriteBatch::default());
            let (queued, sent) = queue_frames(&mut batch);

            let mut buffer = filled(&mut batch, queued, accepted_at_first, &memory);
            batch.clear();
            let mut written = sent[..accepted_at_first].to_vec();
            write_all(&mut buffer, bytes_max, &mut written);

            assert!(written == sent, "{accepted_at_first}, {bytes_max}");
            assert_eq!((buffer.bytes(), memory.bytes()), (0, 0));
        }
    }
}

#[test]
fn a_ping_overtakes_everything_but_the_frame_that_is_being_written() {
    let (_, all) = queue_frames(&mut WriteBatch::default());
    for accepted in 0..all.len().min(800) {
        let (memory, mut batch) = (UnsentMemory::default(), WriteBatch::default());
        let (queued, sent) = queue_frames(&mut batch);
        let mut buffer = filled(&mut batch, queued, accepted, &memory);
        let mut written = sent[..accepted].to_vec();

        let ahead = buffer.insert_first(&text(b"{}"));
        let before = accepted + ahead - text(b"{}").len();
        write_all(&mut buffer, 50, &mut written);

        let mut expected = sizes();
        let begun = frames_within(&sent[..before]);
        assert!(begun == 0 || frames_within(&sent[..before - 1]) < begun);
        assert!(frames_within(&sent[..accepted]) + 1 >= begun, "{accepted}");
        expected.insert(begun, 2);
        assert_eq!(decode(written), expected, "{accepted}");
    }
}

#[test]
fn of_many_pings_only_the_last_is_replied_to_and_the_reply_follows_the_frame_that_is_being_written()
{
    let mut buffer = SendBuffer::new(UnsentMemory::default());
    buffer.push_frame(&text(&[b'1'; 2_000]));
    buffer.push_frame(&text(&[b'2'; 3_000]));
    buffer.advance(10);

    for number in 0..100 {
        buffer.set_pong(text(&vec![b'p'; number]));
        // The socket has space only now and then.
        if number == 50 {
            let bytes = buffer.next_slices(1_000).iter().map(|it| it.len()).sum();
            buffer.advance(bytes);
        }
        assert!(buffer.bytes() <= 5_008 + 101);
    }
    buffer.advance(2_004 - 1_010);
    let mut written = Vec::new();
    write_all(&mut buffer, 10, &mut written);

    assert_eq!(decode(written), [99, 3_000]);
}

#[test]
fn a_pong_waits_for_one_frame_although_no_write_ends_with_a_frame() {
    let mut buffer = SendBuffer::new(UnsentMemory::default());
    for _ in 0..10 {
        buffer.push_frame(&text(&[b'1'; 1_000]));
    }
    let mut written: Vec<u8> = buffer.next_slices(10).concat_bytes();
    buffer.advance(10);

    buffer.set_pong(text(b"pong"));
    write_all(&mut buffer, 1_500, &mut written);

    assert_eq!(decode(written)[..3], [1_000, 4, 1_000]);
}

#[test]
fn a_pong_precedes_a_close_frame_that_is_queued_after_it_however_much_the_socket_takes() {
    for frame in [300, 4_000] {
        let mut buffer = SendBuffer::new(UnsentMemory::default());
        buffer.push_frame(&text(&vec![b'1'; frame]));
        let mut written = buffer.next_slices(10).concat_bytes();
        buffer.advance(10);

        buffer.set_pong(text(b"pong"));
        buffer.push_frame(&text(b"close"));
        write_all(&mut buffer, 1 << 20, &mut written);

        assert_eq!(decode(written), [frame, 4, 5]);
    }
}

#[test]
fn a_pong_that_is_being_written_is_not_replaced() {
    let mut buffer = SendBuffer::new(UnsentMemory::default());
    buffer.push_frame(&text(&[b'1'; 100]));
    buffer.set_pong(text(&[b'a'; 10]));
    let mut written: Vec<u8> = buffer.next_slices(5).concat_bytes();
    buffer.advance(5);

    buffer.set_pong(text(&[b'b'; 20]));
    buffer.set_pong(text(&[b'c'; 30]));
    write_all(&mut buffer, 7, &mut written);

    assert_eq!(decode(written), [10, 30, 100]);
}

#[test]
fn a_ping_that_overtakes_a_pong_is_not_replaced_by_the_next_pong() {
    let mut buffer = SendBuffer::new(UnsentMemory::default());
    buffer.push_frame(&text(&[b'1'; 100]));
    buffer.set_pong(text(&[b'a'; 10]));
    // The socket accepts nothing, and the pong stays first.
    buffer.next_slices(1_000);

    buffer.insert_first(&text(b"{}"));
    buffer.set_pong(text(&[b'b'; 20]));
    let mut written = Vec::new();
    write_all(&mut buffer, 7, &mut written);

    assert_eq!(decode(written), [20, 2, 10, 100]);
}

#[test]
fn what_is_discarded_leaves_the_frame_that_is_being_written() {
    let (_, all) = queue_frames(&mut WriteBatch::default());
    for accepted in (0..all.len()).step_by(50) {
        let (memory, mut batch) = (UnsentMemory::default(), WriteBatch::default());
        let (queued, sent) = queue_frames(&mut batch);
        let mut buffer = filled(&mut batch, queued, accepted, &memory);
        batch.clear();
        buffer.set_pong(text(b"pong"));

        buffer.discard();
        let mut written = sent[..accepted].to_vec();
        assert!(buffer.chunks.len() <= 1);
        write_all(&mut buffer, 1_000, &mut written);
        buffer.push_frame(&text(b"close"));
        write_all(&mut buffer, 1_000, &mut written);

        let received = decode(written);
        let (last, before) = received.split_last().unwrap();
        assert_eq!(*last, 5);
        assert_eq!(before, &sizes()[..before.len()]);
        assert!(before.len() <= frames_within(&sent[..accepted]) + 1);
        assert_eq!(memory.bytes(), 0);
    }
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for Vec<IoSlice<'_>> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter()
            .flat_map(|slice| slice.iter().copied())
            .collect()
    }
}

/// Queues frames of all sizes, for one receiver and for many. Returns all their bytes too.
fn queue_frames(batch: &mut WriteBatch) -> (QueuedBuffers, Vec<u8>) {
    let (mut queued, mut sent) = (QueuedBuffers::EMPTY, Vec::new());
    for (index, size) in sizes().into_iter().enumerate() {
        let payload = vec![b'x'; size];
        let frame = Frame::unfragmented(Opcode::Text, &payload);
        let range = if index % 3 == 2 {
            batch.add_shared(frame)
        } else {
            batch.add_own(frame)
        };
        batch.enqueue(&mut queued, range);
        frame.append_server(&mut sent);
    }
    (queued, sent)
}

fn sizes() -> Vec<usize> {
    SIZES.repeat(2)
}

fn filled(
    batch: &mut WriteBatch,
    queued: QueuedBuffers,
    written: usize,
    memory: &UnsentMemory,
) -> SendBuffer {
    let mut buffer = SendBuffer::new(memory.clone());
    batch.move_to_send_buffer(queued, written, &mut buffer, memory);
    buffer
}

fn write_all(buffer: &mut SendBuffer, bytes_max: usize, written: &mut Vec<u8>) {
    while buffer.bytes() > 0 {
        let bytes = buffer.next_slices(bytes_max).concat_bytes();
        assert!(!bytes.is_empty());
        buffer.advance(bytes.len());
        written.extend(bytes);
    }
}

/// Returns the payload sizes of the frames, of which the last must be complete.
fn decode(mut bytes: Vec<u8>) -> Vec<usize> {
    let limits = WebSocketLimits {
        message_bytes_max: 1_000_000,
        frame_bytes_max: 1_000_000,
        fragments_max: 1,
    };
    let mut decoder = Decoder::new(Role::Client, limits);
    let mut reading = decoder.read(&mut bytes);
    let mut sizes = Vec::new();
    while let Some(event) = reading.next_event().unwrap() {
        let WebSocketEvent::Message { payload, .. } = event else {
            panic!("{event:?}");
        };
        sizes.push(payload.len());
    }
    assert_eq!(decoder.buffered_bytes(), 0);
    sizes
}

/// Returns the number of complete frames.
fn frames_within(mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while let Some(rest) = server_frame_len(bytes).and_then(|len| bytes.get(len..)) {
        frames += 1;
        bytes = rest;
    }
    frames
}

fn text(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Frame::unfragmented(Opcode::Text, payload).append_server(&mut frame);
    frame
}
