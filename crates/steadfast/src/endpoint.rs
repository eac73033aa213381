//! The address of a server: a URL that is parsed and validated once.
//!
//! Responsible for the syntax only; `connector` dials the address.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The path of the Centrifuge client protocol.
pub(crate) const DEFAULT_PATH: &str = "/connection/websocket";

/// The longest URL in bytes; HTTP servers commonly accept request lines of this length.
pub(crate) const URL_BYTES_MAX: usize = 8_000;

/// A server's address: scheme, host, port and path.
///
/// Written as `ws://HOST[:PORT][/PATH]` or `wss://…`; `http://` and `https://` are equivalent. A URL without a scheme is
/// `wss://`, so that no token is sent unencrypted by mistake, or `ws://` if the host is `localhost` or a loopback
/// address. Without a port it is 80, or 443 with TLS; without a path it is `/connection/websocket`, and for clients of
/// other protocols `/`.
///
/// ```
/// use steadfast::Endpoint;
///
/// let endpoint: Endpoint = "ws://127.0.0.1:8000".parse()?;
/// assert_eq!(endpoint.to_string(), "ws://127.0.0.1:8000/connection/websocket");
/// assert_eq!(endpoint.port(), 8000);
/// # Ok::<(), steadfast::error::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    security: Security,
    host: String,
    port: u16,
    path: String,
}

/// Whether the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Security {
    /// Not encrypted: `ws://`.
    Plain,
    /// Encrypted with TLS: `wss://`.
    Tls,
}

/// Why a URL is not a valid server address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The scheme is not supported.
    #[error("unsupported URL scheme `{scheme}`: use ws:// or wss://")]
    Scheme {
        /// The text before `://`.
        scheme: String,
    },
    /// A scheme is not followed by `://`.
    #[error("invalid URL `{url}`: the scheme must be followed by ://")]
    Separator {
        /// The URL without its query.
        url: String,
    },
    /// The host between the scheme and the path is empty.
    #[error("missing host in `{url}`: for example ws://127.0.0.1:8000")]
    HostMissing {
        /// The URL without its query.
        url: String,
    },
    /// The host cannot be a name or an address.
    #[error(
        "invalid host `{host}`: must be a name in ASCII (xn--… for other characters), an IPv4 address, or an IPv6 address in brackets"
    )]
    Host {
        /// The text in the position of the host.
        host: String,
    },
    /// The text after the last colon is not a valid port.
    #[error("invalid port `{port}`: must be between 1 and 65535")]
    Port {
        /// The text in the position of the port.
        port: String,
    },
    /// The URL contains a user name or password, which would be logged.
    #[error(
        "credentials in the URL are not supported, because URLs are logged: pass a token instead"
    )]
    Credentials,
    /// The URL contains white space or a control character, which would corrupt the request.
    #[error("invalid character in the URL: must be percent-encoded")]
    Character,
    /// The URL is longer than 8,000 bytes.
    #[error("invalid URL: longer than {URL_BYTES_MAX} bytes")]
    TooLong,
}

impl Endpoint {
    /// Returns whether the connection uses TLS.
    pub(crate) const fn security(&self) -> Security {
        self.security
    }

    /// Returns the host name or address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port to dial.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns path and query; starts with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the path without its query, which may contain secrets.
    pub(crate) fn path_without_query(&self) -> &str {
        path_without_query(&self.path)
    }

    /// Returns the value of the HTTP `Host` field: brackets around IPv6 addresses, and no port if it is the default.
    pub fn authority(&self) -> String {
        if self.port == self.security.default_port() {
            self.bracketed_host()
        } else {
            self.socket_address()
        }
    }

    /// The server at this URL instead of this one, with the same path if the URL has none. `None` if the URL is invalid, or
    /// less secure.
    pub(crate) fn redirected(&self, url: &str) -> Option<Self> {
        let to = Self::with_default_path(url, &self.path).ok()?;
        (to.security == Security::Tls || self.security == Security::Plain).then_some(to)
    }

