//! One fault: to the second gateway, and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use steadfast::centrifuge::{Client, Position};
use steadfast::{EndpointLogs, FailbackSettings, SessionPhase, defaults};
use tokio::runtime::Builder;
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::fault::{Fault, FaultyServer};
use super::ledger::{self, Log};
use super::traffic::{CHANNEL, Traffic};
use crate::binaries;
use crate::gateway::Gateway;
use crate::namespaces::link::Link;

/// How long the first endpoint is held down after a failure, and the least time before a failback.
const HOLD_DOWN: Duration = Duration::from_secs(3);
/// What every step may take longer on a busy machine. The bounds themselves are tested in virtual time.
const SLACK: Duration = Duration::from_secs(15);
/// From the loss to the dial of the second endpoint, if the first one fails at once: the longest delay after a short outage
/// and the shortest within a round.
const BACKOFF_MAX: Duration = Duration::from_millis(1_100);
/// The publications that are acknowledged on a gateway before the next step.
const PER_GATEWAY: u64 = 20;

/// Runs a fault, on hosts with this number and the next.
pub(super) fn run(program: &Path, fault: Fault, number: u8) -> Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(fail_over_and_back(program, fault, number))
}

async fn fail_over_and_back(program: &Path, fault: Fault, number: u8) -> Result<()> {
    let (gateway, link) = gateway(program, number)?;
    let mut first = block_in_place(|| FaultyServer::start(gateway, fault, link))?;
    let (mut second, _) = self::gateway(program, number + 1)?;
    block_in_place(|| second.start())?;
    let client = connect(&first.gateway, &second)?;
    let mut traffic = Traffic::start(&client);

    if fault.begins_connected() {
        await_endpoint(&client, 0, SLACK).await?;
        traffic.await_acknowledgements(PER_GATEWAY, SLACK).await?;
    }
    block_in_place(|| first.inject())?;
    let failover_max = fault.detection_max() + BACKOFF_MAX + SLACK;
    await_endpoint(&client, 1, failover_max).await?;
    traffic.await_acknowledgements(PER_GATEWAY, SLACK).await?;

    block_in_place(|| first.heal())?;
    await_endpoint(&client, 0, 2 * HOLD_DOWN + SLACK).await?;
    traffic.await_acknowledgements(PER_GATEWAY, SLACK).await?;

    let (outcomes, delivered) = traffic.stop(SLACK).await?;
    client.close(Duration::ZERO).await?;
    let logs = [read_log(&first.gateway).await?, read_log(&second).await?];
    ledger::check_outcomes(&outcomes, &logs)?;
    ledger::check_delivered(&delivered, if fault.begins_connected() { 2 } else { 1 })?;
    first.clean_up()?;
    second.clean_up()
}

fn gateway(program: &Path, number: u8) -> Result<(Gateway, Link)> {
    let link = Link::create(number)?;
    let folder = binaries::scratch(&format!("failover-{number}"))?;
    let gateway = Gateway::on_host(program.to_owned(), folder, link)?;
    Ok((gateway, link))
}

/// A client that prefers the first gateway.
fn connect(first: &Gateway, second: &Gateway) -> Result<Client> {
    let endpoints = defaults::ENDPOINTS
        .hold_down(HOLD_DOWN)
        .hold_down_jitter(Duration::ZERO)
        .failback(FailbackSettings::new(HOLD_DOWN).jitter(Duration::ZERO));
    let client = Client::builder(&first.url())?
        .fallback_endpoint(&second.url())?
        .endpoints(endpoints)
        .endpoint_logs(EndpointLogs::Independent)
        .liveness(defaults::LIVENESS_FAST)
        .connect()?;
    Ok(client)
}

async fn await_endpoint(client: &Client, endpoint: usize, max: Duration) -> Result<()> {
    let mut state = client.state();
    let reached = state.wait_for(|it| it.phase == SessionPhase::Ready && it.endpoint == endpoint);
    let reached = timeout(max, reached).await.map(|it| it.map(drop));
    reached.with_context(|| {
        let state = client.state().borrow().clone();
        format!("not on endpoint {endpoint} after {max:?}: {state:?}")
    })??;
    Ok(())
}

/// Reads the whole history of the channel.
async fn read_log(gateway: &Gateway) -> Result<Log> {
    let client = Client::builder(&gateway.url())?.connect()?;
    let mut log = Log {
        epoch: String::new(),
        publications: BTreeMap::new(),
    };
    let mut since: Option<Position> = None;
    loop {
        let mut query = client.history(CHANNEL);
        if let Some(position) = since {
            query = query.since(position);
        }
        let page = query.fetch().await?;
        log.epoch.clone_from(&page.position.epoch);
        let Some(last) = page.publications.last().map(|it| it.offset) else {
            break;
        };
        for publication in page.publications {
            let number = std::str::from_utf8(&publication.data)?.parse()?;
            log.publications.insert(publication.offset, number);
        }
        since = Some(Position {
            offset: last,
            epoch: page.position.epoch,
        });
    }
    client.close(Duration::ZERO).await?;
    Ok(log)
}
