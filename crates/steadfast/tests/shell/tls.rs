//! Tests of TLS: a private certificate authority, and invalid certificates.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use steadfast::centrifuge::Client;
use steadfast::connector::{
    CertificateProblem, Connector, DialError, DialErrorKind, DialErrorReason, DialStage,
    StageTimeouts,
};
use steadfast::{DisconnectCause, SessionEvent, SessionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::peer::upgrade;

/// A certificate authority that only the test trusts.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate with its private key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = pem(params.self_signed(&key).unwrap().der());
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// Issues a certificate for this host, which is valid from one year to another.
    fn issue(&self, host: &str, (from, to): (i32, i32)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

/// One certificate that is an authority and the server's own, as `openssl req -x509` creates it.
fn authority_as_server(host: &str, (from, to): (i32, i32)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    Identity {
        certificate: params.self_signed(&key).unwrap().der().clone(),
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

const VALID: (i32, i32) = (2020, 4000);

/// Starts a server with this certificate, which accepts every upgrade and then sends nothing.
async fn serve(identity: Identity) -> SocketAddr {
    let key = aws_lc_rs::sign::any_supported_type(&identity.key).unwrap();
    // Does not check that the key belongs to the certificate: that is up to the client.
    let certified = CertifiedKey::new(vec![identity.certificate], key);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust the certificate aborts the handshake.
                let Ok(mut stream) = acceptor.accept(socket).await else {
                    return;
                };
                if upgrade(&mut stream).await.is_none() {
                    return;
                }
                // Until the client disconnects.
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    address
}

async fn dial(address: SocketAddr, trusted: Option<&Authority>) -> Result<(), DialError> {
    dial_with(address, trusted.map(|authority| authority.pem.as_str())).await
}

async fn dial_with(address: SocketAddr, trusted: Option<&str>) -> Result<(), DialError> {
    let mut connector = Connector::new(StageTimeouts::DEFAULT, Vec::new(), 1 << 20);
    if let Some(pem) = trusted {
        connector = connector
            .with_root_certificates(pem.as_bytes())
            .expect("PEM");
    }
    let endpoint = format!("wss://{address}").parse().unwrap();
    connector.dial(&endpoint).await.map(drop)
}

/// Returns the error of a client that trusts the authority but rejects this certificate.
async fn rejection(authority: &Authority, host: &str, years: (i32, i32)) -> DialError {
    let address = serve(authority.issue(host, years)).await;
    let error = dial(address, Some(authority)).await.expect_err("rejected");
    assert_eq!(error.stage(), DialStage::Secure);
    error
}

fn certificate_problem(error: &DialError) -> &CertificateProblem {
    let DialErrorReason::Certificate(problem) = error.reason() else {
        panic!("{error:?}");
    };
    problem
}

#[tokio::test]
async fn a_private_certificate_authority_is_trusted_when_it_is_added() {
    let authority = Authority::new();
    let address = serve(authority.issue("127.0.0.1", VALID)).await;

    dial(address, Some(&authority)).await.expect("trusted");
    let error = dial(address, None)
        .await
        .expect_err("an untrusted authority");
    let with_other_authority = dial(address, Some(&Authority::new())).await;

    assert_eq!(certificate_problem(&error), &CertificateProblem::Untrusted);
    let error = with_other_authority.expect_err("an untrusted authority");
    assert_eq!(certificate_problem(&error), &CertificateProblem::Untrusted);
}

#[tokio::test]
async fn an_authority_as_the_servers_own_certificate_is_trusted_only_when_it_is_added() {
    let identity = authority_as_server("127.0.0.1", VALID);
    let added = pem(&identity.certificate);
    let address = serve(identity).await;

    dial_with(address, Some(&added)).await.expect("trusted");
    let unknown = dial_with(address, None).await.expect_err("not added");

    assert_eq!(
        certificate_problem(&unknown),
        &CertificateProblem::AuthorityAsServer
    );
    let text = unknown.reason().to_string();
    assert!(text.contains("add exactly this certificate"), "{text}");
}

#[tokio::test]
async fn a_certificate_that_is_itself_trusted_must_be_valid_for_the_host_and_now() {
    for (host, years, expected) in [
        ("other.example", VALID, CertificateProblem::NameMismatch),
        ("127.0.0.1", (2020, 2021), CertificateProblem::Expired),
        ("127.0.0.1", (3000, 4000), CertificateProblem::NotYetValid),
    ] {
        let identity = authority_as_server(host, years);
        let added = pem(&identity.certificate);
        let address = serve(identity).await;

        let error = dial_with(address, Some(&added)).await.expect_err("invalid");

        assert_eq!(certificate_problem(&error), &expected);
    }
}

#[tokio::test]
async fn a_trusted_certificate_without_its_key_is_rejected() {
    let trusted = authority_as_server("127.0.0.1", VALID);
    let other = authority_as_server("127.0.0.1", VALID);
    let address = serve(Identity {
        certificate: trusted.certificate.clone(),
        key: other.key,
    });

    let error = dial_with(address.await, Some(&pem(&trusted.certificate))).await;

    assert!(error.is_err(), "the server does not possess the key");
}

#[tokio::test]
async fn an_invalid_certificate_is_rejected_with_a_readable_reason() {
    let authority = Authority::new();
    for (host, years, expected, text) in [
        (
            "other.example",
            VALID,
            CertificateProblem::NameMismatch,
            "not valid for this host name",
        ),
        (
            "127.0.0.1",
            (2020, 2021),
            CertificateProblem::Expired,
            "has expired",
        ),
        (
            "127.0.0.1",
            (3000, 4000),
            CertificateProblem::NotYetValid,
            "not valid yet",
        ),
    ] {
        let error = rejection(&authority, host, years).await;

        assert_eq!(certificate_problem(&error), &expected);
        assert!(error.reason().to_string().contains(text), "{error:?}");
        // The certificate can be renewed at the server, so the client keeps retrying.
        assert!(!error.is_permanent() && !error.is_local());
    }
}

#[tokio::test]
async fn a_session_reports_an_invalid_certificate_and_keeps_retrying() {
    let authority = Authority::new();
    let address = serve(authority.issue("127.0.0.1", (2020, 2021))).await;
    let (client, driver) = Client::builder(&format!("wss://{address}"))
        .unwrap()
        .add_root_certificate(authority.pem.as_bytes())
        .build()
        .unwrap();
    let mut events = client.events();
    tokio::spawn(driver);

    let cause = loop {
        if let SessionEvent::Waiting { cause, attempt, .. } = events.recv().await.unwrap()
            && attempt > 2
        {
            break cause;
        }
    };

    let DisconnectCause::Dial { stage, kind, text } = cause else {
        panic!("{cause:?}");
    };
    assert_eq!(
        (stage, kind),
        (DialStage::Secure, DialErrorKind::Certificate)
    );
    assert_eq!(
        text,
        format!(
            "TLS handshake with {address} failed: the server's certificate has expired, or this machine's clock is wrong"
        )
    );
    assert_eq!(client.state().borrow().state, SessionState::Connecting);
}

#[tokio::test]
async fn a_server_that_expects_tls_and_one_that_does_not_are_reported_with_the_scheme_to_use() {
    let tls = serve(Authority::new().issue("127.0.0.1", (2020, 2021))).await;
    let plain = serve_http().await;

    let without_tls = dial_url(&format!("ws://{tls}")).await.unwrap_err();
    let with_tls = dial_url(&format!("wss://{plain}")).await.unwrap_err();

    assert_eq!(
        (without_tls.to_string(), without_tls.reason().to_string()),
        (
            format!("WebSocket upgrade with {tls} failed"),
            "the server speaks TLS on this port: use wss://".to_owned()
        )
    );
    assert_eq!(
        (with_tls.to_string(), with_tls.reason().to_string()),
        (
            format!("TLS handshake with {plain} failed"),
            "the server does not speak TLS on this port: use ws://".to_owned()
        )
    );
}

/// Replies to whatever one client sends with an HTTP error.
async fn serve_http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    });
    address
}

async fn dial_url(url: &str) -> Result<(), DialError> {
    let connector = Connector::new(StageTimeouts::DEFAULT, Vec::new(), 1 << 20);
    connector.dial(&url.parse().unwrap()).await.map(drop)
}

#[tokio::test]
async fn an_invalid_root_certificate_is_rejected_when_the_client_is_built() {
    let built = Client::builder("wss://127.0.0.1:1")
        .unwrap()
        .add_root_certificate(b"nothing")
        .build();

    let error = built.map(drop).expect_err("rejected").to_string();
    assert!(
        error.contains("no certificate in PEM format, or an invalid one"),
        "{error}"
    );
}
