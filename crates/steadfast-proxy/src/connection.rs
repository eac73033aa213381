//! One connection of a proxy: what others see of it, and its task.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use steadfast_faults::link::Direction;
use steadfast_faults::toxic::{ActiveToxic, CloseMode, Ending, Identity};
use steadfast_machine::Instant;
use tokio::net::TcpStream;

use crate::control::Control;
use crate::dial;
use crate::event::{EndReason, EventKind};
use crate::mailbox::{Mailbox, Request};
use crate::relay::{End, Relay};
use crate::traffic::{Meter, Traffic};
use crate::{after, sockets};

/// An open connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionInfo {
    /// Its number: the first of the proxy is 1.
    pub id: u64,
    /// The address of the client.
    pub peer: SocketAddr,
    /// The address of the upstream; `None` until it accepts.
    pub upstream: Option<SocketAddr>,
    /// The time since the client was accepted.
    pub age: Duration,
    /// From the client to the upstream.
    pub to_server: Traffic,
    /// From the upstream to the client.
    pub to_client: Traffic,
    /// The toxics of the proxy, and whether they affect this connection.
    pub toxics: Vec<ConnectionToxic>,
}

/// How a toxic and a connection relate.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionToxic {
    /// The name of the toxic.
    pub name: String,
    /// The number from 0.0 to 1.0 that the connection drew; it is affected if it is below the toxicity.
    pub draw: f64,
    /// Whether the toxic affects the connection.
    pub is_victim: bool,
}

/// What the task of a connection shares with the calls of the proxy.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) peer: SocketAddr,
    pub(crate) upstream: OnceLock<SocketAddr>,
    pub(crate) accepted_at: Instant,
    pub(crate) to_server: Meter,
    pub(crate) to_client: Meter,
    pub(crate) mailbox: Mailbox,
}

impl Shared {
    /// What others see of the connection now.
    pub(crate) fn info(&self, now: Instant, toxics: &[Arc<ActiveToxic>]) -> ConnectionInfo {
        ConnectionInfo {
            id: self.identity.connection,
            peer: self.peer,
            upstream: self.upstream.get().copied(),
            age: now.saturating_since(self.accepted_at),
            to_server: self.to_server.read(),
            to_client: self.to_client.read(),
            toxics: toxics
                .iter()
                .map(|active| ConnectionToxic {
                    name: active.toxic.name.clone(),
                    draw: self.identity.draw(&active.toxic.name).as_f64(),
                    is_victim: self.identity.is_victim(&active.toxic),
                })
                .collect(),
        }
    }
}

/// The task of a connection, from its dial to its end.
pub(crate) async fn run(control: Arc<Control>, shared: Arc<Shared>, client: TcpStream) {
    let _listed = control.list(&shared);
    let reason = serve(&control, &shared, client).await;
    // A connection without notice to its peers has reported its end before.
    if let Some(reason) = reason {
        ended(&control, &shared, reason);
    }
}

fn ended(control: &Control, shared: &Shared, reason: EndReason) {
    control.publish(|| EventKind::Ended {
        connection: shared.identity.connection,
        reason,
    });
}

async fn serve(
    control: &Arc<Control>,
    shared: &Arc<Shared>,
    client: TcpStream,
) -> Option<EndReason> {
    let connection = shared.identity.connection;
    sockets::prepare(&client);
    let server = match dial::dial(control, shared).await {
        Ok(server) => server,
        Err(dial::Failure::Requested(request)) => {
            return Some(close_undialled(shared, client, request).await);
        }
        Err(dial::Failure::Problem(problem)) => {
            control.dial_failed();
            control.publish(|| EventKind::DialFailed {
                connection,
                problem,
            });
            return Some(EndReason::DialFailed);
        }
    };
    sockets::prepare(&server);
    let mut relay = Relay::new(Arc::clone(control), Arc::clone(shared), client, server);
    let end = relay.run().await;
    let (client, server) = relay.into_sockets();
    finish(control, shared, client, server, end).await
}

/// Ends both sockets as requested. Returns `None` if the end was reported already.
async fn finish(
    control: &Control,
    shared: &Shared,
    client: TcpStream,
    server: TcpStream,
    end: End,
) -> Option<EndReason> {
    let (reason, mode) = match end {
        End::Finished => return Some(EndReason::Finished),
        // A reset of one side is one for the other side, as without the proxy.
        End::Failed(problem, _) => (EndReason::Failed(problem), CloseMode::Rst),
        End::Requested(Request::Stop) => return Some(EndReason::Stopped),
        End::Requested(Request::Close(mode)) => (EndReason::Closed(mode), mode),
        End::Toxic(name, Ending::Close(mode), _) => {
            let name = String::from(&*name);
            (EndReason::Toxic { name, mode }, mode)
        }
        End::Toxic(name, Ending::Forget, direction) => {
            let name = String::from(&*name);
            ended(control, shared, EndReason::HalfOpen { name });
            // The sender's socket closes, and the receiver's stays open.
            let (sender, receiver) = match direction {
                Direction::ToServer => (client, server),
                Direction::ToClient => (server, client),
            };
            drop(sender);
            after::swallow(shared, vec![receiver]).await;
            return None;
        }
    };
    match mode {
        CloseMode::Fin => {
            ended(control, shared, reason);
            after::linger(shared, [client, server]).await;
        }
        CloseMode::Rst => {
            sockets::reset(client);
            sockets::reset(server);
            return Some(reason);
        }
        CloseMode::Silent => {
            ended(control, shared, reason);
            after::swallow(shared, vec![client, server]).await;
        }
    }
    None
}

async fn close_undialled(shared: &Shared, client: TcpStream, request: Request) -> EndReason {
    match request {
        Request::Stop => EndReason::Stopped,
        Request::Close(mode) => {
            match mode {
                CloseMode::Fin => drop(client),
                CloseMode::Rst => sockets::reset(client),
                CloseMode::Silent => after::swallow(shared, vec![client]).await,
            }
            EndReason::Closed(mode)
        }
    }
}
