//! Setters of the servers, and of how they are reached.

use steadfast_core::dialect::Dialect;
use steadfast_core::policy::{EndpointLogs, EndpointsSettings};
use steadfast_core::secret::Secret;

use super::Builder;
use crate::connector::ReadinessCheck;
use crate::endpoint::Endpoint;
use crate::error::BuildError;

impl<D: Dialect> Builder<D> {
    /// Adds a fallback server, which is tried when the servers before it are not available: its priority is the next
    /// after that of the server that was added last.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn fallback_endpoint(self, url: &str) -> Result<Self, BuildError> {
        let last = self.settings.link.priorities.last();
        let priority = last.map_or(0, |last| last.saturating_add(1));
        self.endpoint(url, priority)
    }

    /// Adds a server with this priority. That of [`Self::new`] has the priority 0, and the server with the lowest number
    /// is preferred. Clients are distributed at random over servers of equal priority.
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn endpoint(mut self, url: &str, priority: u16) -> Result<Self, BuildError> {
        self.endpoints
            .push(Endpoint::with_default_path(url, D::DEFAULT_PATH)?);
        self.settings.link.priorities.push(priority);
        Ok(self)
    }

    /// Sets failover and failback between several servers; [`crate::defaults::ENDPOINTS`] by default, whose setters change
    /// it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast::{FailbackSettings, centrifuge::Client, defaults};
    ///
    /// # fn main() -> Result<(), steadfast::error::BuildError> {
    /// // Returns to the preferred server 5 to 15 min after it failed, without an interruption.
    /// let failback = FailbackSettings::new(Duration::from_mins(5)).jitter(Duration::from_mins(10));
    /// let builder = Client::builder("wss://main.example")?
    ///     .fallback_endpoint("wss://backup.example")?
    ///     .endpoints(defaults::ENDPOINTS.failback(failback));
    /// # builder.build()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn endpoints(mut self, endpoints: EndpointsSettings) -> Self {
        self.settings.link.endpoints = endpoints;
        self
    }

    /// Sets whether the servers serve the same log; [`EndpointLogs::Independent`] by default, so that no publication is
    /// stored twice.
    #[must_use]
    pub const fn endpoint_logs(mut self, logs: EndpointLogs) -> Self {
        self.settings.endpoint_logs = logs;
        self
    }

    /// Adds a header field to the HTTP upgrade request, for example an authorisation.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let value = Secret::new(value.to_owned());
        self.header_fields.push((name.to_owned(), value));
        self
    }

    /// Offers a subprotocol in the HTTP upgrade request (`Sec-WebSocket-Protocol`); may be called more than once, the
    /// preferred one first. A server that selects none of them, or one that was not offered, is handled as RFC 6455
    /// requires: the first is accepted, the second is a failed attempt. None is offered by default.
    #[must_use]
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.subprotocols.push(name.to_owned());
        self
    }

    /// Connects to all endpoints through the HTTP proxy at `http://[USER[:PASSWORD]@]HOST:PORT`, with user name and
    /// password percent-encoded; directly by default. The proxy must permit `CONNECT` to the endpoints' ports; it resolves
    /// their names. TLS is end to end, between client and server. Proxies that are reached by TLS or SOCKS are not
    /// supported.
    ///
    /// The client does not read environment variables such as `HTTPS_PROXY`: an application that honours them passes the
    /// URL. Neither debug output nor errors show user name and password.
    ///
    /// ```
    /// # fn main() -> Result<(), steadfast::error::BuildError> {
    /// let builder = steadfast::centrifuge::Client::builder("wss://example.test")?
    ///     .proxy("http://user:p%40ssword@proxy.example.test:3128")?;
    /// # builder.build()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The URL is invalid.
    pub fn proxy(mut self, url: &str) -> Result<Self, BuildError> {
        self.proxy = Some(url.parse()?);
        Ok(self)
    }

    /// Sets a check whether the server is ready, before first connections; no check by default.
    #[must_use]
    pub fn readiness(mut self, check: ReadinessCheck) -> Self {
        self.readiness = Some(check);
        self
    }

    /// Trusts the certificates in this PEM text in addition to those of the system: as authorities that issue servers'
    /// certificates, and as a server's own certificate if it is exactly one of them, as with `openssl req -x509`. The
    /// host name and the period of validity are verified in both cases. May be called more than once.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn add_root_certificate(mut self, pem: &[u8]) -> Self {
        self.root_certificates.extend_from_slice(pem);
        self.root_certificates.push(b'\n');
        self
    }
}
