//! TLS by rustls: the certificates that the system trusts, those that the application adds, and nothing that could turn
//! the check off.

use std::io;
use std::sync::{Arc, LazyLock, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{CertificateProblem, Failure};
use crate::transport::stream::Stream;

/// What all clients share that trust the system alone: its certificates take a while to read, and room.
static OF_SYSTEM: LazyLock<Arc<OnceLock<Arc<ClientConfig>>>> = LazyLock::new(Arc::default);

/// Sets TLS up once, when it is first needed.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    /// Authorities beside those of the system.
    authorities: Vec<CertificateDer<'static>>,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            authorities: Vec::new(),
            config: Arc::clone(&OF_SYSTEM),
        }
    }
}

impl Tls {
    /// Trusts these authorities beside those of the system.
    pub(super) fn trusting(authorities: Vec<CertificateDer<'static>>) -> Self {
        Self {
            authorities,
            config: Arc::default(),
        }
    }

    /// Does the handshake; the certificate must be valid for this host.
    pub(super) async fn secure(&self, host: &str, socket: TcpStream) -> Result<Stream, Failure> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_not_a_name| Failure::TlsName(host.to_owned()))?;
        let stream = TlsConnector::from(self.config()?)
            .connect(name, socket)
            .await
            .map_err(failure)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config =
            set_up(&self.authorities).map_err(|error| Failure::TlsSetup(error.to_string()))?;
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

/// The certificates of a PEM file; `None` when there is none in it, or one that is none.
pub(super) fn authorities(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

fn set_up(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(authorities.iter().cloned(), Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // The name of rustls for every verifier that is not its own; this one checks all that its own does.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    // A proxy that could speak HTTP/2 must not choose it: the upgrade is one of HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// What went wrong, in words for people where it is the certificate.
fn failure(error: io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Failure::Certificate(problem(why)),
        Some(_) | None => Failure::Io(error),
    }
}

fn problem(why: &rustls::CertificateError) -> CertificateProblem {
    use rustls::CertificateError as Why;
    if matches!(why, Why::Expired | Why::ExpiredContext { .. }) {
        CertificateProblem::Expired
    } else if matches!(why, Why::NotValidYet | Why::NotValidYetContext { .. }) {
        CertificateProblem::NotYetValid
    } else if matches!(
        why,
        Why::NotValidForName | Why::NotValidForNameContext { .. }
    ) {
        CertificateProblem::OtherName
    } else if matches!(why, Why::UnknownIssuer | Why::BadSignature) {
        // An authority that only bears the name of a trusted one signs with another key.
        CertificateProblem::Untrusted
    } else {
        CertificateProblem::Other(why.to_string())
    }
}
