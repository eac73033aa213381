//! One HTTP request on an open stream, and the header of its response, whose size is limited.
//!
//! The proxy, the readiness check and the upgrade use it; each of them evaluates the response.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::DialErrorReason;

/// Longest header of a response, in bytes: four times what servers accept in a request.
const HEADER_BYTES_MAX: usize = 64 << 10;
/// Maximum number of header fields of a response: proxies and content delivery networks add dozens.
const FIELDS_MAX: usize = 256;
/// The first byte of the TLS alert with which a TLS server responds to plain text (RFC 8446, section 5.1). HTTP begins
/// with a letter.
const TLS_ALERT: u8 = 0x15;
/// Longest delay that a `Retry-After` can request.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// Sends a request. Returns the result of `evaluate` for the response, and the bytes after its header.
pub(super) async fn exchange<T>(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &[u8],
    evaluate: impl Fn(&Response<'_, '_>) -> Result<T, DialErrorReason>,
) -> Result<(T, Vec<u8>), DialErrorReason> {
    stream
        .write_all(request)
        .await
        .map_err(DialErrorReason::Io)?;
    stream.flush().await.map_err(DialErrorReason::Io)?;
    let mut received = Vec::new();
    loop {
        if let Some((header_len, outcome)) = parse(&received, &evaluate)? {
            received.drain(..header_len);
            return Ok((outcome, received));
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

/// Returns the length of the header and its evaluation; `None` while the header is incomplete.
pub(super) fn parse<T>(
    bytes: &[u8],
    evaluate: impl Fn(&Response<'_, '_>) -> Result<T, DialErrorReason>,
) -> Result<Option<(usize, T)>, DialErrorReason> {
    if bytes.first() == Some(&TLS_ALERT) {
        return Err(DialErrorReason::TlsRequired);
    }
    let mut fields = [EMPTY_HEADER; FIELDS_MAX];
    let mut response = Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(Status::Complete(length)) => Ok(Some((length, evaluate(&response)?))),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(DialErrorReason::TooManyFields(FIELDS_MAX)),
        Err(_error) => Err(DialErrorReason::NotHttp),
    }
}

/// Returns the value of the first field with this name, in lower case.
pub(super) fn field<'a>(response: &Response<'_, 'a>, name: &str) -> Option<&'a [u8]> {
    let mut fields = response.headers.iter();
    let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
    Some(field.value)
}

/// Returns the delay of `Retry-After` in seconds; the form with a date would require synchronised clocks.
pub(super) fn retry_after(response: &Response<'_, '_>) -> Option<Duration> {
    let value = str::from_utf8(field(response, "retry-after")?).ok()?;
    let seconds = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(response: &[u8]) -> Result<Option<(usize, Option<Duration>)>, DialErrorReason> {
        parse(response, |response| Ok(retry_after(response)))
    }

    #[test]
    fn a_requested_delay_is_read_and_limited_to_a_day() {
        for (value, expected) in [
            ("7", Some(Duration::from_secs(7))),
            ("99999999", Some(RETRY_AFTER_MAX)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ] {
            let response = format!("HTTP/1.1 503 Busy\r\nRetry-After: {value}\r\n\r\n");

            let (_, delay) = delay(response.as_bytes()).unwrap().unwrap();

            assert_eq!(delay, expected, "{value}");
        }
    }

    #[test]
    fn a_response_with_many_fields_is_read_and_one_with_too_many_is_reported_as_such() {
        let response = |fields: usize| {
            let fields = "X-Field: 1\r\n".repeat(fields);
            format!("HTTP/1.1 503 Busy\r\n{fields}Retry-After: 7\r\n\r\n")
        };

        let fits = delay(response(FIELDS_MAX - 1).as_bytes()).unwrap();
        let exceeds = delay(response(FIELDS_MAX).as_bytes()).unwrap_err();

        assert!(matches!(fits, Some((_, Some(_)))), "{fits:?}");
        assert!(
            matches!(exceeds, DialErrorReason::TooManyFields(FIELDS_MAX)),
            "{exceeds:?}"
        );
    }

    #[test]
    fn an_incomplete_header_is_not_an_error_and_invalid_http_is_rejected() {
        assert!(delay(b"HTTP/1.1 101 Switching").unwrap().is_none());
        assert!(matches!(
            delay(b"SSH-2.0-OpenSSH\r\n\r\n"),
            Err(DialErrorReason::NotHttp)
        ));
    }
}
