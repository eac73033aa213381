//! The HTTP upgrade on an open stream: creates the request, and validates the response.

use httparse::Response;
use steadfast_core::secret::Secret;
use steadfast_protocol::websocket::handshake::{self, RequestError, ResponseError, UpgradeRequest};

use super::DialErrorReason;
use super::redirect;
use super::response::{exchange, retry_after};
use crate::endpoint::Endpoint;
use crate::transport::stream::Stream;

/// Requests the upgrade; returns the bytes after the header of the response.
pub(super) async fn upgrade(
    stream: &mut Stream,
    endpoint: &Endpoint,
    fields: &[(String, Secret)],
    subprotocols: &[String],
) -> Result<Vec<u8>, DialErrorReason> {
    let key = handshake::key(random()?);
    let request =
        request(endpoint, fields, subprotocols, &key).map_err(DialErrorReason::Request)?;
    let evaluate = |response: &Response<'_, '_>| evaluate(response, endpoint, subprotocols, &key);
    let ((), unread) = exchange(stream, &request, evaluate).await?;
    Ok(unread)
}

/// The request for an upgrade with these additional fields and these offered subprotocols.
pub(super) fn request(
    endpoint: &Endpoint,
    fields: &[(String, Secret)],
    subprotocols: &[String],
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
        subprotocols: &offered(subprotocols),
        extra_fields: &extra,
    })
}

fn offered(subprotocols: &[String]) -> Vec<&str> {
    subprotocols.iter().map(String::as_str).collect()
}

/// Checks whether the response accepts the upgrade.
fn evaluate(
    response: &Response<'_, '_>,
    endpoint: &Endpoint,
    subprotocols: &[String],
    key: &str,
) -> Result<(), DialErrorReason> {
    let status = response.code.unwrap_or(0);
    let named = response
        .headers
        .iter()
        .map(|field| (field.name, field.value));
    match handshake::verify_response(status, named, key, &offered(subprotocols)) {
        Ok(_) => Ok(()),
        Err(ResponseError::Status(404)) => Err(DialErrorReason::PathNotFound {
            path: endpoint.path_without_query().to_owned(),
        }),
        Err(ResponseError::Status(301 | 302 | 303 | 307 | 308)) => {
            Err(DialErrorReason::Redirected {
                status,
                location: redirect::location(response),
            })
        }
        Err(error) => Err(DialErrorReason::Rejected {
            error,
            retry_after: retry_after(response),
        }),
    }
}

fn random() -> Result<[u8; 16], DialErrorReason> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_error| DialErrorReason::Randomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::response;
    use super::*;

    fn rejection(bytes: &[u8]) -> DialErrorReason {
        let endpoint: Endpoint = "ws://localhost/other?token=secret".parse().unwrap();
        response::parse(bytes, |response| evaluate(response, &endpoint, &[], "key")).unwrap_err()
    }

    #[test]
    fn a_tls_server_and_a_server_without_the_path_are_named_with_what_to_change() {
        let of_tls = rejection(b"\x15\x03\x03\x00\x02\x02\x46");
        let of_other_server = rejection(b"HTTP/1.1 404 Not Found\r\n\r\n");

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
        let failure = rejection(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n");

        assert!(
            matches!(
                failure,
                DialErrorReason::Rejected { retry_after: Some(wait), .. } if wait == Duration::from_secs(7)
            ),
            "{failure:?}"
        );
    }
}