    /// The same server with another path.
    #[cfg(feature = "truenas")]
    pub(crate) fn with_path(&self, path: String) -> Self {
        Self {
            path,
            ..self.clone()
        }
    }

    /// Returns `HOST:PORT`, with brackets around IPv6 addresses.
    pub fn socket_address(&self) -> String {
        socket_address(&self.host, self.port)
    }

    /// Returns the host, with brackets around an IPv6 address.
    pub fn bracketed_host(&self) -> String {
        bracketed(&self.host)
    }
}

/// Returns `HOST:PORT`, with brackets around IPv6 addresses.
pub(crate) fn socket_address(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Returns a path, or a URL, without its query, which may contain secrets.
pub(crate) fn path_without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

impl Security {
    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => Some(Self::Plain),
            "wss" | "https" => Some(Self::Tls),
            _ => None,
        }
    }

    /// The security of a URL without a scheme: encrypted, unless the connection does not leave this machine.
    fn default_for(host: &str) -> Self {
        let is_loopback = match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_name) => host.eq_ignore_ascii_case("localhost"),
        };
        if is_loopback { Self::Plain } else { Self::Tls }
    }

    const fn default_port(self) -> u16 {
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
    /// Writes the URL without its query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = (self.security.scheme(), self.path_without_query());
        write!(f, "{scheme}://{}{path}", self.authority())
    }
}

impl fmt::Debug for Endpoint {
    /// Writes the URL without its query, as [`fmt::Display`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        Self::with_default_path(url, DEFAULT_PATH)
    }
}

impl Endpoint {
    /// Parses a URL; a URL without a path gets this one, which starts with a slash. Clients use
    /// [`Dialect::DEFAULT_PATH`](crate::dialect::Dialect::DEFAULT_PATH).
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn with_default_path(url: &str, default_path: &str) -> Result<Self, EndpointError> {
        if url.len() > URL_BYTES_MAX {
            return Err(EndpointError::TooLong);
        }
        if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(EndpointError::Character);
        }
        // The error of a URL with credentials could show a part of the password.
        parse(url, default_path).map_err(|error| {
            if url.contains('@') {
                EndpointError::Credentials
            } else {
                error
            }
        })
    }
}

/// Parses a URL without white space and control characters.
fn parse(url: &str, default_path: &str) -> Result<Endpoint, EndpointError> {
    let (scheme, rest) = split_scheme(url)?;
    // A fragment is only for browsers and is not sent.
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(EndpointError::Credentials);
    }
    let (host, port) = split_port(authority)?;
    if host.is_empty() {
        let url = path_without_query(url).to_owned();
        return Err(EndpointError::HostMissing { url });
    }
    let security = scheme.unwrap_or_else(|| Security::default_for(host));
    Ok(Endpoint {
        security,
        host: host.to_owned(),
        port: port.unwrap_or_else(|| security.default_port()),
        path: complete_path(path, default_path),
    })
}

/// Returns the security of the scheme, if there is one, and the rest of the URL.
fn split_scheme(url: &str) -> Result<(Option<Security>, &str), EndpointError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        let end = url.find([':', '/']).unwrap_or(url.len());
        let (name, rest) = url.split_at(end);
        let is_scheme = Security::of_scheme(name).is_some();
        if is_scheme && (rest.starts_with('/') || rest.starts_with(":/")) {
            let url = path_without_query(url).to_owned();
            return Err(EndpointError::Separator { url });
        }
        return Ok((None, url));
    };
    match Security::of_scheme(scheme) {
        Some(security) => Ok((Some(security), rest)),
        None => Err(EndpointError::Scheme {
            scheme: scheme.to_owned(),
        }),
    }
}

