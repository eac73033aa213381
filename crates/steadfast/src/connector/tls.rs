//! TLS with rustls: trusts the root certificates of the system and those that the application adds. Certificate
//! validation cannot be disabled.

mod verifier;

use std::io;
use std::sync::{Arc, LazyLock, OnceLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, InvalidMessage};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use self::verifier::{AuthorityAsServer, TrustedOrIssued};
use super::{CertificateProblem, DialErrorReason};
use crate::transport::stream::Stream;

/// Configuration that all clients without additional root certificates share: reading the system's certificates takes
/// time and memory.
static SYSTEM_ROOTS_CONFIG: LazyLock<Arc<OnceLock<Arc<ClientConfig>>>> =
    LazyLock::new(Arc::default);

/// TLS configuration that is built on first use.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// Root certificates in addition to those of the system.
    root_certificates: Vec<CertificateDer<'static>>,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            root_certificates: Vec::new(),
            config: Arc::clone(&SYSTEM_ROOTS_CONFIG),
        }
    }
}

impl Tls {
    /// Trusts these certificates in addition to those of the system, as authorities and as servers' own.
    pub(super) fn with_root_certificates(root_certificates: Vec<CertificateDer<'static>>) -> Self {
        Self {
            root_certificates,
            config: Arc::default(),
        }
    }

    /// Performs the handshake; the certificate must be valid for this host.
    pub(super) async fn secure(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> Result<Stream, DialErrorReason> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_not_a_name| DialErrorReason::TlsName(host.to_owned()))?;
        let stream = TlsConnector::from(self.config()?)
            .connect(name, socket)
            .await
            .map_err(handshake_error)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, DialErrorReason> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = build_config(&self.root_certificates)
            .map_err(|error| DialErrorReason::TlsSetup(error.to_string()))?;
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

/// Parses the certificates of a PEM file; `None` when the file contains no certificate, or an invalid one.
pub(super) fn parse_certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

fn build_config(
    root_certificates: &[CertificateDer<'static>],
) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = TrustedOrIssued::new(root_certificates, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // rustls calls every custom verifier dangerous; the header of this one says what it verifies.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // A proxy that supports HTTP/2 must not select it: the upgrade requires HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Converts a handshake error; frequent causes get a readable reason.
fn handshake_error(error: io::Error) -> DialErrorReason {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            DialErrorReason::Certificate(certificate_problem(why))
        }
        // The first byte of the response is not that of a TLS record, for example the text of an HTTP error.
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            DialErrorReason::TlsUnsupported
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            DialErrorReason::TlsRejected(format!("{alert:?}"))
        }
        Some(other) => DialErrorReason::TlsFailed(other.to_string()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => DialErrorReason::TlsClosed,
        None => DialErrorReason::Io(error),
    }
}

fn certificate_problem(why: &rustls::CertificateError) -> CertificateProblem {
    use rustls::CertificateError as Why;
    if matches!(why, Why::Expired | Why::ExpiredContext { .. }) {
        CertificateProblem::Expired
    } else if matches!(why, Why::NotValidYet | Why::NotValidYetContext { .. }) {
        CertificateProblem::NotYetValid
    } else if matches!(
        why,
        Why::NotValidForName | Why::NotValidForNameContext { .. }
    ) {
        CertificateProblem::NameMismatch
    } else if matches!(why, Why::UnknownIssuer | Why::BadSignature) {
        // An authority that has the name of a trusted authority but another key causes an invalid signature.
        CertificateProblem::Untrusted
    } else if let Why::Other(other) = why
        && other.0.is::<AuthorityAsServer>()
    {
        CertificateProblem::AuthorityAsServer
    } else {
        CertificateProblem::Other(why.to_string())
    }
}
