//! `grpc.health.v1.Health/Check` over HTTP/2 without TLS (RFC 9113), one request on a new connection.
//!
//! The request is constant but for two texts, and the response is one message of a few bytes in a DATA frame. Its
//! headers need not be decoded: without a message the instance is not healthy, whatever they say. That is why neither
//! an HTTP/2 library nor its event loop is needed here.

use steadfast_machine::convert;

use super::probe::{Socket, Unsuccessful};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const PATH: &str = "/grpc.health.v1.Health/Check";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// Flags: the last frame of a stream, or an acknowledgement.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// Length of the head of a frame.
const FRAME_HEAD: usize = 9;
/// The largest frame that a peer may send without permission.
const FRAME_MAX: usize = 16_384;
/// All bytes of the response, settings included.
const RESPONSE_MAX: usize = 64 << 10;
/// `SERVING` of `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;

/// Asks for the health of a gRPC service; an empty name is the whole server.
pub(super) fn check(
    mut socket: Socket,
    authority: &str,
    service: &str,
) -> Result<(), Unsuccessful> {
    socket.write(&request(authority, service))?;
    let mut received = Vec::new();
    let mut message = Vec::new();
    let mut read = 0;
    loop {
        while let Some(frame) = Frame::first(received.get(read..).unwrap_or_default())? {
            read += FRAME_HEAD + frame.payload.len();
            match (frame.kind, frame.flags & ACK != 0) {
                (SETTINGS, false) => socket.write(&encode(SETTINGS, ACK, 0, &[]))?,
                (PING, false) => socket.write(&encode(PING, ACK, 0, frame.payload))?,
                (RST_STREAM | GOAWAY, _) => {
                    return Err(Unsuccessful::Negative("the request was refused".to_owned()));
                }
                (DATA, _) => message.extend(frame.content()),
                _ => {}
            }
            if frame.is_end() {
                return evaluate(&message);
            }
        }
        if socket.read(&mut received, RESPONSE_MAX)? == 0 {
            return Err(Unsuccessful::Silent("closed without a response".to_owned()));
        }
    }
}

fn request(authority: &str, service: &str) -> Vec<u8> {
    // HPACK (RFC 7541): indexed fields, then literals that are not indexed.
    let mut headers = vec![0x83, 0x86];
    literal(&mut headers, &[0x04], PATH);
    literal(&mut headers, &[0x01], authority);
    literal(&mut headers, &[0x0f, 0x10], "application/grpc");
    literal(&mut headers, &[0x00, 2, b't', b'e'], "trailers");
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        message.push(length(service));
        message.extend(service.bytes().take(LITERAL_MAX));
    }
    // Not compressed, and the length in four bytes.
    let mut body = vec![0];
    body.extend(convert::saturating::<u32>(message.len()).to_be_bytes());
    body.extend(message);
    let mut bytes = PREFACE.to_vec();
    bytes.extend(encode(SETTINGS, 0, 0, &[]));
    bytes.extend(encode(HEADERS, END_HEADERS, 1, &headers));
    bytes.extend(encode(DATA, END_STREAM, 1, &body));
    bytes
}

/// A length up to this is one byte, in HPACK and in protocol buffers. Addresses are shorter, and scenarios with a
/// longer name of a service are rejected.
const LITERAL_MAX: usize = 126;

fn literal(headers: &mut Vec<u8>, name: &[u8], value: &str) {
    headers.extend(name);
    headers.push(length(value));
    headers.extend(value.bytes().take(LITERAL_MAX));
}

fn length(text: &str) -> u8 {
    convert::saturating(text.len().min(LITERAL_MAX))
}

fn encode(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = convert::saturating::<u32>(payload.len()).to_be_bytes();
    let mut frame = length.get(1..).unwrap_or_default().to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

struct Frame<'a> {
    kind: u8,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame; `None` if it is not complete.
    fn first(bytes: &'a [u8]) -> Result<Option<Self>, Unsuccessful> {
        let Some(&[a, b, c, kind, flags, ..]) = bytes.get(..FRAME_HEAD) else {
            return Ok(None);
        };
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if length > FRAME_MAX {
            return Err(Unsuccessful::Negative("no HTTP/2".to_owned()));
        }
        let payload = bytes.get(FRAME_HEAD..FRAME_HEAD + length);
        Ok(payload.map(|payload| Self {
            kind,
            flags,
            payload,
        }))
    }

    /// The content of a DATA frame without its padding.
    fn content(&self) -> &'a [u8] {
        if self.flags & PADDED == 0 {
            return self.payload;
        }
        let Some((padding, rest)) = self.payload.split_first() else {
            return &[];
        };
        let length = rest.len().saturating_sub(usize::from(*padding));
        rest.get(..length).unwrap_or_default()
    }

    /// Whether it ends the response, which is on the only stream.
    const fn is_end(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// Evaluates a `HealthCheckResponse` after its five bytes of length.
fn evaluate(message: &[u8]) -> Result<(), Unsuccessful> {
    let Some((0, rest)) = message.split_first().map(|(flag, rest)| (*flag, rest)) else {
        let reason = "no health status: is the name of the service correct?";
        return Err(Unsuccessful::Negative(reason.to_owned()));
    };
    match status(rest.get(4..).unwrap_or_default()) {
        Some(SERVING) => Ok(()),
        other => Err(Unsuccessful::Negative(format!(
            "the status is {}, not SERVING",
            match other {
                None | Some(0) => "UNKNOWN",
                Some(2) => "NOT_SERVING",
                Some(3) => "SERVICE_UNKNOWN",
                Some(_) => "a number without name",
            }
        ))),
    }
}

/// Field 1, which is a number. Other fields are not part of the message.
fn status(message: &[u8]) -> Option<u64> {
    match message {
        [0x08, status, ..] if *status < 0x80 => Some(u64::from(*status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_status_serving_is_healthy() {
        let reason = |message: &[u8]| evaluate(message).map_err(|it| it.reason().to_owned());

        assert_eq!(reason(&[0, 0, 0, 0, 2, 8, 1]), Ok(()));
        assert_eq!(
            reason(&[0, 0, 0, 0, 2, 8, 2]),
            Err("the status is NOT_SERVING, not SERVING".to_owned())
        );
        assert_eq!(
            reason(&[0, 0, 0, 0, 0]),
            Err("the status is UNKNOWN, not SERVING".to_owned())
        );
        assert_eq!(
            reason(&[]),
            Err("no health status: is the name of the service correct?".to_owned())
        );
    }

    #[test]
    fn frames_are_split_and_their_padding_removed() {
        let mut bytes = encode(DATA, PADDED | END_STREAM, 1, &[2, 8, 1, 0, 0]);
        bytes.extend(encode(PING, 0, 0, &[1; 8]));

        let frame = Frame::first(&bytes).unwrap().unwrap();

        assert_eq!(frame.content(), [8, 1]);
        assert!(frame.is_end());
        assert!(Frame::first(&bytes[..10]).unwrap().is_none(), "incomplete");
        assert!(Frame::first(b"HTTP/1.1 400 Bad Request\r\n").is_err());
    }
}
