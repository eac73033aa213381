//! A GET request: the status must be 200, and the body may have to contain a text.

use std::net::SocketAddr;

use steadfast_machine::convert;

use super::socket::Socket;
use super::{RESPONSE_MAX, Unsuccessful, contains};

/// Header fields of a response that are read.
const HEADERS_MAX: usize = 64;

/// Sends the request and checks the response.
pub(super) fn get(
    mut socket: Socket,
    address: SocketAddr,
    path: &str,
    body: Option<&str>,
) -> Result<(), Unsuccessful> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    socket.write(request.as_bytes())?;
    let mut received = Vec::new();
    loop {
        if body.is_none() && head(&received)?.is_some() {
            break;
        }
        if socket.read(&mut received, RESPONSE_MAX)? == 0 {
            break;
        }
    }
    let Some(head) = head(&received)? else {
        return Err(Unsuccessful::Silent("closed without a response".to_owned()));
    };
    if head.status != 200 {
        return Err(Unsuccessful::Negative(format!("status {}", head.status)));
    }
    let content = received.get(head.length..).unwrap_or_default();
    let content = if head.is_chunked {
        joined(content)
    } else {
        content.to_vec()
    };
    match body {
        Some(text) if !contains(&content, text.as_bytes()) => Err(Unsuccessful::Negative(
            "the body does not contain it".to_owned(),
        )),
        Some(_) | None => Ok(()),
    }
}

struct Head {
    status: u16,
    length: usize,
    is_chunked: bool,
}

/// The head of a response; `None` if it is not complete.
fn head(received: &[u8]) -> Result<Option<Head>, Unsuccessful> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(received);
    let parsed = parsed.map_err(|error| Unsuccessful::Negative(format!("no HTTP: {error}")))?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let is_chunked = response.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("transfer-encoding")
            && header.value.eq_ignore_ascii_case(b"chunked")
    });
    Ok(Some(Head {
        status: response.code.unwrap_or_default(),
        length,
        is_chunked,
    }))
}

/// The content of a chunked body, as far as it is complete.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Ok(httparse::Status::Complete((start, length))) = httparse::parse_chunk_size(body) {
        let length: usize = convert::saturating(length);
        let end = start.saturating_add(length);
        let Some(chunk) = body.get(start..end).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        content.extend(chunk);
        // Each chunk ends with a line break.
        body = body.get(end.saturating_add(2)..).unwrap_or_default();
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined() {
        assert_eq!(joined(b"3\r\nabc\r\n2;x=1\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(joined(b"3\r\nabc\r\n5\r\nde"), b"abc", "incomplete");
        assert_eq!(joined(b"no chunk"), b"");
    }
}
