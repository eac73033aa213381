//! WebSocket frames of the generator: writes masked client frames and reads unmasked server frames.
//!
//! Only unfragmented frames without extension bits are supported. Any other frame is an error that ends the run.

use anyhow::{Result, bail};

/// The mask of every client frame. A fixed mask costs the server the same work as a random one.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x96, 0x3c];

/// Opcode of a text message.
pub const TEXT: u8 = 1;
/// Opcode of a close frame.
pub const CLOSE: u8 = 8;
/// Opcode of a WebSocket ping.
pub const PING: u8 = 9;
/// Opcode of a WebSocket pong.
pub const PONG: u8 = 10;

/// A frame that a server sent.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The opcode: [`TEXT`], [`CLOSE`], [`PING`] or [`PONG`].
    pub opcode: u8,
    /// The payload without the header.
    pub payload: &'a [u8],
    /// The length of the frame in bytes, header included.
    pub wire_len: usize,
}

/// Parses the frame at the start of `bytes`. Returns `None` if it is not complete yet.
pub fn read(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x80 == 0 || first & 0x70 != 0 {
        bail!("fragment or extension bit in a server frame: {first:#x}");
    }
    if second & 0x80 != 0 {
        bail!("masked server frame");
    }
    let (len, header) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(len) => (usize::from(u16::from_be_bytes(*len)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(len) => (usize::try_from(u64::from_be_bytes(*len))?, 10),
            None => return Ok(None),
        },
        short => (usize::from(short), 2),
    };
    let wire_len = header + len;
    Ok(bytes.get(header..wire_len).map(|payload| Frame {
        opcode: first & 0x0f,
        payload,
        wire_len,
    }))
}

/// Appends a masked client frame to `out`.
pub fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len), _) if len < 126 => out.push(0x80 | len),
        (_, Ok(len)) => {
            out.push(0x80 | 0x7e);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(0x80 | 0x7f);
            out.extend_from_slice(&payload.len().to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    out.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_parsed_only_when_it_is_complete() {
        for len in [0_usize, 125, 126, 65_535, 65_536] {
            let mut wire = vec![0x80 | TEXT];
            match len {
                0..126 => wire.push(u8::try_from(len).unwrap()),
                126..65_536 => {
                    wire.push(126);
                    wire.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                }
                _ => {
                    wire.push(127);
                    wire.extend_from_slice(&len.to_be_bytes());
                }
            }
            wire.resize(wire.len() + len, b'x');

            let partial = read(&wire[..wire.len() - 1]).unwrap();
            let complete = read(&wire).unwrap().unwrap();

            assert!(partial.is_none(), "length {len}");
            assert_eq!(
                (complete.opcode, complete.payload.len(), complete.wire_len),
                (TEXT, len, wire.len())
            );
        }
    }

    #[test]
    fn a_client_frame_is_masked() {
        let mut out = Vec::new();

        write(&mut out, TEXT, b"hello");

        assert_eq!(out[..2], [0x81, 0x85]);
        let clear: Vec<u8> = out[6..]
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        assert_eq!(clear, b"hello");
    }

    #[test]
    fn a_fragment_is_an_error() {
        assert!(read(&[TEXT, 0]).is_err());
    }
}
