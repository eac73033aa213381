//! A WebSocket server that sends every message back: `echo-server 127.0.0.1:PORT`. Port 0 picks a free one.

use anyhow::{Context as _, Result};
use steadfast_conformance::connection::Answer;
use steadfast_conformance::opening;
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

#[expect(
    clippy::print_stdout,
    reason = "the address is what the caller waits for"
)]
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
    reason = "a broken connection is worth a line, not the end of the server"
)]
async fn echo(stream: TcpStream) {
    let outcome = async {
        stream.set_nodelay(true)?;
        opening::accept(stream).await?.run(Answer::Echo).await
    };
    if let Err(error) = outcome.await {
        eprintln!("{error:#}");
    }
}
