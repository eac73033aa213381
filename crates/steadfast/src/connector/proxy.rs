//! An HTTP proxy, which opens a tunnel to the server (CONNECT, RFC 9110, section 9.3.6), also for `ws://`.
//!
//! Responsible for the URL of the proxy and for its response. The name of the server is resolved by the proxy. The
//! library does not read the environment variables that name proxies: that is up to the application.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::Response;
use steadfast_core::secret::Secret;
use thiserror::Error;
use tokio::net::TcpStream;

use super::DialErrorReason;
use super::response::{exchange, retry_after};
use crate::endpoint::{self, Endpoint, EndpointError, URL_BYTES_MAX};

/// The address of a proxy, and the credentials for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proxy {
    host: String,
    port: u16,
    /// User name and password in the form of `Proxy-Authorization: Basic`.
    credentials: Option<Secret>,
}

/// Why the URL of a proxy is invalid. The message contains neither user name nor password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The scheme is not supported.
    #[error("unsupported scheme: must be http://")]
    Scheme,
    /// The host or the port is invalid.
    #[error(transparent)]
    Address(EndpointError),
    /// The host is empty.
    #[error("missing host: for example http://proxy.example:3128")]
    HostMissing,
    /// The URL contains no port.
    #[error("missing port: for example http://proxy.example:3128")]
    PortMissing,
    /// User name or password cannot be sent.
    #[error(
        "invalid user name or password: special characters must be percent-encoded, and neither a control character nor a colon in the user name can be sent"
    )]
    Credentials,
    /// The URL has a path or a query, which a proxy does not have.
    #[error("unexpected text after the port")]
    Path,
    /// The URL is longer than [`URL_BYTES_MAX`].
    #[error("longer than {URL_BYTES_MAX} bytes")]
    TooLong,
}

impl Proxy {
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Returns `HOST:PORT`, with brackets around IPv6 addresses.
    pub(super) fn socket_address(&self) -> String {
        endpoint::socket_address(&self.host, self.port)
    }

    /// Requests a tunnel to this server on a connection to the proxy.
    pub(super) async fn open_tunnel(
        &self,
        socket: &mut TcpStream,
        endpoint: &Endpoint,
    ) -> Result<(), DialErrorReason> {
        let request = self.request(endpoint);
        let evaluate = |response: &Response<'_, '_>| self.evaluate(response, endpoint);
        let outcome = exchange(socket, request.as_bytes(), evaluate).await;
        match outcome {
            // The peer of a client sends nothing before the request or the TLS handshake.
            Ok(((), unread)) if !unread.is_empty() => Err(DialErrorReason::DataInTunnel),
            Ok(_) => Ok(()),
            Err(DialErrorReason::TlsRequired) => Err(DialErrorReason::ProxyTls),
            Err(reason) => Err(reason),
        }
    }

    fn request(&self, endpoint: &Endpoint) -> String {
        let target = endpoint.socket_address();
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(credentials) = &self.credentials {
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(credentials.expose());
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        request
    }

    fn evaluate(
        &self,
        response: &Response<'_, '_>,
        endpoint: &Endpoint,
    ) -> Result<(), DialErrorReason> {
        match response.code.unwrap_or(0) {
            200..=299 => Ok(()),
            407 => Err(DialErrorReason::ProxyCredentials {
                were_sent: self.credentials.is_some(),
            }),
            status => Err(DialErrorReason::ProxyRejected {
                target: endpoint.socket_address(),
                status,
                retry_after: retry_after(response),
            }),
        }
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Parses `[http://][USER[:PASSWORD]@]HOST:PORT`; user name and password are percent-encoded.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if url.len() > URL_BYTES_MAX {
            return Err(ProxyError::TooLong);
        }
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(ProxyError::Scheme),
            None => url,
        };
        // The last `@` ends the password also if other special characters of it are not encoded: otherwise a part of the
        // password would be reported as an invalid host.
        let (user_info, address) = match rest.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, rest),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains(['/', '?', '#']) {
            return Err(ProxyError::Path);
        }
        let (host, port) = endpoint::split_port(address).map_err(ProxyError::Address)?;
        if host.is_empty() {
            return Err(ProxyError::HostMissing);
        }
        let user_info = user_info.filter(|it| !it.is_empty());
        Ok(Self {
            host: host.to_owned(),
            port: port.ok_or(ProxyError::PortMissing)?,
            credentials: user_info.map(credentials).transpose()?,
        })
    }
}

