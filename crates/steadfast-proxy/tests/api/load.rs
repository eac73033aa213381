//! The API while connections move data. Defect 5 of Toxiproxy: its calls wait for each of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{Api, upstream};
use super::wait::until;

const LINKS: usize = 200;
/// Far above the time of a call on a busy machine, and far below that of a call that waits for data which never moves:
/// half of the links have a peer that reads nothing.
const CALL_MAX: Duration = Duration::from_secs(5);

#[test]
fn calls_return_while_200_links_move_data_or_are_blocked() {
    let api = Api::start();
    let (listener, address) = upstream();
    let proxy = api.create("a", address);
    let load = Load::start(proxy, &listener);

    let mut slowest = Duration::ZERO;
    let mut call = |method: &str, path: &str, body: &str, expected: u16| {
        let start = Instant::now();
        let response = api.send(method, path, body);
        slowest = slowest.max(start.elapsed());
        assert_eq!(response.status, expected, "{method} {path}: {response:?}");
    };
    for round in 0..10 {
        let latency = format!(r#"{{"type":"latency","attributes":{{"latency":{round}}}}}"#);
        call("POST", "/proxies/a/toxics", &latency, 200);
        let bandwidth = r#"{"type":"bandwidth","stream":"upstream","attributes":{"rate":0}}"#;
        call("POST", "/proxies/a/toxics", bandwidth, 200);
        call("GET", "/lab/connections", "", 200);
        let update = r#"{"attributes":{"rate":100000}}"#;
        call("PATCH", "/proxies/a/toxics/bandwidth_upstream", update, 200);
        call("DELETE", "/proxies/a/toxics/latency_downstream", "", 204);
        call("DELETE", "/proxies/a/toxics/bandwidth_upstream", "", 204);
    }
    let before = load.bytes.load(Ordering::Relaxed);
    load.wait_until_more_than(before);
    call("POST", "/proxies/a", r#"{"enabled":false}"#, 200);
    call("DELETE", "/proxies/a", "", 204);
    load.stop();

    assert!(slowest < CALL_MAX, "the slowest call took {slowest:?}");
}

/// Clients that send as fast as they can: to half of them the server sends everything back, the other half it ignores.
struct Load {
    bytes: Arc<AtomicU64>,
    is_stopping: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn start(proxy: SocketAddr, listener: &TcpListener) -> Self {
        let (bytes, is_stopping) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut links = Vec::new();
        for _ in 0..LINKS {
            let client = TcpStream::connect(proxy).unwrap();
            let (server, _) = listener.accept().unwrap();
            for socket in [&client, &server] {
                socket.set_nonblocking(true).unwrap();
            }
            links.push((client, server));
        }
        let (bytes_moved, stop) = (Arc::clone(&bytes), Arc::clone(&is_stopping));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let mut moved = 0;
                for (index, (client, server)) in links.iter_mut().enumerate() {
                    push(client);
                    if index % 2 == 0 {
                        push(server);
                        moved += pull(server) + pull(client);
                    }
                }
                bytes_moved.fetch_add(moved, Ordering::Relaxed);
                thread::yield_now();
            }
        });
        Self {
            bytes,
            is_stopping,
            threads: vec![thread],
        }
    }

    fn wait_until_more_than(&self, bytes: u64) {
        until("the links move data", || {
            self.bytes.load(Ordering::Relaxed) > bytes
        });
    }

    fn stop(self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// Writes what the socket accepts; one that has ended accepts nothing.
fn push(socket: &mut TcpStream) {
    drop(socket.write(&[7; 4_096]));
}

fn pull(socket: &mut TcpStream) -> u64 {
    match socket.read(&mut [0; 4_096]) {
        Ok(count) => count.try_into().unwrap(),
        Err(error) => {
            let is_open = error.kind() == ErrorKind::WouldBlock;
            assert!(
                is_open || error.kind() == ErrorKind::ConnectionReset,
                "{error}"
            );
            0
        }
    }
}
