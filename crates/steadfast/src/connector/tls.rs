//! TLS by rustls: the certificates that the system trusts, and nothing that could turn the check off.

use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::transport::stream::Stream;

/// Sets TLS up once, when it is first needed: reading the system's certificates takes a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Tls {
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// Does the handshake; the certificate must be valid for this host.
    pub(super) async fn secure(&self, host: &str, socket: TcpStream) -> Result<Stream, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_not_a_name| Failure::TlsName(host.to_owned()))?;
        let stream = TlsConnector::from(self.config()?)
            .connect(name, socket)
            .await
            .map_err(Failure::Io)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let mut config = ClientConfig::with_platform_verifier()
            .map_err(|error| Failure::TlsSetup(error.to_string()))?;
        // A proxy that could speak HTTP/2 must not choose it: the upgrade is one of HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}
