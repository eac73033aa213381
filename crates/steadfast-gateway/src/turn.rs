//! What one turn of an event loop owes its sockets: frames laid end to end, and per socket a chain of pieces of them.
//!
//! Nothing is allocated per receiver. A frame for many lies once in the shared arena; a receiver of consecutive frames
//! holds one piece that only grows, so a hot channel costs one comparison per receiver and message. Frames for one
//! receiver lie in an arena of their own, because they would tear those pieces apart.
//! Knows no sockets and decides nothing; the shard appends, writes each chain once, and clears the turn.

/// What is kept of the memory of a large turn.
const KEPT_BYTES: usize = 1 << 20;
/// What is kept of the table of pieces of a large turn; 16 bytes each.
const KEPT_PIECES: usize = 1 << 16;
/// The end of a chain, and the whole of an empty one.
const NONE: u32 = u32::MAX;

/// Where the bytes of a piece lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arena {
    /// Frames for many.
    Shared,
    /// Frames for one.
    Own,
}

/// A run of bytes in an arena; offsets count from the start of the turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    arena: Arena,
    start: u32,
    end: u32,
    next: u32,
}

/// The pieces owed to one socket, in order. Eight bytes, so that an idle connection pays nearly nothing for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    /// Nothing is owed.
    pub(crate) const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };

    /// True when nothing is owed.
    pub(crate) const fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// The frames and pieces of one turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    shared: Vec<u8>,
    own: Vec<u8>,
    pieces: Vec<Piece>,
    /// Where a chain of several pieces is laid together for its one write.
    gathered: Vec<u8>,
}

impl Turn {
    /// Lays down a frame for many.
    pub(crate) fn add_shared(&mut self, frame: &[u8]) -> Piece {
        append(&mut self.shared, Arena::Shared, frame)
    }

    /// Lays down a frame for one.
    pub(crate) fn add_own(&mut self, frame: &[u8]) -> Piece {
        append(&mut self.own, Arena::Own, frame)
    }

    /// Owes a piece to a socket, behind everything it is owed already.
    pub(crate) fn owe(&mut self, chain: &mut Chain, piece: Piece) {
        let number = u32::try_from(self.pieces.len()).unwrap_or(NONE);
        match usize::try_from(chain.last)
            .ok()
            .and_then(|last| self.pieces.get_mut(last))
        {
            Some(last) if last.arena == piece.arena && last.end == piece.start => {
                last.end = piece.end;
                return;
            }
            Some(last) => last.next = number,
            None => chain.first = number,
        }
        chain.last = number;
        self.pieces.push(piece);
    }

    /// All that a chain owes, in one run.
    pub(crate) fn gather(&mut self, chain: Chain) -> &[u8] {
        let Some(first) = piece_at(&self.pieces, chain.first) else {
            return &[];
        };
        if first.next == NONE {
            return bytes_of(&self.shared, &self.own, first);
        }
        self.gathered.clear();
        let mut next = Some(first);
        while let Some(piece) = next {
            self.gathered
                .extend_from_slice(bytes_of(&self.shared, &self.own, piece));
            next = piece_at(&self.pieces, piece.next);
        }
        &self.gathered
    }

    /// How many bytes the frames of this turn take.
    pub(crate) fn bytes(&self) -> usize {
        self.shared.len() + self.own.len()
    }

    /// How many pieces are owed in all.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Begins anew. Every chain must be empty by now.
    pub(crate) fn clear(&mut self) {
        for buffer in [&mut self.shared, &mut self.own, &mut self.gathered] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        self.pieces.clear();
        self.pieces.shrink_to(KEPT_PIECES);
    }
}

fn append(buffer: &mut Vec<u8>, arena: Arena, frame: &[u8]) -> Piece {
    let start = offset(buffer.len());
    buffer.extend_from_slice(frame);
    Piece {
        arena,
        start,
        end: offset(buffer.len()),
        next: NONE,
    }
}

/// The shard writes a turn out long before it reaches 4 GiB.
fn offset(len: usize) -> u32 {
    u32::try_from(len).expect("a turn is written out before it grows to 4 GiB")
}

fn piece_at(pieces: &[Piece], number: u32) -> Option<Piece> {
    pieces.get(usize::try_from(number).ok()?).copied()
}

fn bytes_of<'a>(shared: &'a [u8], own: &'a [u8], piece: Piece) -> &'a [u8] {
    let buffer = match piece.arena {
        Arena::Shared => shared,
        Arena::Own => own,
    };
    let range = usize::try_from(piece.start).unwrap_or(usize::MAX)
        ..usize::try_from(piece.end).unwrap_or(usize::MAX);
    buffer.get(range).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_frames_for_many_are_one_piece_whatever_is_sent_to_others_in_between() {
        let mut turn = Turn::default();
        let (mut subscriber, mut publisher) = (Chain::EMPTY, Chain::EMPTY);

        for number in 0..3_u8 {
            let frame = turn.add_shared(&[b'a' + number]);
            turn.owe(&mut subscriber, frame);
            let ack = turn.add_own(&[b'0' + number]);
            turn.owe(&mut publisher, ack);
        }

        assert_eq!(turn.gather(subscriber), b"abc");
        assert_eq!(turn.gather(publisher), b"012");
        assert_eq!(turn.pieces(), 2);
    }

    #[test]
    fn a_socket_gets_frames_of_both_kinds_in_the_order_in_which_they_were_owed() {
        let mut turn = Turn::default();
        let mut chain = Chain::EMPTY;

        for (number, frame) in [b"a", b"b", b"c", b"d", b"e"].into_iter().enumerate() {
            let piece = if number % 2 == 0 {
                turn.add_shared(frame)
            } else {
                turn.add_own(frame)
            };
            turn.owe(&mut chain, piece);
        }

        assert_eq!(turn.gather(chain), b"abcde");
    }

    #[test]
    fn frames_that_others_get_in_between_are_left_out() {
        let mut turn = Turn::default();
        let mut chain = Chain::EMPTY;
        let first = turn.add_shared(b"first");
        turn.owe(&mut chain, first);

        turn.add_shared(b"for others");
        let last = turn.add_shared(b"last");
        turn.owe(&mut chain, last);

        assert_eq!(turn.gather(chain), b"firstlast");
        assert_eq!(turn.bytes(), 19);
    }

    #[test]
    fn nothing_owed_is_nothing_to_write() {
        let mut turn = Turn::default();

        assert!(Chain::EMPTY.is_empty());
        assert_eq!(turn.gather(Chain::EMPTY), b"");
    }

    #[test]
    fn a_large_turn_gives_its_memory_back() {
        let mut turn = Turn::default();
        turn.add_shared(&vec![0; 4 * KEPT_BYTES]);

        turn.clear();

        assert_eq!(turn.bytes(), 0);
        assert!(turn.shared.capacity() <= KEPT_BYTES);
    }
}
