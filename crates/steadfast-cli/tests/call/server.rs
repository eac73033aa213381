//! A server whose connections the test scripts, one after the other, in a thread of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use steadfast_protocol::websocket::Opcode;

pub(crate) use crate::websocket::Connection;

/// Far longer than any of these tests needs.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A server with its script.
pub(crate) struct Server<T = ()> {
    pub(crate) url: String,
    /// Host and port, as messages show them.
    pub(crate) address: String,
    script: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Starts a server that executes this script.
    pub(crate) fn start(script: impl FnOnce(TcpListener) -> T + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self {
            url: format!("ws://{address}"),
            address,
            script: thread::spawn(move || script(listener)),
        }
    }

    /// Waits for the end of the script, and returns its result.
    pub(crate) fn finish(self) -> T {
        self.script.join().unwrap()
    }
}

/// A server that replies to one call with this result or error, and returns the request and its path.
pub(crate) fn replying(reply: &'static str) -> Server<(String, String)> {
    Server::start(move |listener| {
        let socket = socket_with_limit(listener.accept().unwrap().0);
        let (mut connection, path) = Connection::upgrade(socket);
        let request = connection.receive().unwrap();
        connection.reply(&request, reply);
        connection.wait_for_end();
        (path, request)
    })
}

/// A server that replies to each request for a WebSocket with these bytes, and closes the connection.
pub(crate) fn sending(bytes: &'static [u8]) -> Server {
    Server::start(move |listener| {
        while let Ok((mut socket, _)) = listener.accept() {
            // The client's first bytes, so that the end of the connection is no reset.
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(bytes);
        }
    })
}

pub(crate) fn socket_with_limit(socket: TcpStream) -> TcpStream {
    socket.set_read_timeout(Some(TIME_LIMIT)).unwrap();
    socket
}

impl Connection<TcpStream> {
    /// Accepts the next connection.
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().unwrap();
        Self::upgrade(socket_with_limit(socket)).0
    }
}

impl<S: Read + Write> Connection<S> {
    /// Sends a text message.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes()).unwrap();
    }

    /// Sends a close frame.
    pub(crate) fn close(&mut self, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.send(Opcode::Close, &payload).unwrap();
        self.wait_for_end();
    }

    /// Until the client has closed the connection.
    pub(crate) fn wait_for_end(&mut self) {
        while self.receive().is_some() {}
    }
}
