//! TLS of the server: a certificate that it makes for itself, or one from files.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

/// The length of a line in a PEM file.
const PEM_LINE: usize = 64;

/// A certificate with its key, with which a [`Server`](super::Server) requires TLS.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: CertificateDer<'static>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificate: {reason}")]
pub struct TlsError {
    /// What is wrong with it.
    pub reason: String,
}

impl Tls {
    /// Makes a certificate that is its own authority, for `localhost`, the loopback addresses and these addresses.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn self_signed(addresses: &[IpAddr]) -> Result<Self, TlsError> {
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        for address in addresses.iter().map(IpAddr::to_string) {
            if !names.contains(&address) {
                names.push(address);
            }
        }
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| unusable(&error))?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        Self::new(vec![made.cert.der().clone()], key.into())
    }

    /// Uses a chain of certificates, the server's own first, and its key, both as PEM.
    ///
    /// # Errors
    ///
    /// When one of them is no PEM, or when they do not fit.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificates).collect();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(&error))?;
        Self::new(chain.map_err(|error| unusable(&error))?, key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let certificate = chain.first().cloned();
        let certificate = certificate.ok_or_else(|| unusable(&"there is none"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| unusable(&error))?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
        })
    }

    /// Returns the server's own certificate as PEM, which a client can trust. It has no key.
    pub fn certificate_pem(&self) -> String {
        let text = STANDARD.encode(&self.certificate);
        let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
        for (at, character) in text.chars().enumerate() {
            if at > 0 && at.is_multiple_of(PEM_LINE) {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }

    /// The SHA-256 of the certificate, which is its channel binding unless it is signed with SHA-384 or SHA-512.
    pub(super) fn certificate_hash(&self) -> Vec<u8> {
        digest::digest(&digest::SHA256, &self.certificate)
            .as_ref()
            .to_vec()
    }

    pub(super) const fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn unusable(reason: &impl ToString) -> TlsError {
    TlsError {
        reason: reason.to_string(),
    }
}
