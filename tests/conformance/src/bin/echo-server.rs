//! A WebSocket server that sends every message back: `echo-server 127.0.0.1:PORT`. Port 0 selects a free port.

use anyhow::{Context as _, Result};
use steadfast_conformance::connection::MessageHandling;
use steadfast_conformance::handshake;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

fn main() -> Result<()> {
    let address = std::env::args()
        .nth(1)
        .context("usage: echo-server ADDRESS:PORT")?;
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(&address))
}

#[expect(clippy::print_stdout, reason = "the caller waits for the address")]
async fn serve(address: &str) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a failed connection is printed and does not stop the server"
)]
async fn echo(stream: TcpStream) {
    let outcome = async {
        stream.set_nodelay(true)?;
        handshake::accept(stream)
            .await?
            .run(MessageHandling::Echo)
            .await
    };
    if let Err(error) = outcome.await {
        eprintln!("{error:#}");
    }
}
