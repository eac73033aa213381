//! The HTTP upgrade on an open stream: sends the request, validates the response, and keeps the bytes after it.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};
use steadfast_core::secret::Secret;
use steadfast_protocol::websocket::handshake::{self, RequestError, ResponseError, UpgradeRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::DialErrorReason;
use crate::endpoint::Endpoint;
use crate::transport::stream::Stream;

/// Longest header of a response, in bytes: four times what servers accept in a request.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Maximum number of header fields of a response: proxies and content delivery networks add dozens.
const FIELDS_MAX: usize = 256;
/// The first byte of the TLS alert with which a TLS server responds to plain text (RFC 8446, section 5.1). HTTP begins
/// with a letter.
const TLS_ALERT: u8 = 0x15;
/// Longest delay that a `Retry-After` can request.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Requests the upgrade; returns the bytes after the header of the response.
pub(super) async fn upgrade(
    stream: &mut Stream,
    endpoint: &Endpoint,
    fields: &[(String, Secret)],
) -> Result<Vec<u8>, DialErrorReason> {
    let key = handshake::key(random()?);
    let request = request(endpoint, fields, &key).map_err(DialErrorReason::Request)?;
    stream
        .write_all(&request)
        .await
        .map_err(DialErrorReason::Io)?;
    stream.flush().await.map_err(DialErrorReason::Io)?;
    let mut received = Vec::new();
    loop {
        if let Some(header_len) = parse_response(&received, endpoint, &key)? {
            received.drain(..header_len);
            return Ok(received);
        }
        if received.len() > HEADER_BYTES_MAX {
            return Err(DialErrorReason::HeaderTooLong(HEADER_BYTES_MAX));
        }
        if stream
            .read_buf(&mut received)
            .await
            .map_err(DialErrorReason::Io)?
            == 0
        {
            return Err(DialErrorReason::ConnectionClosed);
        }
    }
}

/// The request for an upgrade with these additional fields.
pub(super) fn request(
    endpoint: &Endpoint,
    fields: &[(String, Secret)],
    key: &str,
) -> Result<Vec<u8>, RequestError> {
    let extra: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()))
        .collect();
    handshake::request(&UpgradeRequest {
        host: &endpoint.authority(),
        path: endpoint.path(),
        key,
        origin: None,
        subprotocols: &[],
        extra_fields: &extra,
    })
}

/// Returns the length of the header when it is complete and accepts the upgrade; `None` while it is incomplete.
fn parse_response(
    bytes: &[u8],
    endpoint: &Endpoint,
    key: &str,
) -> Result<Option<usize>, DialErrorReason> {
    if bytes.first() == Some(&TLS_ALERT) {
        return Err(DialErrorReason::TlsRequired);
    }
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(DialErrorReason::TooManyFields(FIELDS_MAX));
        }
        Err(_error) => return Err(DialErrorReason::NotHttp),
    };
    let status = response.code.unwrap_or(0);
    let named = response
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    match handshake::verify_response(status, named, key, &[]) {
        Ok(_) => Ok(Some(length)),
        Err(ResponseError::Status(404)) => Err(DialErrorReason::PathNotFound {
            path: endpoint.path_without_query().to_owned(),
        }),
        Err(error) => Err(DialErrorReason::Rejected {
            error,
            retry_after: retry_after(&response),
        }),
    }
}

/// Returns the delay of `Retry-After` in seconds; the form with a date would require synchronised clocks.
fn retry_after(response: &Response<'_, '_>) -> Option<Duration> {
    let field = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("retry-after"))?;
    let seconds = str::from_utf8(field.value).ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn random() -> Result<[u8; 16], DialErrorReason> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_error| DialErrorReason::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(response: &[u8]) -> Result<Option<usize>, DialErrorReason> {
        parse_response(response, &endpoint(), "key")
    }

    fn endpoint() -> Endpoint {
        "ws://localhost/other?token=secret".parse().unwrap()
    }

    #[test]
    fn a_tls_server_and_a_server_without_the_path_are_named_with_what_to_change() {
        let of_tls = parse(b"\x15\x03\x03\x00\x02\x02\x46").unwrap_err();
        let of_other_server = parse(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();

        let text = of_other_server.to_string();
        assert!(of_tls.to_string().contains("use wss://"), "{of_tls}");
        assert!(
            text.contains("the server has no /other (HTTP status 404)"),
            "{text}"
        );
        assert!(text.contains("/connection/websocket"), "{text}");
    }

    #[test]
    fn a_rejection_reports_the_delay_that_the_server_requests() {
        let response = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";

        let failure = parse(response).unwrap_err();

        assert!(
            matches!(
                failure,
                DialErrorReason::Rejected { retry_after: Some(wait), .. } if wait == Duration::from_secs(7)
            ),
            "{failure:?}"
        );
    }

    #[test]
    fn a_response_with_many_fields_is_read_and_one_with_too_many_is_reported_as_such() {
        let response = |fields: usize| {
            let fields = "X-Field: 1\r\n".repeat(fields);
            format!("HTTP/1.1 503 Busy\r\n{fields}Retry-After: 7\r\n\r\n")
        };

        let fits = parse(response(FIELDS_MAX - 1).as_bytes()).unwrap_err();
        let exceeds = parse(response(FIELDS_MAX).as_bytes()).unwrap_err();

        assert!(
            matches!(
                fits,
                DialErrorReason::Rejected {
                    retry_after: Some(_),
                    ..
                }
            ),
            "{fits:?}"
        );
        assert!(
            matches!(exceeds, DialErrorReason::TooManyFields(FIELDS_MAX)),
            "{exceeds:?}"
        );
    }

    #[test]
    fn an_incomplete_header_is_not_an_error_and_invalid_http_is_rejected() {
        assert!(parse(b"HTTP/1.1 101 Switching").unwrap().is_none());
        assert!(matches!(
            parse(b"SSH-2.0-OpenSSH\r\n\r\n"),
            Err(DialErrorReason::NotHttp)
        ));
    }
}
