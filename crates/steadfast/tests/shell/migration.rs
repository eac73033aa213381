//! Failback and migration with two servers of one log: no publication is missing, duplicated, or acknowledged twice, and
//! the connection is never lost.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use steadfast::centrifuge::{
    Builder, Client, Item, SubscribeOptions, Subscription, SubscriptionEvent,
};
use steadfast::{DialLimit, EndpointLogs, FailbackSettings, SessionEvent, SessionPhase, defaults};
use steadfast_protocol::codec::Encoding;
use steadfast_protocol::idempotent::{self, IdempotentAck};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{
    ChannelName, Command, ConnectResult, Position, Publication, Push, PushEvent, Reply,
    ReplyResult, Request, SubscribeRequest, SubscribeResult,
};
use steadfast_protocol::websocket::{Decoder, Opcode, Role, WebSocketEvent, encoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::peer::{LIMITS, upgrade};

const CHANNEL: &str = "news";
const EPOCH: &str = "e";
/// Publications before the preferred server is available, and after the session has returned to it.
const PUBLICATIONS: u64 = 50;
/// Far longer than any of these tests needs.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The history of the channel, which all servers serve.
#[derive(Default)]
struct Log {
    items: Vec<Bytes>,
    /// The offset of each idempotency key.
    keys: BTreeMap<String, u64>,
    /// Publications that were sent again.
    duplicates: u64,
}

/// What the servers share, and how many connections each has.
struct Servers {
    log: Mutex<Log>,
    /// The offset of the newest publication.
    newest: watch::Sender<u64>,
    open: [watch::Sender<usize>; 2],
    /// Whether the preferred server accepts connections.
    is_preferred_up: AtomicBool,
}

impl Servers {
    fn append(&self, argument: &Bytes) -> IdempotentAck {
        let publish = idempotent::decode_publish(argument, &Limits::DEFAULT).unwrap();
        let mut log = self.log.lock().unwrap();
        let known = log.keys.get(&publish.idempotency_key).copied();
        let offset = known.unwrap_or_else(|| {
            log.items.push(publish.data);
            let offset = u64::try_from(log.items.len()).unwrap();
            log.keys.insert(publish.idempotency_key, offset);
            self.newest.send_replace(offset);
            offset
        });
        log.duplicates += u64::from(known.is_some());
        IdempotentAck {
            offset,
            epoch: EPOCH.to_owned(),
            duplicate: known.is_some(),
        }
    }

    fn publication(&self, offset: u64) -> Publication {
        let log = self.log.lock().unwrap();
        let index = usize::try_from(offset - 1).unwrap();
        Publication {
            data: log.items.get(index).expect("it is stored").clone(),
            offset,
            ..Publication::default()
        }
    }

    /// The number of open connections of a server.
    fn open(&self, server: usize) -> &watch::Sender<usize> {
        self.open.get(server).expect("one of two servers")
    }

    async fn wait_for_connections(&self, server: usize, count: usize) {
        let mut open = self.open(server).subscribe();
        within(open.wait_for(|it| *it == count)).await.unwrap();
    }
}

/// One connection to a server.
struct Connection {
    servers: Arc<Servers>,
    /// The offset of the last publication that was sent; `None` without a subscription.
    sent: Option<u64>,
    replies: Vec<u8>,
    has_ended: bool,
}

impl Connection {
    fn reply(&mut self, reply: &Reply) {
        if !self.replies.is_empty() {
            self.replies.extend_from_slice(Encoding::Json.separator());
        }
        Encoding::Json.append_reply(&mut self.replies, reply);
    }

    fn execute(&mut self, command: Command) {
        let result = match command.request {
            Request::Connect(_) => ReplyResult::Connect(ConnectResult::default()),
            Request::Subscribe(request) => ReplyResult::Subscribe(self.subscribe(&request)),
            Request::Rpc(rpc) => {
                let ack = self.servers.append(&rpc.data);
                let mut result = Vec::new();
                idempotent::append_ack(&mut result, &ack);
                ReplyResult::Rpc(Bytes::from(result))
            }
            other @ (Request::Unsubscribe(_)
            | Request::Publish(_)
            | Request::Presence(_)
            | Request::PresenceStats(_)
            | Request::History(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_)
            | Request::Pong) => panic!("{other:?}"),
        };
        let (id, outcome) = (command.id, Ok(result));
        self.reply(&Reply::Response { id, outcome });
    }

    fn subscribe(&mut self, request: &SubscribeRequest) -> SubscribeResult {
        let offset = if request.recover {
            request.position.offset
        } else {
            *self.servers.newest.borrow()
        };
        self.sent = Some(offset);
        SubscribeResult {
            recovered: request.recover,
            was_recovering: request.recover,
            recoverable: true,
            positioned: true,
            position: Position {
                epoch: EPOCH.to_owned(),
                offset,
            },
            ..SubscribeResult::default()
        }
    }

    /// Sends what the subscription has not received.
    fn push_new(&mut self) {
        let newest = *self.servers.newest.borrow();
        let Some(sent) = self.sent.replace(newest) else {
            self.sent = None;
            return;
        };
        for offset in sent + 1..=newest {
            let event = PushEvent::Publication(self.servers.publication(offset));
            let channel = ChannelName::from(CHANNEL);
            self.reply(&Reply::Push(Push { channel, event }));
        }
    }

    fn read(&mut self, decoder: &mut Decoder, received: &mut [u8]) {
        let mut reading = decoder.read(received);
        while let Some(event) = reading.next_event().unwrap() {
            match event {
                WebSocketEvent::Message { payload, .. } => {
                    let message = Bytes::copy_from_slice(payload);
                    for command in Encoding::Json.decode_commands(&message, &Limits::DEFAULT) {
                        self.execute(command.unwrap());
                    }
                }
                WebSocketEvent::Close { .. } => self.has_ended = true,
                WebSocketEvent::Ping(_) | WebSocketEvent::Pong(_) => {}
            }
        }
    }

    /// Serves the connection until one side ends it.
    async fn serve(mut self, mut socket: TcpStream) -> Option<()> {
        upgrade(&mut socket).await?;
        let mut decoder = Decoder::new(Role::Server, LIMITS);
        let mut newest = self.servers.newest.subscribe();
        while !self.has_ended {
            let mut received = Vec::new();
            tokio::select! {
                read = socket.read_buf(&mut received) => {
                    if read.ok()? == 0 {
                        return None;
                    }
                    self.read(&mut decoder, &mut received);
                }
                _ = newest.changed() => {}
            }
            self.push_new();
            if !self.replies.is_empty() {
                let frame = encoder::encode_server(Opcode::Text, &self.replies);
                self.replies.clear();
                socket.write_all(&frame).await.ok()?;
            }
        }
        let close = encoder::encode_server(Opcode::Close, &1_000_u16.to_be_bytes());
        socket.write_all(&close).await.ok()
    }
}

/// Starts one of the servers. Returns its URL.
async fn listen(servers: Arc<Servers>, server: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    tokio::spawn(accept(listener, servers, server));
    url
}

/// Accepts connections of one server. While it is down it closes them at once.
async fn accept(listener: TcpListener, servers: Arc<Servers>, server: usize) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        if server == 0 && !servers.is_preferred_up.load(Ordering::SeqCst) {
            continue;
        }
        let connection = Connection {
            servers: Arc::clone(&servers),
            sent: None,
            replies: Vec::new(),
            has_ended: false,
        };
        let servers = Arc::clone(&servers);
        tokio::spawn(async move {
            servers.open(server).send_modify(|it| *it += 1);
            connection.serve(socket).await;
            servers.open(server).send_modify(|it| *it -= 1);
        });
    }
}

