//! Follows a feed of trades on a plain WebSocket server: subscribes by a first message, prints the trades, and reports which
//! are missing.
//!
//! `cargo run --example feed --features websocket -- --demo` starts a server that closes every connection after three
//! trades. With a URL instead of `--demo`, it follows the server at that URL, which must speak the same few messages.

mod demo;
mod follow;

use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(argument) = std::env::args().nth(1) else {
        return Err("usage: feed --demo, or feed <url>".into());
    };
    let url = if argument == "--demo" {
        demo::start().await?
    } else {
        argument
    };
    follow::follow(&url, usize::MAX, print).await
}

#[expect(clippy::print_stdout, reason = "it shows what happens")]
fn print(line: &str) {
    println!("{line}");
}
