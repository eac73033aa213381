//! The bare server: Steadfast's WebSocket codec on tokio, with no protocol above it.
//!
//! The gateway is compared with this baseline, so it has the gateway's structure: one single-threaded runtime,
//! one read buffer for all connections, frames encoded once, one write per socket per loop iteration.
//! The `bench` binary starts it with the port as its only argument (0 for any free port). It prints its address and
//! serves three paths: a message on `/pub` is sent to all connections of `/sub`, and `/echo` returns each message to
//! its sender.

mod connection;
mod hub;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::hub::Hub;

/// Listen backlog: connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 4096;

fn main() -> Result<()> {
    let port = std::env::args()
        .nth(1)
        .map_or(Ok(0), |port| port.parse())
        .context("invalid port argument")?;
    raise_open_files()?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve(port))
}

async fn serve(port: u16) -> Result<()> {
    let listener = listen(port)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", listener.local_addr()?)?;
    stdout.flush()?;
    let hub = Rc::new(Hub::new());
    loop {
        let (stream, _) = listener
            .accept()
            .await
            .context("failed to accept a connection")?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(connection::serve(stream, Rc::clone(&hub)));
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket
        .bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .with_context(|| format!("failed to bind port {port}"))?;
    Ok(socket.listen(BACKLOG)?)
}

/// Raises the limit of open files to the maximum: each connection needs one.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}
