//! Which version of an API a server has, before the first connection: an HTTP request for a list of names.
//!
//! A failure is not fatal: the path of the endpoint remains. What was chosen is kept for the session, unless the server no
//! longer has it.

use std::sync::{Arc, Mutex, PoisonError};

use httparse::Response;
use tokio::io::AsyncReadExt as _;

use super::DialErrorReason;
use super::response::exchange;
use crate::endpoint::Endpoint;
use crate::transport::stream::Stream;

/// The longest list that is read, in bytes.
const BODY_BYTES_MAX: usize = 16 << 10;

/// How a version is found, and which one was.
#[derive(Clone, Debug)]
pub(crate) struct Versions {
    rule: Rule,
    /// Shared by the attempts of a session.
    chosen: Arc<Mutex<Option<String>>>,
}

/// What a server is asked for, and what follows from its list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// The path of an endpoint for which a version is chosen.
    pub(crate) unversioned: &'static str,
    /// The path of the list.
    pub(crate) list: &'static str,
    /// Returns the path for the list that a server has; `None` if no version in it is known.
    pub(crate) choose: fn(&[u8]) -> Option<String>,
}

impl Versions {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            chosen: Arc::default(),
        }
    }

    /// Whether the server of this endpoint is asked before the upgrade.
    pub(super) fn is_due(&self, endpoint: &Endpoint) -> bool {
        endpoint.path() == self.rule.unversioned && self.chosen().is_none()
    }

    /// The endpoint with the chosen version.
    pub(super) fn versioned(&self, endpoint: &Endpoint) -> Option<Endpoint> {
        let path = self
            .chosen()
            .filter(|_| endpoint.path() == self.rule.unversioned)?;
        Some(endpoint.with_path(path))
    }

    /// The server does not have the chosen version any more.
    pub(super) fn forget(&self) {
        self.set(None);
    }

    /// Asks the server on a connection of its own.
    pub(super) async fn ask(
        &self,
        stream: &mut Stream,
        endpoint: &Endpoint,
    ) -> Result<(), DialErrorReason> {
        let (path, host) = (self.rule.list, endpoint.authority());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
        );
        let is_ok = |response: &Response<'_, '_>| Ok(response.code == Some(200));
        let (is_ok, mut body) = exchange(stream, request.as_bytes(), is_ok).await?;
        if !is_ok {
            return Ok(());
        }
        // A list is complete with its last bracket, however the length of the body is given.
        while !body.contains(&b']') && body.len() <= BODY_BYTES_MAX {
            let read = stream.read_buf(&mut body).await;
            if read.map_err(DialErrorReason::Io)? == 0 {
                break;
            }
        }
        self.set(list_in(&body).and_then(self.rule.choose));
        Ok(())
    }

    fn chosen(&self) -> Option<String> {
        // No code that holds the lock panics.
        let chosen = self.chosen.lock();
        chosen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, path: Option<String>) {
        let chosen = self.chosen.lock();
        *chosen.unwrap_or_else(PoisonError::into_inner) = path;
    }
}

/// The list in a body of limited length, which may be sent in chunks.
fn list_in(body: &[u8]) -> Option<&[u8]> {
    let body = body.get(..BODY_BYTES_MAX.min(body.len()))?;
    let start = body.iter().position(|byte| *byte == b'[')?;
    let end = body.iter().position(|byte| *byte == b']')?;
    body.get(start..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_found_in_a_body_with_and_without_chunks() {
        for (body, expected) in [
            (&b"[\"v1\"]"[..], Some(&b"[\"v1\"]"[..])),
            (b"6\r\n[\"v1\"]\r\n0\r\n\r\n", Some(b"[\"v1\"]")),
            (b"[\"v1\"", None),
            (b"]x[", None),
            (b"", None),
        ] {
            assert_eq!(list_in(body), expected);
        }
        let mut long = vec![b' '; BODY_BYTES_MAX];
        long.extend_from_slice(b"[\"v1\"]");
        assert_eq!(list_in(&long), None, "above the limit");
    }
}
