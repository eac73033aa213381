//! The relays under test, each a process of its own that ends with its standard input.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use steadfast_proxy::Proxy;
use tokio::net::{TcpListener, TcpStream};

/// What moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `tokio::io::copy_bidirectional`, one task per connection, and nothing else.
    Copy,
    /// The proxy without toxics.
    Proxy,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Proxy => "proxy",
        }
    }

    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "copy" => Ok(Self::Copy),
            "proxy" => Ok(Self::Proxy),
            _ => bail!("unknown relay {name:?}; it is `copy` or `proxy`"),
        }
    }
}

/// Serves until the standard input ends. Writes the address to the standard output first.
pub(crate) fn serve(kind: Kind, upstream: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Whatever ends the input ends the relay.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        drop(stop);
    });
    runtime.block_on(async {
        let proxy;
        match kind {
            Kind::Copy => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                report(listener.local_addr()?)?;
                tokio::spawn(copy(listener, upstream));
            }
            Kind::Proxy => {
                proxy = Proxy::to(upstream).start().await?;
                report(proxy.local_addr())?;
            }
        }
        drop(stopped.await);
        Ok(())
    })
}

fn report(address: SocketAddr) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{address}")?;
    Ok(output.flush()?)
}

async fn copy(listener: TcpListener, upstream: SocketAddr) {
    while let Ok((mut client, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(upstream).await {
                drop(client.set_nodelay(true));
                drop(server.set_nodelay(true));
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            }
        });
    }
}

/// A running relay, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    process: Child,
    address: SocketAddr,
}

impl Relay {
    pub(crate) fn start(kind: Kind, upstream: SocketAddr) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", kind.name(), &upstream.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("its output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the relay did not start")?;
        Ok(Self { process, address })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.process.id());
        let status = std::fs::read_to_string(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = number.context("no VmRSS")?.parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}
