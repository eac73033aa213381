//! Verification of a server's certificate: as webpki does it, except for a certificate that is itself trusted.
//!
//! `openssl req -x509` and many appliances create one certificate that is an authority and the server's own at once.
//! webpki rejects an authority as a server's certificate, even if exactly this certificate is trusted. OpenSSL accepts
//! it, and so does this verifier: the application has named these bytes, so no chain has to be verified. The host name,
//! the period of validity and, in the handshake, the possession of the key are still verified.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_platform_verifier::Verifier;
use steadfast_machine::convert;
use thiserror::Error;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The server's certificate is that of an authority, which the application has not added itself.
#[derive(Debug, Error)]
#[error("the certificate of an authority is used as a server's")]
pub(super) struct AuthorityAsServer;

/// Trusts the roots of the system and those that the application adds, and the added certificates themselves.
#[derive(Debug)]
pub(super) struct TrustedOrIssued {
    added: Vec<CertificateDer<'static>>,
    chains: Verifier,
}

impl TrustedOrIssued {
    pub(super) fn new(
        added: &[CertificateDer<'static>],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            added: added.to_vec(),
            chains: Verifier::new_with_extra_roots(added.iter().cloned(), provider)?,
        })
    }
}

impl ServerCertVerifier for TrustedOrIssued {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.added.iter().any(|added| added == end_entity) {
            return verify_trusted(end_entity, server_name, now);
        }
        let verified = self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if matches!(
            &verified,
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(
                _
            )))
        ) && is_authority(end_entity)
        {
            return Err(CertificateError::Other(OtherError(Arc::new(AuthorityAsServer))).into());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn verify_trusted(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_malformed| CertificateError::BadEncoding)?;
    let now: i64 = convert::saturating(now.as_secs());
    if now < parsed.validity().not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > parsed.validity().not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name)?;
    Ok(ServerCertVerified::assertion())
}

fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.is_ca())
}
