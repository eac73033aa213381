//! Runs all cases of a suite that is a server: `echo-client HOST:PORT AGENT`.
//!
//! The suite's paths are those of Autobahn: `/getCaseCount`, `/runCase?case=N&agent=AGENT`,
//! `/updateReports?agent=AGENT`.

use anyhow::{Context as _, Result};
use steadfast_conformance::connection::MessageHandling;
use steadfast_conformance::handshake;
use tokio::runtime::Builder;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: echo-client HOST:PORT AGENT";
    let host = arguments.next().context(usage)?;
    let agent = arguments.next().context(usage)?;
    Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(&host, &agent))
}

#[expect(clippy::print_stdout, reason = "the number of cases is the result")]
#[expect(
    clippy::print_stderr,
    reason = "the suite evaluates a case whose connection fails; it is printed here"
)]
async fn run(host: &str, agent: &str) -> Result<()> {
    let messages = handshake::connect(host, "/getCaseCount")
        .await?
        .run(MessageHandling::Collect)
        .await?;
    let count = messages
        .first()
        .context("the suite did not send its number of cases")?;
    let count: u32 = str::from_utf8(count)?
        .trim()
        .parse()
        .context("invalid number of cases")?;
    for case in 1..=count {
        let path = format!("/runCase?case={case}&agent={agent}");
        if let Err(error) = handshake::connect(host, &path)
            .await?
            .run(MessageHandling::Echo)
            .await
        {
            eprintln!("case {case}: {error:#}");
        }
    }
    handshake::connect(host, &format!("/updateReports?agent={agent}"))
        .await?
        .run(MessageHandling::Collect)
        .await?;
    println!("{count} cases");
    Ok(())
}
