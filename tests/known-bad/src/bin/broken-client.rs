//! A driver of WebSocket clients with one planted bug: `broken-client [BUG]`. Without a bug it is correct.

use anyhow::Result;
use steadfast_known_bad::client;

fn main() -> Result<()> {
    client::drive(std::env::args().skip(1))
}
