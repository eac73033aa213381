//! A hub with virtual time, its recorded outputs, and a log that the test controls.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_engine::{
    ChannelEpoch, Committed, EngineEvent, Page, PayloadKind, Publisher, ReadResponse, Record,
    Rejection, Request, Response, RetentionClass,
};
use steadfast_hub::Hub;
use steadfast_hub::event::Event;
use steadfast_hub::io::{Access, ClientId, ConnectionLoss, Input, Output, PeerId, ShardMessage};
use steadfast_hub::policy::{AnonymousInfo, HubPolicy, HubSettings, JoinLeave};
use steadfast_machine::convert::saturating;
use steadfast_machine::{Instant, Machine, Seed, Timestamp};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ChannelName, Command, Reply, ReplyResult};

use crate::messages::{connect, subscribe, subscribed};

/// The epoch of every channel unless a test says otherwise.
pub(crate) const EPOCH: ChannelEpoch = ChannelEpoch::new(0xe, 0);

/// [`EPOCH`] in its wire format.
pub(crate) const EPOCH_TEXT: &str = "000000000000000e.0";

/// The wall-clock time at [`Instant::START`].
pub(crate) const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) struct Script {
    hub: Hub,
    now: Instant,
    next_peer: u32,
    inboxes: BTreeMap<PeerId, Vec<Reply>>,
    pub(crate) closed: BTreeMap<PeerId, (u16, String)>,
    pub(crate) requests: Vec<Request>,
    pub(crate) broadcasts: Vec<ShardMessage>,
    pub(crate) events: Vec<Event>,
    pub(crate) paused: Vec<PeerId>,
    pub(crate) resumed: Vec<PeerId>,
    /// Peers of each fan-out, in order.
    pub(crate) fanouts: Vec<Vec<PeerId>>,
}

pub(crate) fn settings() -> HubSettings {
    HubSettings {
        shard: 0,
        shards: 1,
        server: "steadfast test".to_owned(),
        ping_interval: Duration::from_secs(25),
        pong_timeout: Duration::from_secs(8),
        connect_timeout: Duration::from_secs(10),
        rejected_close_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        send_buffer_bytes_max: 1 << 20,
        peers_max: 100,
        channels_per_peer_max: 3,
        pending_requests_per_peer_max: 4,
        pending_requests_max: 64,
        recovery_publications_max: 3,
        recovery_bytes_max: 65_536,
        history_publications_max: 10,
        presence_clients_max: 3,
        presence_timeout: Duration::from_secs(3),
        join_leave: JoinLeave::On,
        anonymous_info: AnonymousInfo::Ignored,
        limits: Limits::DEFAULT,
    }
}

