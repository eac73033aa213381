//! Walks through the cases of a suite that is a server: `echo-client HOST:PORT AGENT`.
//!
//! The suite's addresses are the usual ones: `/getCaseCount`, `/runCase?case=N&agent=AGENT`, `/updateReports?agent=AGENT`.

use anyhow::{Context as _, Result};
use steadfast_conformance::connection::Answer;
use steadfast_conformance::opening;
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

#[expect(
    clippy::print_stdout,
    reason = "how many cases there were is the outcome"
)]
#[expect(
    clippy::print_stderr,
    reason = "a case that breaks the connection is judged by the suite, and named here"
)]
async fn run(host: &str, agent: &str) -> Result<()> {
    let answer = opening::connect(host, "/getCaseCount")
        .await?
        .run(Answer::Collect)
        .await?;
    let count = answer
        .first()
        .context("the suite does not say how many cases it has")?;
    let count: u32 = str::from_utf8(count)?
        .trim()
        .parse()
        .context("the number of cases is no number")?;
    for case in 1..=count {
        let path = format!("/runCase?case={case}&agent={agent}");
        if let Err(error) = opening::connect(host, &path).await?.run(Answer::Echo).await {
            eprintln!("case {case}: {error:#}");
        }
    }
    opening::connect(host, &format!("/updateReports?agent={agent}"))
        .await?
        .run(Answer::Collect)
        .await?;
    println!("{count} cases");
    Ok(())
}
