//! Tests of TLS: a private certificate authority, and invalid certificates.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use steadfast::centrifuge::Client;
use steadfast::{DialErrorKind, DialStage, DisconnectCause, SessionEvent, SessionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::attempt::{Failure, first_attempt};
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

/// Starts a server with a valid certificate for this host. Returns its address, and the PEM text of its authority.
pub(crate) async fn serve_trusted(host: &str) -> (SocketAddr, String) {
    let authority = Authority::new();
    let address = serve(authority.issue(host, VALID)).await;
    (address, authority.pem)
}

/// Returns the error of the first attempt of a client that trusts this PEM text in addition to the system; `None` if the
/// attempt succeeds.
async fn dial(address: SocketAddr, trusted: Option<&str>) -> Option<Failure> {
    let builder = Client::builder(&format!("wss://{address}")).unwrap();
    first_attempt(match trusted {
        Some(pem) => builder.add_root_certificate(pem.as_bytes()),
        None => builder,
    })
    .await
    .err()
}

/// Asserts that the certificate is rejected for this reason.
fn assert_rejected(failure: Option<Failure>, expected: &str) {
    let failure = failure.expect("rejected");
    assert_eq!(
        (failure.stage, failure.kind),
        (DialStage::Secure, DialErrorKind::Certificate)
    );
    assert!(failure.text.contains(expected), "{failure:?}");
    // The certificate can be renewed at the server, so the client keeps retrying.
    assert!(failure.is_retried);
}

const UNTRUSTED: &str = "was issued by an authority that this system does not trust";
const INVALID: [(&str, (i32, i32), &str); 3] = [
    ("other.example", VALID, "is not valid for this host name"),
    ("127.0.0.1", (2020, 2021), "has expired"),
    ("127.0.0.1", (3000, 4000), "is not valid yet"),
];

#[tokio::test]
async fn a_private_certificate_authority_is_trusted_when_it_is_added() {
    let authority = Authority::new();
    let address = serve(authority.issue("127.0.0.1", VALID)).await;

    let with_authority = dial(address, Some(&authority.pem)).await;
    let without = dial(address, None).await;
    let with_other_authority = dial(address, Some(&Authority::new().pem)).await;

    assert!(with_authority.is_none(), "{with_authority:?}");
    assert_rejected(without, UNTRUSTED);
    assert_rejected(with_other_authority, UNTRUSTED);
}

#[tokio::test]
async fn an_authority_as_the_servers_own_certificate_is_trusted_only_when_it_is_added() {
    let identity = authority_as_server("127.0.0.1", VALID);
    let added = pem(&identity.certificate);
    let address = serve(identity).await;

    let trusted = dial(address, Some(&added)).await;
    let unknown = dial(address, None).await;

    assert!(trusted.is_none(), "{trusted:?}");
    assert_rejected(unknown, "add exactly this certificate");
}

#[tokio::test]
async fn a_certificate_that_is_itself_trusted_must_be_valid_for_the_host_and_now() {
    for (host, years, expected) in INVALID {
        let identity = authority_as_server(host, years);
        let added = pem(&identity.certificate);
        let address = serve(identity).await;

        let failure = dial(address, Some(&added)).await;

        assert_rejected(failure, expected);
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

    let failure = dial(address.await, Some(&pem(&trusted.certificate))).await;

    assert!(failure.is_some(), "the server does not possess the key");
}

#[tokio::test]
async fn an_invalid_certificate_is_rejected_with_a_readable_reason() {
    let authority = Authority::new();
    for (host, years, expected) in INVALID {
        let address = serve(authority.issue(host, years)).await;

        let failure = dial(address, Some(&authority.pem)).await;

        assert_rejected(failure, expected);
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
    let tls = serve(Authority::new().issue("127.0.0.1", VALID)).await;
    let plain = serve_http().await;

    let without_tls = first_attempt(Client::builder(&format!("ws://{tls}")).unwrap()).await;
    let with_tls = first_attempt(Client::builder(&format!("wss://{plain}")).unwrap()).await;

    for (failure, expected) in [
        (
            without_tls.unwrap_err(),
            format!(
                "WebSocket upgrade with {tls} failed: the server speaks TLS on this port: use wss://"
            ),
        ),
        (
            with_tls.unwrap_err(),
            format!(
                "TLS handshake with {plain} failed: the server does not speak TLS on this port: use ws://"
            ),
        ),
    ] {
        assert_eq!((failure.kind, failure.text), (DialErrorKind::Tls, expected));
    }
}

#[tokio::test]
async fn a_server_that_ends_the_handshake_is_reported_with_its_reason() {
    // A fatal alert with the description `handshake_failure`, as servers send it that require a client's certificate.
    let alert = serve_bytes(b"\x15\x03\x03\x00\x02\x02\x28").await;
    let closed = serve_bytes(b"").await;

    for (address, kind, expected) in [
        (
            alert,
            DialErrorKind::Tls,
            "the server rejected the TLS handshake: ",
        ),
        (
            closed,
            DialErrorKind::Io,
            "the server closed the connection during the TLS handshake: check that it speaks TLS on this port",
        ),
    ] {
        let failure = dial(address, None).await.expect("no handshake");

        let stage = format!("TLS handshake with {address} failed: ");
        assert!(failure.text.starts_with(&(stage + expected)), "{failure:?}");
        assert_eq!((failure.stage, failure.kind), (DialStage::Secure, kind));
        assert!(failure.is_retried);
    }
}

/// Replies to whatever one client sends with an HTTP error.
async fn serve_http() -> SocketAddr {
    serve_bytes(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await
}

/// Replies to whatever one client sends with these bytes, and then sends nothing more.
async fn serve_bytes(response: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4_096]).await.unwrap();
        socket.write_all(response).await.unwrap();
        socket.shutdown().await.unwrap();
        let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
    });
    address
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