/// Returns the host without brackets, and the port if there is one.
pub(crate) fn split_port(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    let invalid = |host: &str| EndpointError::Host {
        host: host.to_owned(),
    };
    if let Some(inner) = authority.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or_else(|| invalid(authority))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(invalid(host));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(EndpointError::Port {
                port: after.to_owned(),
            }),
        };
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => return Err(invalid(authority)),
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if host.bytes().all(is_valid) {
        Ok((host, port))
    } else {
        Err(invalid(host))
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

fn complete_path(path: &str, default_path: &str) -> String {
    match path {
        "" | "/" => default_path.to_owned(),
        query if query.starts_with('?') => format!("{default_path}{query}"),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_of_a_url_get_defaults() {
        for (url, host, port, path) in [
            ("ws://127.0.0.1:8000", "127.0.0.1", 8000, DEFAULT_PATH),
            ("http://127.0.0.1:8000/", "127.0.0.1", 8000, DEFAULT_PATH),
            ("localhost:9000/other?x=1", "localhost", 9000, "/other?x=1"),
            ("ws://[::1]:8000#top", "::1", 8000, DEFAULT_PATH),
            ("WSS://example.test", "example.test", 443, DEFAULT_PATH),
            ("example.test", "example.test", 443, DEFAULT_PATH),
            ("wss:8000", "wss", 8000, DEFAULT_PATH),
        ] {
            let endpoint: Endpoint = url.parse().unwrap();

            let parts = (endpoint.host(), endpoint.port(), endpoint.path());
            assert_eq!(parts, (host, port, path), "{url}");
        }
    }

    #[test]
    fn a_url_without_a_scheme_is_encrypted_unless_it_is_of_this_machine() {
        for (url, security) in [
            ("example.test:8000", Security::Tls),
            ("192.0.2.1", Security::Tls),
            ("localhost.example.test", Security::Tls),
            ("Localhost", Security::Plain),
            ("127.0.0.2:8000", Security::Plain),
            ("[::1]", Security::Plain),
            ("ws://example.test", Security::Plain),
        ] {
            let endpoint: Endpoint = url.parse().unwrap();

            assert_eq!(endpoint.security(), security, "{url}");
        }
    }

    #[test]
    fn a_query_without_a_path_is_kept_and_not_displayed() {
        let endpoint: Endpoint = "wss://example.test?token=secret".parse().unwrap();

        assert_eq!(endpoint.path(), "/connection/websocket?token=secret");
        assert_eq!(
            endpoint.to_string(),
            "wss://example.test/connection/websocket"
        );
        assert!(!format!("{endpoint:?}").contains("secret"));
    }

    #[test]
    fn invalid_endpoints_are_rejected_with_a_reason() {
        for (url, expected) in [
            ("ftp://127.0.0.1", "unsupported URL scheme `ftp`"),
            ("", "missing host"),
            ("ws:///path", "missing host"),
            ("ws://host:0", "invalid port `0`"),
            ("ws://host:http", "invalid port `http`"),
            ("ws://[::1]8000", "invalid port `8000`"),
            ("ws//localhost:1", "the scheme must be followed by ://"),
            ("wss:/localhost?a=b", "invalid URL `wss:/localhost`"),
            ("ws://[::1", "invalid host `[::1`"),
            ("ws://[localhost]", "invalid host `localhost`"),
            ("ws://::1", "invalid host `::1`"),
            ("ws://b\u{fc}cher.example", "xn--"),
            ("ws://a%20b", "invalid host `a%20b`"),
            (
                "ws://me:secret@host",
                "credentials in the URL are not supported",
            ),
            ("ws://me:secret/@host", "credentials in the URL"),
            ("ws:/me:secret@host", "credentials in the URL"),
            ("me:secret@ws://host", "credentials in the URL"),
            ("ws://host/a b", "percent-encoded"),
            ("ws://host/\r\nX: y", "percent-encoded"),
        ] {
            let error = url.parse::<Endpoint>().unwrap_err().to_string();

            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_host_field_has_brackets_and_no_default_port() {
        for (url, authority) in [
            ("ws://[::1]:8000", "[::1]:8000"),
            ("wss://example.test:443", "example.test"),
            ("ws://example.test:443", "example.test:443"),
        ] {
            let endpoint: Endpoint = url.parse().unwrap();

            assert_eq!(endpoint.authority(), authority);
        }
        let default_port: Endpoint = "wss://[::1]".parse().unwrap();
        assert_eq!(default_port.socket_address(), "[::1]:443");
    }
}