impl Script {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: HubSettings) -> Self {
        let policy = HubPolicy::try_from(settings).expect("valid");
        Self {
            hub: Hub::new(policy, Seed::new(1), Instant::START),
            now: Instant::START,
            next_peer: 0,
            inboxes: BTreeMap::new(),
            closed: BTreeMap::new(),
            requests: Vec::new(),
            broadcasts: Vec::new(),
            events: Vec::new(),
            paused: Vec::new(),
            resumed: Vec::new(),
            fanouts: Vec::new(),
        }
    }

    pub(crate) fn accept(&mut self) -> PeerId {
        self.accept_with(Access::Anonymous)
    }

    pub(crate) fn accept_with(&mut self, access: Access) -> PeerId {
        let peer = PeerId {
            index: self.next_peer,
            generation: 7,
        };
        self.next_peer += 1;
        let client = ClientId(u128::from(self.next_peer));
        self.handle(Input::Accepted {
            peer,
            client,
            access,
        });
        peer
    }

    /// Accepts a peer and opens its session; the connect reply is read already.
    pub(crate) fn connect(&mut self) -> PeerId {
        let peer = self.accept();
        self.send(peer, connect());
        assert!(is_connected(&self.read(peer)));
        peer
    }

    /// A peer that is live in a channel with this high watermark; all replies are read already.
    pub(crate) fn subscribe(&mut self, channel: &str, high_watermark: u64) -> PeerId {
        let peer = self.connect();
        self.send(peer, subscribe(2, channel));
        if !self.requests.is_empty() {
            self.respond(page(high_watermark, &[]));
        }
        assert_eq!(self.read(peer), [subscribed(2, high_watermark)]);
        self.broadcasts.clear();
        peer
    }

    pub(crate) fn send(&mut self, peer: PeerId, command: Command) {
        self.receive_command(peer, Ok(command));
    }

    pub(crate) fn send_all(&mut self, peer: PeerId, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.send(peer, command);
        }
    }

    pub(crate) fn receive_command(&mut self, peer: PeerId, command: Result<Command, DecodeError>) {
        let at = self.wall();
        self.handle(Input::CommandReceived { peer, command, at });
    }

    /// The wall-clock time now.
    fn wall(&self) -> Timestamp {
        let elapsed = self.now - Instant::START;
        Timestamp::from_millis(WALL.as_millis() + saturating::<u64>(elapsed.as_millis()))
    }

    pub(crate) fn lose_connection(&mut self, peer: PeerId) {
        self.handle(Input::Lost {
            peer,
            loss: ConnectionLoss::IoError,
        });
    }

    /// Responds to the oldest pending request.
    pub(crate) fn respond(&mut self, response: Response) {
        let request = self.requests.remove(0);
        let number = match request {
            Request::Append(append) => append.request_id.number,
            Request::Read(read) => read.request_id.number,
        };
        self.log(vec![EngineEvent::Response { number, response }]);
    }

    pub(crate) fn commit(&mut self, channel: &str, offset: u64) {
        self.log(vec![committed(channel, EPOCH, offset)]);
    }

    pub(crate) fn log(&mut self, events: Vec<EngineEvent>) {
        self.handle(Input::Engine { events });
    }

    /// Delivers a message from the hub's inbox.
    pub(crate) fn receive(&mut self, message: ShardMessage) {
        self.handle(Input::ShardMessageReceived { message });
    }

    /// Lets time pass, and delivers a tick at each deadline of the hub.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.hub.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    pub(crate) fn handle(&mut self, input: Input) {
        self.hub.handle(self.now, input);
        while let Some(output) = self.hub.poll_output() {
            match output {
                Output::Send { peer, message } => {
                    self.inboxes.entry(peer).or_default().push(message);
                }
                Output::Fanout { message, to } => {
                    for peer in to.iter() {
                        self.inboxes.entry(*peer).or_default().push(message.clone());
                    }
                    self.fanouts.push(to.to_vec());
                }
                Output::Disconnect { peer, code, reason } => {
                    self.closed.insert(peer, (code, reason));
                }
                Output::PauseReading { peer } => self.paused.push(peer),
                Output::ResumeReading { peer } => self.resumed.push(peer),
                Output::Request(request) => self.requests.push(request),
                Output::Broadcast(message) => self.broadcasts.push(message),
                Output::Notify(event) => self.events.push(event),
            }
        }
    }

    /// Everything that was sent to the peer since the last call.
    pub(crate) fn read(&mut self, peer: PeerId) -> Vec<Reply> {
        self.inboxes.remove(&peer).unwrap_or_default()
    }

    pub(crate) fn close_code(&self, peer: PeerId) -> Option<u16> {
        self.closed.get(&peer).map(|(code, _)| *code)
    }

    pub(crate) fn channel_count(&self) -> usize {
        self.hub.channel_count()
    }
}

/// A commit of the payload `{"n":offset}` in a channel with dense offsets.
pub(crate) fn committed(channel: &str, epoch: ChannelEpoch, offset: u64) -> EngineEvent {
    committed_after(offset - 1, channel, epoch, offset)
}

/// A commit of the payload `{"n":offset}` that follows another one in its channel.
pub(crate) fn committed_after(
    previous: u64,
    channel: &str,
    epoch: ChannelEpoch,
    offset: u64,
) -> EngineEvent {
    EngineEvent::Committed(Committed {
        channel: ChannelName::from(channel),
        epoch,
        previous,
        record: record(offset),
    })
}

pub(crate) fn record(offset: u64) -> Record {
    Record {
        offset,
        data: Bytes::from(format!(r#"{{"n":{offset}}}"#)),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        at: Timestamp::default(),
    }
}

/// A complete response to a read: the channel's high watermark and the records read.
pub(crate) fn page(high_watermark: u64, offsets: &[u64]) -> Response {
    response_with(high_watermark, offsets, false)
}

/// A response that was truncated by a limit.
pub(crate) fn first_page(high_watermark: u64, offsets: &[u64]) -> Response {
    response_with(high_watermark, offsets, true)
}

fn response_with(high_watermark: u64, offsets: &[u64], has_more: bool) -> Response {
    let first = offsets.first();
    Response::Read(ReadResponse {
        epoch: EPOCH,
        high_watermark,
        page: Page::Records {
            previous: first.map_or(high_watermark, |first| first - 1),
            records: offsets.iter().map(|offset| record(*offset)).collect(),
            has_more,
        },
    })
}

pub(crate) fn unrecoverable(high_watermark: u64) -> Response {
    Response::Read(ReadResponse {
        epoch: EPOCH,
        high_watermark,
        page: Page::Unrecoverable,
    })
}

pub(crate) fn rejected(rejection: Rejection) -> Response {
    Response::Rejected(rejection)
}

/// Whether this is the reply to a connect command that was accepted, and nothing else.
pub(crate) const fn is_connected(replies: &[Reply]) -> bool {
    matches!(
        replies,
        [Reply::Response {
            id: 1,
            outcome: Ok(ReplyResult::Connect(_)),
        }]
    )
}
