//! The dial of the upstream, in the task of its connection.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::address;
use crate::connection::Shared;
use crate::control::Control;
use crate::event::EventKind;
use crate::mailbox::Request;
use crate::sockets;

/// Why there is no connection to the upstream.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection was ended before.
    Requested(Request),
    /// It was not reached.
    Problem(String),
}

/// Waits as long as toxics delay the dial, resolves the upstream and connects to it.
pub(crate) async fn dial(control: &Control, shared: &Shared) -> Result<TcpStream, Failure> {
    wait_for_delay(control, shared).await?;
    let (upstream, timeout) = control.upstream();
    let connect = async {
        match tokio::time::timeout(timeout, connect(control, &upstream)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(format!(
                "{upstream} did not accept within {} ms",
                timeout.as_millis()
            )),
        }
    };
    let (stream, address) = until_requested(shared, connect)
        .await?
        .map_err(Failure::Problem)?;
    // It cannot be set yet: a connection dials once.
    let _ = shared.upstream.set(address);
    control.publish(|| EventKind::Connected {
        connection: shared.identity.connection,
        upstream: address,
    });
    Ok(stream)
}

/// Waits until the delays of all toxics have passed; each change of the toxics changes the time.
async fn wait_for_delay(control: &Control, shared: &Shared) -> Result<(), Failure> {
    loop {
        let dial_at = shared.accepted_at + control.dial_delay(&shared.identity);
        let left = dial_at.saturating_since(control.now());
        if left.is_zero() {
            return Ok(());
        }
        let mut sleep = pin!(tokio::time::sleep(left));
        poll_fn(|cx| {
            if sleep.as_mut().poll(cx).is_ready() || shared.mailbox.poll_news(cx).is_ready() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if let Some(request) = shared.mailbox.take_request() {
            return Err(Failure::Requested(request));
        }
    }
}

/// Executes a future until the end of the connection is requested.
async fn until_requested<T>(
    shared: &Shared,
    future: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        while shared.mailbox.poll_news(cx).is_ready() {
            if let Some(request) = shared.mailbox.take_request() {
                return Poll::Ready(Err(Failure::Requested(request)));
            }
        }
        future.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// Tries each address of the upstream.
async fn connect(control: &Control, upstream: &str) -> Result<(TcpStream, SocketAddr), String> {
    let target = address::to_dial(upstream);
    let addresses = tokio::net::lookup_host(&*target)
        .await
        .map_err(|error| format!("cannot resolve {upstream}: {error}"))?;
    let mut problem = format!("{upstream} has no address");
    for address in addresses {
        if sockets::reaches(address, control.local_addr()) {
            return Err(format!(
                "{upstream} is {address}, which is the proxy itself; set the address of the server"
            ));
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, address)),
            Err(error) => problem = format!("cannot connect to {address}: {error}"),
        }
    }
    Err(problem)
}

/// How long the check of a new upstream waits for its name. A name that takes longer is checked at each dial.
pub(crate) const RESOLVE_TIME: Duration = Duration::from_secs(1);

/// Returns the addresses that a dial of the upstream tries. There is none for a name that does not exist yet, which is no
/// mistake.
pub(crate) async fn resolve(upstream: &str) -> Vec<SocketAddr> {
    let target = address::to_dial(upstream);
    let lookup = tokio::net::lookup_host(&*target);
    match tokio::time::timeout(RESOLVE_TIME, lookup).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}

/// Returns the first of these listeners that a dial of the addresses reaches.
pub(crate) fn reached(addresses: &[SocketAddr], listeners: &[SocketAddr]) -> Option<SocketAddr> {
    let mut listeners = listeners.iter().copied();
    listeners.find(|listener| addresses.iter().any(|it| sockets::reaches(*it, *listener)))
}
