//! TLS: certificates that are not trusted, and servers that do or do not speak TLS.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::program::{call, ended};
use crate::server::{Connection, Server, sending, socket_with_limit};

/// A certificate for 127.0.0.1 that no authority has issued, with its file.
struct Certificate {
    config: Arc<ServerConfig>,
    directory: TempDir,
}

impl Certificate {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = params.self_signed(&key).unwrap().der().clone();
        let directory = tempfile::tempdir().unwrap();
        let text = STANDARD.encode(&certificate);
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        std::fs::write(directory.path().join("server.pem"), pem).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self {
            config: Arc::new(config),
            directory,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    /// Accepts a TLS connection, whose handshake follows with the first read.
    fn accept(
        config: Arc<ServerConfig>,
        listener: &TcpListener,
    ) -> StreamOwned<ServerConnection, std::net::TcpStream> {
        let (socket, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(config).unwrap();
        StreamOwned::new(connection, socket_with_limit(socket))
    }
}

#[test]
fn a_certificate_that_is_not_trusted_ends_the_call_at_once_and_names_the_option() {
    let certificate = Certificate::new();
    let config = Arc::clone(&certificate.config);
    let server = Server::start(move |listener| {
        let mut stream = Certificate::accept(config, &listener);
        // The client ends the handshake.
        std::io::Read::read(&mut stream, &mut [0]).unwrap_err();
    });

    let run = call(&server.url.replace("ws:", "wss:"), "add");

    let error = format!(
        "error: not sent: TLS handshake with {} failed: the server's certificate was issued by an authority that this system does not trust",
        server.address
    );
    let hint = "If it is from a private authority, or the server's own: --ca FILE trusts the certificates in a PEM file.";
    assert_eq!(run, ended(8, "", &[&error, hint]));
    server.finish();
}

#[test]
fn a_certificate_of_the_file_is_trusted() {
    let certificate = Certificate::new();
    let config = Arc::clone(&certificate.config);
    let server = Server::start(move |listener| {
        let (mut connection, _) = Connection::upgrade(Certificate::accept(config, &listener));
        let request = connection.receive().unwrap();
        connection.reply(&request, "\"result\":1");
        connection.wait_for_end();
    });

    let arguments = format!("add --ca {}", certificate.file().display());
    let run = call(&server.url.replace("ws:", "wss:"), &arguments);

    assert_eq!(run, ended(0, "1\n", &[]));
    server.finish();
}

#[test]
fn the_other_scheme_is_named_if_only_one_side_speaks_tls() {
    let plain = sending(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    // An alert, with which TLS servers respond to plain text.
    let tls = sending(b"\x15\x03\x03\x00\x02\x02\x46");

    let with_tls = call(&plain.url.replace("ws:", "wss:"), "add");
    let without = call(&tls.url, "add");

    let error = format!(
        "error: not sent: TLS handshake with {} failed: the server does not speak TLS on this port: use ws://",
        plain.address
    );
    assert_eq!(with_tls, ended(8, "", &[&error]));
    let error = format!(
        "error: not sent: WebSocket upgrade with {} failed: the server speaks TLS on this port: use wss://",
        tls.address
    );
    assert_eq!(without, ended(8, "", &[&error]));
}
