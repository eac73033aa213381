//! The timeout of each stage of an attempt.

use std::time::Duration;

use steadfast_core::event::DialStage;

/// The timeout of each stage of an attempt; each is above zero. The attempt as a whole is limited by
/// [`crate::Builder::connect_timeout`].
///
/// ```
/// use std::time::Duration;
/// use steadfast::StageTimeouts;
///
/// let timeouts = StageTimeouts::new(Duration::from_secs(3)).secure(Duration::from_secs(6));
/// assert_eq!(timeouts.upgrade, Duration::from_secs(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageTimeouts {
    /// Timeout of the name resolution.
    pub resolve: Duration,
    /// Timeout of the TCP connection, over all addresses of the name.
    pub connect: Duration,
    /// Timeout of the proxy's response, if there is a proxy.
    pub proxy: Duration,
    /// Timeout of the TLS handshake.
    pub secure: Duration,
    /// Timeout of the response to the readiness check, if there is one.
    pub readiness: Duration,
    /// Timeout of the HTTP upgrade.
    pub upgrade: Duration,
}

impl StageTimeouts {
    /// 5 s each: half of the default timeout of an attempt, so that the error names the stage that timed out.
    pub const DEFAULT: Self = Self::new(Duration::from_secs(5));

    /// The same timeout for each stage.
    pub const fn new(each: Duration) -> Self {
        Self {
            resolve: each,
            connect: each,
            proxy: each,
            secure: each,
            readiness: each,
            upgrade: each,
        }
    }

    /// Sets the timeout of the name resolution.
    #[must_use]
    pub const fn resolve(mut self, timeout: Duration) -> Self {
        self.resolve = timeout;
        self
    }

    /// Sets the timeout of the TCP connection.
    #[must_use]
    pub const fn connect(mut self, timeout: Duration) -> Self {
        self.connect = timeout;
        self
    }

    /// Sets the timeout of the proxy's response.
    #[must_use]
    pub const fn proxy(mut self, timeout: Duration) -> Self {
        self.proxy = timeout;
        self
    }

    /// Sets the timeout of the TLS handshake.
    #[must_use]
    pub const fn secure(mut self, timeout: Duration) -> Self {
        self.secure = timeout;
        self
    }

    /// Sets the timeout of the response to the readiness check.
    #[must_use]
    pub const fn readiness(mut self, timeout: Duration) -> Self {
        self.readiness = timeout;
        self
    }

    /// Sets the timeout of the HTTP upgrade.
    #[must_use]
    pub const fn upgrade(mut self, timeout: Duration) -> Self {
        self.upgrade = timeout;
        self
    }

    /// The first stage whose timeout is zero, so that no attempt could succeed.
    pub(crate) fn zero(&self) -> Option<DialStage> {
        let stages = [
            (DialStage::Resolve, self.resolve),
            (DialStage::Connect, self.connect),
            (DialStage::Proxy, self.proxy),
            (DialStage::Secure, self.secure),
            (DialStage::Readiness, self.readiness),
            (DialStage::Upgrade, self.upgrade),
        ];
        let zero = stages.into_iter().find(|(_, timeout)| timeout.is_zero())?;
        Some(zero.0)
    }
}

impl Default for StageTimeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}