/// Returns the value of `Proxy-Authorization: Basic` for a user name and a password (RFC 7617).
fn credentials(user_info: &str) -> Result<Secret, ProxyError> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let user = percent_decoded(user)?;
    if user.contains(&b':') {
        return Err(ProxyError::Credentials);
    }
    let text = [user, percent_decoded(password)?].join(&b':');
    if text.iter().any(u8::is_ascii_control) {
        return Err(ProxyError::Credentials);
    }
    Ok(Secret::new(STANDARD.encode(text)))
}

fn percent_decoded(text: &str) -> Result<Vec<u8>, ProxyError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or(ProxyError::Credentials)?
            }
            b'/' | b'?' | b'#' | b'@' => return Err(ProxyError::Credentials),
            byte => byte,
        });
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_proxy_has_an_address_and_perhaps_credentials() {
        for (url, address, credentials) in [
            ("http://proxy.example:3128", "proxy.example:3128", None),
            ("proxy.example:3128/", "proxy.example:3128", None),
            ("HTTP://[::1]:8080", "[::1]:8080", None),
            ("http://@a:1", "a:1", None),
            ("http://me:se%63r%3At@a:1", "a:1", Some("me:secr:t")),
            ("http://me@a:1", "a:1", Some("me:")),
            ("http://m%C3%A9:a:b@a:1", "a:1", Some("m\u{e9}:a:b")),
        ] {
            let proxy: Proxy = url.parse().unwrap();

            assert_eq!(proxy.socket_address(), address, "{url}");
            let expected = credentials.map(|text| Secret::new(STANDARD.encode(text)));
            assert_eq!(proxy.credentials, expected, "{url}");
        }
    }

    #[test]
    fn invalid_urls_of_proxies_are_rejected_with_a_reason_and_without_the_password() {
        for (url, expected) in [
            ("socks5://me:SECRET@a:1", "unsupported scheme"),
            ("https://a:1", "must be http://"),
            ("http://me:SECRET@a", "missing port"),
            ("http://:3128", "missing host"),
            ("http://me:SECRET@a:b", "invalid port `b`"),
            ("http://me:SECRET@a b:1", "invalid host `a b`"),
            ("http://me:SECRET@a:1/path", "after the port"),
            ("http://me:1/SECRET@a:1", "percent-encoded"),
            ("http://me:SECRET%@a:1", "percent-encoded"),
            ("http://me:SECRET%4@a:1", "percent-encoded"),
            ("http://me:SECRET%zz@a:1", "percent-encoded"),
            ("http://me:SECRET%0d%0a@a:1", "control character"),
            ("http://m%3Ae:SECRET@a:1", "colon in the user name"),
        ] {
            let error = url.parse::<Proxy>().unwrap_err().to_string();

            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("SECRET"), "{error}");
        }
        let long = format!("http://{}:1", "a".repeat(URL_BYTES_MAX));
        assert_eq!(long.parse::<Proxy>(), Err(ProxyError::TooLong));
    }

    #[test]
    fn debug_output_does_not_show_the_credentials() {
        let proxy: Proxy = "http://me:SECRET@a:1".parse().unwrap();

        let shown = format!("{proxy:?}");

        let encoded = STANDARD.encode("me:SECRET");
        assert!(
            !shown.contains("SECRET") && !shown.contains(&encoded),
            "{shown}"
        );
    }
}
