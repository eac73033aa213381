//! A server of the API on a thread of its own, and a client that shows every byte of a response.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use steadfast_proxy::api::{ApiServer, Settings};
use tokio::runtime;
use tokio::sync::oneshot;

/// The limit of each read, so that a test that waits in vain fails.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// A server, which ends when it is dropped.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Option<oneshot::Sender<()>>,
    pub(crate) thread: Option<JoinHandle<()>>,
}

/// A response, with its header in lower case.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Api {
    pub(crate) fn start() -> Self {
        Self::with(Settings {
            seed: Some(7),
            ..Settings::default()
        })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let (shutdown, stop) = oneshot::channel::<()>();
        let (send_address, address) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let server = ApiServer::bind("localhost", 0, settings).await.unwrap();
                send_address.send(server.local_addr()).unwrap();
                server.serve(async move { drop(stop.await) }).await;
            });
        });
        Self {
            address: address.recv().unwrap(),
            shutdown: Some(shutdown),
            thread: Some(thread),
        }
    }

    /// Sends a request with a body, or without body and length if it is empty.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let length = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{length}\r\n{body}"
        ))
    }

    /// Sends these bytes, and reads until the server closes the connection.
    pub(crate) fn raw(&self, request: &str) -> Response {
        let mut socket = self.connect();
        socket.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).unwrap();
        Response::parse(&response)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    /// Creates a proxy, and returns the address that it listens on.
    pub(crate) fn create(&self, name: &str, upstream: SocketAddr) -> SocketAddr {
        let body = format!(r#"{{"name":"{name}","listen":"127.0.0.1:0","upstream":"{upstream}"}}"#);
        let response = self.send("POST", "/proxies", &body);
        assert_eq!(response.status, 201, "{response:?}");
        response.listen()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        let thread = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(!matches!(thread, Some(Err(_))), "the server panicked");
        }
    }
}

impl Response {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if head.contains("transfer-encoding: chunked") {
            dechunked(body)
        } else {
            body.to_owned()
        };
        Self { status, head, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        let mut values = lines.filter_map(|line| line.split_once(": "));
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The address that a proxy listens on.
    pub(crate) fn listen(&self) -> SocketAddr {
        let (_, rest) = self.body.split_once("\"listen\":\"").unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    }
}

fn dechunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        let (chunk, rest) = rest.split_at(length);
        text.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap();
    }
    text
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(WAIT_MAX)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// A plain server without connections.
pub(crate) fn upstream() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Connects through a proxy: the socket of the client, and that of the server.
pub(crate) fn link(proxy: SocketAddr, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = connect(proxy);
    let (server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(WAIT_MAX)).unwrap();
    server.set_nodelay(true).unwrap();
    (client, server)
}
