//! The HTTP upgrade on an open stream: the request goes out, the answer is checked, what follows it is kept.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};
use steadfast_protocol::websocket::handshake::{self, UpgradeRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Failure;
use crate::endpoint::Endpoint;
use crate::transport::stream::Stream;

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most fields in a head.
const FIELDS_MAX: usize = 64;
/// The longest wait that a `Retry-After` can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Asks for the WebSocket; returns the bytes that came behind the head of the answer.
pub(super) async fn upgrade(
    stream: &mut Stream,
    endpoint: &Endpoint,
    fields: &[(String, String)],
) -> Result<Vec<u8>, Failure> {
    let key = handshake::key(random()?);
    let extra: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let request = handshake::request(&UpgradeRequest {
        host: &endpoint.authority(),
        path: endpoint.path(),
        key: &key,
        origin: None,
        subprotocols: &[],
        extra_fields: &extra,
    })
    .map_err(Failure::Request)?;
    stream.write_all(&request).await.map_err(Failure::Io)?;
    stream.flush().await.map_err(Failure::Io)?;
    let mut received = Vec::new();
    loop {
        if let Some(head) = read_head(&received, &key)? {
            received.drain(..head);
            return Ok(received);
        }
        if received.len() > HEAD_BYTES_MAX {
            return Err(Failure::HeadTooLong(HEAD_BYTES_MAX));
        }
        if stream.read_buf(&mut received).await.map_err(Failure::Io)? == 0 {
            return Err(Failure::Ended);
        }
    }
}

/// The length of the head once it is complete and agrees to the upgrade.
fn read_head(bytes: &[u8], key: &str) -> Result<Option<usize>, Failure> {
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut fields);
    let Status::Complete(length) = response.parse(bytes).map_err(|_where| Failure::NotHttp)? else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    let named = response
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    match handshake::verify_response(status, named, key, &[]) {
        Ok(_) => Ok(Some(length)),
        Err(refusal) => Err(Failure::Refused {
            refusal,
            retry_after: retry_after(&response),
        }),
    }
}

/// The seconds of `Retry-After`; its other form, a date, would need a clock that agrees with the server's.
fn retry_after(response: &Response<'_, '_>) -> Option<Duration> {
    let field = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("retry-after"))?;
    let seconds = str::from_utf8(field.value).ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn random() -> Result<[u8; 16], Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_why| Failure::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_the_server_wants_waited() {
        let answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";

        let failure = read_head(answer, "key").unwrap_err();

        assert!(
            matches!(
                failure,
                Failure::Refused { retry_after: Some(wait), .. } if wait == Duration::from_secs(7)
            ),
            "{failure:?}"
        );
    }

    #[test]
    fn half_a_head_is_waited_for_and_no_http_is_refused() {
        assert!(
            read_head(b"HTTP/1.1 101 Switching", "key")
                .unwrap()
                .is_none()
        );
        assert!(matches!(
            read_head(b"SSH-2.0-OpenSSH\r\n\r\n", "key"),
            Err(Failure::NotHttp)
        ));
    }
}
