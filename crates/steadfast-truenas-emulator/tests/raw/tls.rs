//! The shell with TLS: the certificate that the server makes, one from files, and SCRAM that is bound to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use steadfast_truenas_emulator::{ApiVersion, Server, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::rig::policy;
use crate::scram::{SECRET, last, message};
use crate::sockets::Socket;

async fn server(tls: Tls) -> SocketAddr {
    let policy = policy(ApiVersion::V26_0_0);
    let server = Server::bind((Ipv4Addr::LOCALHOST, 0).into(), policy)
        .await
        .unwrap()
        .with_tls(tls);
    let address = server.local_addr();
    tokio::spawn(server.serve(std::future::pending()));
    address
}

/// A connection of a client that trusts nothing but this certificate.
async fn connect(
    address: SocketAddr,
    name: &str,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

fn certificate_of(tls: &Tls) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(tls.certificate_pem().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_of_the_server_calls_over_tls() {
    let tls = Tls::self_signed(&[Ipv4Addr::new(10, 0, 0, 7).into()]).unwrap();
    let certificate = certificate_of(&tls);
    let address = server(tls).await;
    for name in ["localhost", "127.0.0.1", "10.0.0.7"] {
        let stream = connect(address, name, &certificate).await.unwrap();
        let mut socket = Socket::upgrade(stream, "/api/current").await;

        let reply = socket.call("core.ping", json!([])).await;

        assert_eq!(reply["result"], "pong", "{name}");
    }
    let other = connect(address, "nas.example", &certificate).await;
    assert!(other.is_err(), "the certificate is not valid for this name");
}

#[tokio::test]
async fn a_client_without_tls_gets_no_response() {
    let address = server(Tls::self_signed(&[]).unwrap()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();

    let request = b"GET /api/versions HTTP/1.1\r\nHost: nas\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut response = Vec::new();
    // The connection may also end with a reset.
    let _ = stream.read_to_end(&mut response).await;

    assert!(!response.starts_with(b"HTTP/"), "{response:?}");
}

#[tokio::test]
async fn a_certificate_from_files_is_presented() {
    let made = rcgen::generate_simple_self_signed(["nas.example".to_owned()]).unwrap();
    let key = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64_of(&made.signing_key.serialize_der())
    );
    let certificate = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        base64_of(made.cert.der())
    );

    let tls = Tls::from_pem(certificate.as_bytes(), key.as_bytes()).unwrap();
    let address = server(tls).await;

    let connected = connect(address, "nas.example", made.cert.der()).await;
    assert!(connected.is_ok());
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn files_without_a_certificate_or_a_key_are_rejected_and_nothing_of_them_is_shown() {
    let error = Tls::from_pem(b"secret text", b"secret text").unwrap_err();

    let text = format!("{error} {error:?}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn scram_is_bound_to_the_certificate_of_the_connection() {
    let tls = Tls::self_signed(&[]).unwrap();
    let certificate = certificate_of(&tls);
    let address = server(tls).await;
    let stream = connect(address, "localhost", &certificate).await.unwrap();
    let mut socket = Socket::upgrade(stream, "/api/current").await;

    let first = "p=tls-server-end-point,,n=admin:1,r=clientnonce";
    let reply = socket
        .call("auth.login_ex", message("CLIENT_FIRST_MESSAGE", first))
        .await;
    let server_first = reply["result"]["rfc_str"].as_str().unwrap().to_owned();
    let hash = digest::digest(&digest::SHA256, &certificate);
    let (text, signature) = last(first, &server_first, SECRET, hash.as_ref());
    let message = message("CLIENT_FINAL_MESSAGE", &text);
    let reply = socket.call("auth.login_ex_continue", message).await;

    assert_eq!(reply["result"]["rfc_str"], signature.as_str(), "{reply}");
}
