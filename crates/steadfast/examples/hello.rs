//! Subscribes to a channel, publishes to it, and prints everything that happens: attempts, disconnects, publications.
//!
//! Start the demo (`make run`) or a gateway (`steadfast serve`) first, then kill it and watch the client resume.
//! The README shows this program.

#![expect(clippy::print_stdout, reason = "it shows what happens")]

use steadfast::centrifuge::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder("ws://127.0.0.1:8000")?.connect()?;
    let mut session = client.events(); // attempts, disconnects and their reasons
    tokio::spawn(async move {
        while let Ok(event) = session.recv().await {
            println!("{event:?}");
        }
    });

    let mut news = client.subscribe("news");
    let receipt = client.publish("news", &"hello")?;
    println!("{:?}", receipt.await?); // Acknowledgement { position, duplicate }
    while let Some(event) = news.next().await {
        println!("{event:?}"); // Subscribed, Item, Resumed, or Gap if publications are missing
    }
    Ok(())
}
