//! The task of a proxy: accepts clients, executes changes of the addresses, and ends toxics whose duration has passed.

use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use steadfast_machine::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::connection;
use crate::control::Control;
use crate::error::Error;
use crate::event::EventKind;
use crate::sockets;

/// The pause after a failed accept, for example without a free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A change of the addresses, with the resolved addresses to listen on.
#[derive(Debug)]
pub(crate) struct Move {
    /// The address as it was given, and what it resolves to; `None` keeps the present one.
    pub(crate) listen: Option<(String, Vec<SocketAddr>)>,
    pub(crate) upstream: Option<String>,
    pub(crate) dial_timeout: Option<Duration>,
    pub(crate) is_enabled: Option<bool>,
}

/// What a call requests of the task.
#[derive(Debug)]
pub(crate) enum Command {
    /// To change addresses, with where the result goes.
    Move(Move, oneshot::Sender<Result<(), Error>>),
    /// The toxics changed, and with them perhaps the time at which the next one ends.
    ToxicsChanged,
}

/// The task of a proxy. Dropping it closes the port and all connections.
#[derive(Debug)]
pub(crate) struct Listener {
    control: Arc<Control>,
    commands: mpsc::Receiver<Command>,
    /// The addresses to listen on, of which the first that can be bound is used; once bound, only that one.
    addresses: Vec<SocketAddr>,
    socket: Option<TcpListener>,
    connections: JoinSet<()>,
    expiry: Option<(Instant, Pin<Box<Sleep>>)>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Listener {
    pub(crate) fn new(control: Arc<Control>, commands: mpsc::Receiver<Command>) -> Self {
        Self {
            control,
            commands,
            addresses: Vec::new(),
            socket: None,
            connections: JoinSet::new(),
            expiry: None,
            pause: None,
        }
    }

    /// Works until the handle of the proxy is dropped.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(Command::Move(change, reply))) => {
                    // A caller that does not wait any more needs no reply.
                    drop(reply.send(self.change(change)));
                }
                Poll::Ready(Some(Command::ToxicsChanged)) => {}
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        self.poll_expiry(cx);
        while let Poll::Ready(Some(_ended)) = self.connections.poll_join_next(cx) {}
        self.poll_accept(cx);
        Poll::Pending
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) {
        while let Some(socket) = &self.socket {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return;
                }
                self.pause = None;
            }
            match socket.poll_accept(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok((client, peer))) => self.accepted(client, peer),
                Poll::Ready(Err(error)) => {
                    self.control
                        .publish(|| EventKind::AcceptFailed(error.to_string()));
                    self.pause = Some(Box::pin(tokio::time::sleep(ACCEPT_PAUSE)));
                }
            }
        }
    }

    fn accepted(&mut self, client: TcpStream, peer: SocketAddr) {
        match self.control.accept(peer) {
            Some(shared) => {
                let control = Arc::clone(&self.control);
                self.connections
                    .spawn(connection::run(control, shared, client));
            }
            None => sockets::reset(client),
        }
    }

    /// Removes the toxics whose duration has passed, until none is due.
    fn poll_expiry(&mut self, cx: &mut Context<'_>) {
        while let Some(next) = self.control.expire_toxics() {
            let (armed_for, timer) = self.expiry.get_or_insert_with(|| {
                let left = next.saturating_since(self.control.now());
                (next, Box::pin(tokio::time::sleep(left)))
            });
            if *armed_for == next && timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.expiry = None;
        }
        self.expiry = None;
    }

    /// Changes the addresses: the port is open or closed when this returns.
    pub(crate) fn change(&mut self, change: Move) -> Result<(), Error> {
        let before = self.control.settings();
        let is_moved = change.listen.as_ref().is_some_and(|(_, resolved)| {
            before
                .local_addr
                .is_none_or(|bound| !resolved.contains(&bound))
        });
        let is_redirected = change
            .upstream
            .as_ref()
            .is_some_and(|upstream| *upstream != before.upstream);
        let is_enabled = change.is_enabled.unwrap_or(before.is_enabled);
        if is_moved || is_redirected || !is_enabled {
            self.stop();
        }
        self.control.change_settings(|settings| {
            if let Some((listen, resolved)) = change.listen.filter(|_| is_moved) {
                settings.listen = listen;
                settings.local_addr = None;
                self.addresses = resolved;
            }
            if let Some(upstream) = change.upstream {
                settings.upstream = upstream;
            }
            settings.dial_timeout = change.dial_timeout.unwrap_or(settings.dial_timeout);
        });
        if is_enabled && self.socket.is_none() {
            self.start()
        } else {
            Ok(())
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        let mut failure = std::io::Error::from(ErrorKind::AddrNotAvailable);
        for address in &self.addresses {
            match sockets::listen(*address).and_then(|socket| Ok((socket.local_addr()?, socket))) {
                Ok((local_addr, socket)) => {
                    self.socket = Some(socket);
                    self.addresses = vec![local_addr];
                    self.control.change_settings(|settings| {
                        settings.listen = local_addr.to_string();
                        settings.local_addr = Some(local_addr);
                        settings.is_enabled = true;
                    });
                    self.control.publish(|| EventKind::Listening(local_addr));
                    return Ok(());
                }
                // The next address of a name would be another port for clients: what listens here would get them.
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    failure = error;
                    break;
                }
                Err(error) => failure = error,
            }
        }
        Err(Error::Listen {
            listen: self.control.settings().listen,
            source: failure,
        })
    }

    /// Closes the port, and requests the end of all connections.
    fn stop(&mut self) {
        if self.socket.take().is_some() {
            self.control.publish(|| EventKind::Stopped);
        }
        self.control
            .change_settings(|settings| settings.is_enabled = false);
        self.control.stop_connections();
    }
}
