//! Forwards requests to a server and records them: method, path and body.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

pub(crate) struct Recorder {
    pub(crate) url: String,
    requests: Receiver<String>,
}

impl Recorder {
    /// Forwards until the process ends.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, requests) = channel();
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let (head, body) = read(&client);
                let first = head.lines().next().unwrap().replace(" HTTP/1.1", "");
                // The test has ended if nothing receives it.
                drop(sender.send(format!("{first} {body}").trim_end().to_owned()));
                forward(&client, server, &format!("{head}{body}"));
            }
        });
        Self { url, requests }
    }

    /// The requests since the last call. Each was recorded before its response was sent.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn read(client: &TcpStream) -> (String, String) {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        head.push_str(&line);
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn forward(mut client: &TcpStream, server: SocketAddr, request: &str) {
    let mut server = TcpStream::connect(server).unwrap();
    server.write_all(request.as_bytes()).unwrap();
    io::copy(&mut server, &mut client).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
}
