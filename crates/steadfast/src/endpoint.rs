//! Where a server is reached: a URL, taken apart and checked once.
//!
//! Owns the syntax and nothing of the network. `connector` dials what is named here.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The path of the Centrifuge stream protocol, which a URL without a path means.
pub const DEFAULT_PATH: &str = "/connection/websocket";

/// The longest URL, in bytes; what HTTP servers commonly accept as a request line.
pub const URL_BYTES_MAX: usize = 8_000;

/// A server's address: scheme, host, port and path.
///
/// Written as `ws://HOST[:PORT][/PATH]` or `wss://…`; `http://` and `https://` mean the same, and a URL without a scheme
/// means `ws://`. Without a port it is 80, or 443 with TLS; without a path it is [`DEFAULT_PATH`].
///
/// ```
/// use steadfast::endpoint::Endpoint;
///
/// let endpoint: Endpoint = "ws://127.0.0.1:8000".parse()?;
/// assert_eq!(endpoint.to_string(), "ws://127.0.0.1:8000/connection/websocket");
/// assert_eq!(endpoint.port(), 8000);
/// # Ok::<(), steadfast::endpoint::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    security: Security,
    host: String,
    port: u16,
    path: String,
}

/// Whether the bytes on the way are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Security {
    /// As they are: `ws://`.
    Plain,
    /// By TLS: `wss://`.
    Tls,
}

/// Why a text is no address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// A scheme that is not spoken.
    #[error("`{scheme}://` is not spoken here; use ws:// or wss://")]
    Scheme {
        /// What stood before `://`.
        scheme: String,
    },
    /// Nothing between the scheme and the path.
    #[error("there is no host in `{url}`; for example ws://127.0.0.1:8000")]
    HostMissing {
        /// The whole text.
        url: String,
    },
    /// What follows the last colon is no port.
    #[error("`{port}` is no port; a port is a number from 1 to 65535")]
    Port {
        /// What stood there.
        port: String,
    },
    /// A user name or password in the URL would end up in logs.
    #[error("credentials do not belong into the URL, which is logged; give them as token")]
    Credentials,
    /// A space, a control character, or something else that would break the request apart.
    #[error("there is a character in the URL that must be percent-encoded")]
    Character,
    /// Longer than [`URL_BYTES_MAX`].
    #[error("the URL is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
}

impl Endpoint {
    /// Whether TLS is asked for.
    pub const fn security(&self) -> Security {
        self.security
    }

    /// Name or address; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to dial.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query; begins with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as the `Host` field of HTTP wants them: brackets round IPv6, no port where it is the usual one.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        if self.port == self.security.usual_port() {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl Security {
    const fn usual_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "ws",
            Self::Tls => "wss",
        }
    }
}

impl fmt::Display for Endpoint {
    /// Writes the URL without its query, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self
            .path
            .split_once('?')
            .map_or(self.path.as_str(), |(path, _)| path);
        write!(f, "{}://{}{path}", self.security.scheme(), self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if url.len() > URL_BYTES_MAX {
            return Err(EndpointError::TooLong);
        }
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(EndpointError::Character);
        }
        let (security, rest) = split_scheme(url)?;
        // A fragment is for the browser that shows a page; it never travels.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(EndpointError::HostMissing {
                url: url.to_owned(),
            });
        }
        Ok(Self {
            security,
            host: host.to_owned(),
            port: port.unwrap_or_else(|| security.usual_port()),
            path: whole_path(path),
        })
    }
}

fn split_scheme(url: &str) -> Result<(Security, &str), EndpointError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok((Security::Plain, url));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "ws" | "http" => Ok((Security::Plain, rest)),
        "wss" | "https" => Ok((Security::Tls, rest)),
        _ => Err(EndpointError::Scheme {
            scheme: scheme.to_owned(),
        }),
    }
}

/// Host without brackets, and the port if one is named.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    if let Some((host, after)) = authority
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
    {
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(EndpointError::Port {
                port: after.to_owned(),
            }),
        };
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Ok((host, Some(parse_port(port)?))),
        None => Ok((authority, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, EndpointError> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(EndpointError::Port {
            port: text.to_owned(),
        }),
    }
}

fn whole_path(path: &str) -> String {
    match path {
        "" | "/" => DEFAULT_PATH.to_owned(),
        query if query.starts_with('?') => format!("{DEFAULT_PATH}{query}"),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_be_short() {
        for (url, host, port, path) in [
            ("ws://127.0.0.1:8000", "127.0.0.1", 8000, DEFAULT_PATH),
            ("http://127.0.0.1:8000/", "127.0.0.1", 8000, DEFAULT_PATH),
            ("localhost:9000/other?x=1", "localhost", 9000, "/other?x=1"),
            ("ws://[::1]:8000#top", "::1", 8000, DEFAULT_PATH),
            ("WSS://example.test", "example.test", 443, DEFAULT_PATH),
            ("example.test", "example.test", 80, DEFAULT_PATH),
        ] {
            let endpoint: Endpoint = url.parse().unwrap();

            let parts = (endpoint.host(), endpoint.port(), endpoint.path());
            assert_eq!(parts, (host, port, path), "{url}");
        }
    }

    #[test]
    fn a_query_without_a_path_is_kept_and_not_shown() {
        let endpoint: Endpoint = "wss://example.test?token=secret".parse().unwrap();

        assert_eq!(endpoint.path(), "/connection/websocket?token=secret");
        assert_eq!(
            endpoint.to_string(),
            "wss://example.test/connection/websocket"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (url, expected) in [
            ("ftp://127.0.0.1", "`ftp://` is not spoken here"),
            ("", "there is no host"),
            ("ws:///path", "there is no host"),
            ("ws://host:0", "`0` is no port"),
            ("ws://host:http", "`http` is no port"),
            ("ws://[::1]8000", "`8000` is no port"),
            ("ws://me:secret@host", "credentials do not belong"),
            ("ws://host/a b", "percent-encoded"),
            ("ws://host/\r\nX: y", "percent-encoded"),
        ] {
            let error = url.parse::<Endpoint>().unwrap_err().to_string();

            assert!(error.contains(expected), "{url}: {error}");
        }
    }

    #[test]
    fn the_host_field_has_brackets_and_no_usual_port() {
        for (url, authority) in [
            ("ws://[::1]:8000", "[::1]:8000"),
            ("wss://example.test:443", "example.test"),
            ("ws://example.test:443", "example.test:443"),
        ] {
            let endpoint: Endpoint = url.parse().unwrap();

            assert_eq!(endpoint.authority(), authority);
        }
    }
}