/// Starts two servers of one log; returns them, and a builder of a client that prefers the first.
async fn start(is_preferred_up: bool) -> (Arc<Servers>, Builder) {
    let servers = Arc::new(Servers {
        log: Mutex::default(),
        newest: watch::Sender::new(0),
        open: [watch::Sender::new(0), watch::Sender::new(0)],
        is_preferred_up: AtomicBool::new(is_preferred_up),
    });
    let preferred = listen(Arc::clone(&servers), 0).await;
    let fallback = listen(Arc::clone(&servers), 1).await;
    let builder = Client::builder(&preferred).unwrap();
    let builder = builder.fallback_endpoint(&fallback).unwrap();
    (servers, builder.endpoint_logs(EndpointLogs::Shared))
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TIME_LIMIT, future).await.expect("in time")
}

/// Subscribes with a buffer for everything that is published: nothing reads before the end.
fn subscribe(client: &Client) -> Subscription {
    client.subscribe_with(SubscribeOptions::new(CHANNEL, usize::MAX))
}

/// Publishes this number of publications, several at a time; each is acknowledged once.
async fn publish(client: &Client, count: u64) {
    let mut receipts = Vec::new();
    for number in 0..count {
        let sent = within(client.message(CHANNEL, &number).send()).await;
        receipts.push(sent.unwrap());
    }
    for receipt in receipts {
        let acknowledgement = within(receipt).await.unwrap();
        assert!(!acknowledgement.duplicate, "stored by its first command");
    }
}

