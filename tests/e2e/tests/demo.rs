//! The demo as its users run it: painters draw, the gateway is killed, all clients reconnect, and no acknowledged pixel
//! is lost.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use steadfast_e2e::binaries;

/// The time limit of each step: several reconnect delays of the clients.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

#[test]
fn a_kill_is_survived_by_every_painter_without_a_loss() {
    let demo = Demo::start().unwrap();
    demo.until("all painters paint", |live| {
        count(live, "/gateway/kills") == 0 && painters(live, "acked").iter().all(|it| *it > 3)
    })
    .unwrap();

    let response = demo.request("POST", "/demo/kill", "").unwrap();
    assert!(response.starts_with("HTTP/1.1 202"), "{response}");
    let before = demo.live().unwrap();
    let after = demo
        .until("all painters are connected again", |live| {
            painters(live, "resumed").iter().all(|it| *it >= 1)
                && painters(live, "downtime_ms").iter().all(|it| *it == 0)
        })
        .unwrap();

    assert_eq!(count(&after, "/gateway/kills"), 1);
    let settled = demo
        .until("missed pixels have arrived", |live| {
            count(live, "/acked") > count(&before, "/acked") + 10
                && count(live, "/undelivered") < 10
        })
        .unwrap();
    assert_eq!(count(&settled, "/lost"), 0, "{settled}");
    assert_eq!(count(&settled, "/duplicated"), 0, "{settled}");
    let picture = demo.get("/demo/picture").unwrap();
    assert!(count(&picture, "/offset") >= count(&before, "/acked"));
}

#[test]
fn a_foreign_page_can_neither_kill_nor_read_nor_frame() {
    let demo = Demo::start().unwrap();

    for (method, path) in [("POST", "/demo/kill"), ("GET", "/demo/picture")] {
        for fields in [
            "Origin: http://evil.example\r\n",
            "Host: evil.example\r\n",
            "X-Forwarded-For: 192.0.2.1\r\n",
            "CF-Connecting-IP: 192.0.2.1\r\n",
        ] {
            let response = demo.request(method, path, fields).unwrap();
            assert!(
                response.starts_with("HTTP/1.1 403 "),
                "{fields}: {response}"
            );
        }
    }

    let page = demo.request("GET", "/", "").unwrap().to_ascii_lowercase();
    for field in [
        "frame-ancestors 'none'",
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(field), "{field}: {page}");
    }
    let response = demo.request("DELETE", "/demo/picture", "").unwrap();
    assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
    assert!(
        response
            .to_ascii_lowercase()
            .contains("allow: get, head\r\n"),
        "{response}"
    );
}

#[test]
fn a_demo_whose_output_is_not_read_serves_and_exits_on_sigterm() {
    let full_pipe = || {
        let (unread, mut pipe) = io::pipe().unwrap();
        let flags = fcntl_getfl(&pipe).unwrap();
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).unwrap();
        while pipe.write(&[b'\n'; 4096]).is_ok() {}
        fcntl_setfl(&pipe, flags).unwrap();
        (unread, pipe)
    };
    let ((_unread, stdout), (_unread_messages, stderr)) = (full_pipe(), full_pipe());
    let mut demo = Demo::start_with(stdout.into(), stderr.into()).unwrap();

    demo.until("all painters paint", |live| {
        painters(live, "acked").iter().all(|it| *it > 0)
    })
    .unwrap();
    kill_process(Pid::from_child(&demo.child), Signal::TERM).unwrap();

    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
}

struct Demo {
    child: Child,
    address: SocketAddr,
}

impl Demo {
    fn start() -> Result<Self> {
        Self::start_with(Stdio::null(), Stdio::inherit())
    }

    fn start_with(stdout: Stdio, stderr: Stdio) -> Result<Self> {
        let port = free_pair()?;
        let child = Command::new(binaries::gateway()?)
            .args(["demo", "--port", &port.to_string(), "--data"])
            .arg(binaries::scratch(&format!("demo-{port}"))?)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let demo = Self {
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        };
        demo.until("the page is served", |_| true)?;
        Ok(demo)
    }

    /// Polls the live report until it satisfies the condition.
    fn until(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            match self.live() {
                Ok(live) if condition(&live) => return Ok(live),
                last if Instant::now() > deadline => {
                    bail!("timed out waiting until {what}; last {last:?}")
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn live(&self) -> Result<Value> {
        self.get("/demo/live")
    }

    fn get(&self, path: &str) -> Result<Value> {
        let response = self.request("GET", path, "")?;
        let (_, body) = response.split_once("\r\n\r\n").context("no body")?;
        Ok(serde_json::from_str(body)?)
    }

    fn request(&self, method: &str, path: &str, fields: &str) -> Result<String> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(STEP_TIMEOUT))?;
        let host = if fields.starts_with("Host") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        write!(
            socket,
            "{method} {path} HTTP/1.1\r\n{host}{fields}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut response = String::new();
        socket.read_to_string(&mut response)?;
        Ok(response)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // The demo's gateway ends with the demo.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The first of two consecutive free ports, below the ports of outgoing connections.
fn free_pair() -> Result<u16> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let first = 12_000 + u16::try_from(std::process::id() % 3_000)? * 2;
    (0..500)
        .map(|step| first + step * 2)
        .find(|port| is_free(*port) && is_free(port + 1))
        .context("two consecutive free ports not found")
}

fn count(value: &Value, at: &str) -> u64 {
    value
        .pointer(at)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn painters(live: &Value, field: &str) -> Vec<u64> {
    let painters = live.get("clients").and_then(Value::as_array);
    let painters = painters.into_iter().flatten();
    painters.map(|it| count(it, &format!("/{field}"))).collect()
}
