//! The settings of a proxy before it starts.

use std::time::Duration;

use steadfast_faults::toxic::Toxic;

use crate::blocking::BlockingProxy;
use crate::error::Error;
use crate::proxy::{Owner, Proxy};

/// How long the dial of an upstream may take by default.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of a proxy; created by [`Proxy::to`].
#[derive(Clone, Debug)]
pub struct Builder {
    pub(crate) name: String,
    pub(crate) upstream: String,
    pub(crate) listen: String,
    pub(crate) seed: Option<u64>,
    pub(crate) toxics: Vec<Toxic>,
    pub(crate) is_enabled: bool,
    /// `None` is [`DIAL_TIMEOUT`].
    pub(crate) dial_timeout: Option<Duration>,
    pub(crate) connections_max: usize,
}

impl Builder {
    pub(crate) fn new(upstream: String) -> Self {
        Self {
            name: "proxy".to_owned(),
            upstream,
            listen: "127.0.0.1:0".to_owned(),
            seed: None,
            toxics: Vec::new(),
            is_enabled: true,
            dial_timeout: None,
            connections_max: 10_000,
        }
    }

    /// Sets the name, from which victims are drawn, among others; `proxy` by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the address to listen on; `127.0.0.1:0` by default, which is a free port.
    #[must_use]
    pub fn listen(mut self, listen: impl Into<String>) -> Self {
        self.listen = listen.into();
        self
    }

    /// Sets the seed from which victims and all random numbers are drawn; by default a new one for each proxy.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Adds a toxic, which is active before the first connection is accepted.
    #[must_use]
    pub fn toxic(mut self, toxic: Toxic) -> Self {
        self.toxics.push(toxic);
        self
    }

    /// Whether the proxy listens from its start; `true` by default.
    #[must_use]
    pub const fn enabled(mut self, is_enabled: bool) -> Self {
        self.is_enabled = is_enabled;
        self
    }

    /// Sets how long the dial of the upstream may take; 10 s by default.
    #[must_use]
    pub const fn dial_timeout(mut self, dial_timeout: Duration) -> Self {
        self.dial_timeout = Some(dial_timeout);
        self
    }

    /// Sets the greatest number of open connections; 10,000 by default. Further clients are reset at once.
    #[must_use]
    pub const fn connections_max(mut self, connections_max: usize) -> Self {
        self.connections_max = connections_max;
        self
    }

    /// Binds the port and starts the proxy on the present tokio runtime.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, the upstream is the proxy itself, or a toxic is invalid.
    pub async fn start(self) -> Result<Proxy, Error> {
        let owner = Owner::new(self.seed);
        Proxy::start(self, owner).await
    }

    /// Binds the port and starts the proxy on a thread of its own, for programs without a tokio runtime.
    ///
    /// # Errors
    ///
    /// As for [`Self::start`].
    pub fn start_blocking(self) -> Result<BlockingProxy, Error> {
        BlockingProxy::start(self)
    }
}