/// The subscription has received each publication of the log once and in order, and no gap.
async fn check_received(subscription: &mut Subscription, servers: &Servers) {
    let newest = *servers.newest.borrow();
    let mut last = 0;
    while last < newest {
        match within(subscription.next())
            .await
            .expect("the session is open")
        {
            SubscriptionEvent::Item(Item::Publication(it)) => {
                assert_eq!(it.offset, last + 1, "in order, and none is missing");
                assert_eq!(it.data, servers.publication(it.offset).data);
                last = it.offset;
            }
            SubscriptionEvent::Subscribed { .. } | SubscriptionEvent::Resumed { .. } => {}
            other @ (SubscriptionEvent::Gap { .. }
            | SubscriptionEvent::Interrupted { .. }
            | SubscriptionEvent::Item(_)
            | SubscriptionEvent::Unsubscribed(_)
            | _) => panic!("{other:?}"),
        }
    }
    assert_eq!(
        servers.log.lock().unwrap().duplicates,
        0,
        "nothing is sent twice"
    );
}

#[tokio::test]
async fn a_session_returns_to_the_preferred_server_and_nothing_is_lost_or_repeated() {
    let (servers, builder) = start(false).await;
    let short = Duration::from_millis(50);
    let endpoints = defaults::ENDPOINTS
        .hold_down(short)
        .hold_down_jitter(short)
        .failback(FailbackSettings::new(short).jitter(short));
    let builder = builder.endpoints(endpoints);
    let client = builder.connect().unwrap();
    let mut subscription = subscribe(&client);
    within(client.ready(TIME_LIMIT)).await.unwrap();
    assert_eq!(client.state().borrow().endpoint, 1);
    publish(&client, PUBLICATIONS).await;
    let mut events = client.events();

    // The session publishes until it is back, over both connections.
    servers.is_preferred_up.store(true, Ordering::SeqCst);
    let mut state = client.state();
    let is_back = state.wait_for(|it| it.endpoint == 0 && it.phase == SessionPhase::Ready);
    let load = async {
        loop {
            publish(&client, 1).await;
        }
    };
    tokio::select! {
        back = within(is_back) => drop(back.unwrap()),
        () = load => {}
    }
    publish(&client, PUBLICATIONS).await;

    check_received(&mut subscription, &servers).await;
    servers.wait_for_connections(0, 1).await;
    servers.wait_for_connections(1, 0).await;
    while let Ok(event) = events.try_recv() {
        assert!(!matches!(event, SessionEvent::Lost { .. }), "{event:?}");
    }
    assert_eq!(client.state().borrow().reconnects, 0);
}

#[tokio::test]
async fn an_application_moves_its_session_under_load_and_nothing_is_lost_or_repeated() {
    let (servers, builder) = start(true).await;
    let client = builder.connect().unwrap();
    let mut subscription = subscribe(&client);
    within(client.ready(TIME_LIMIT)).await.unwrap();

    for turn in 1..=6 {
        let to = turn % 2;
        let mut state = client.state();
        let has_moved = state.wait_for(|it| it.endpoint == to && it.phase == SessionPhase::Ready);
        if turn < 4 {
            client.migrate().unwrap();
        } else {
            client.migrate_to(to).unwrap();
        }
        let (moved, ()) = tokio::join!(within(has_moved), publish(&client, PUBLICATIONS));
        drop(moved.unwrap());
        servers.wait_for_connections(1 - to, 0).await;
    }

    check_received(&mut subscription, &servers).await;
    servers.wait_for_connections(0, 1).await;
    assert_eq!(client.state().borrow().epoch.0, 7);
}

#[tokio::test]
async fn a_second_connection_waits_for_the_dial_limit_too() {
    let (servers, builder) = start(true).await;
    let limit = DialLimit::new(1);
    let client = builder.dial_limit(limit.clone()).connect().unwrap();
    within(client.ready(TIME_LIMIT)).await.unwrap();
    // The attempt of another client is in progress: its server does not respond.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let other = Client::builder(&url).unwrap().dial_limit(limit);
    let (_other, driver) = other.build().unwrap();
    let driver = tokio::spawn(driver);
    let held = within(silent.accept()).await.unwrap();

    let mut events = client.events();
    client.migrate().unwrap();
    while !matches!(
        within(events.recv()).await.unwrap(),
        SessionEvent::Migrating { .. }
    ) {}
    publish(&client, PUBLICATIONS).await;
    assert_eq!(*servers.open(1).borrow(), 0, "not dialled yet");
    driver.abort();
    drop(held);

    servers.wait_for_connections(1, 1).await;
    servers.wait_for_connections(0, 0).await;
}
