//! A hub over the memory engine, with virtual time and the recorded outputs of the hub.
//!
//! The engine responds to every request of the hub; a test says when, and what it expects. Tests number the publications
//! of a channel 1, 2, 3, whatever their offsets are; publication `n` of another shard has the payload `{"n":n}`.
//!
//! What the memory engine never does is injected:
//!
//! - [`Script::reject`]: the rejection of an engine whose storage fails, in
//!   `commands::a_rejection_by_the_log_becomes_a_temporary_error_unless_it_is_permanent`,
//!   `fanout::a_shard_that_cannot_catch_up_advises_its_subscribers_to_resubscribe`,
//!   `recovery::a_recovery_that_retention_overtakes_is_closed_with_2500` and
//!   `recovery::a_subscription_that_the_log_rejects_is_removed`;
//! - [`Script::lose`]: a commit that is lost without a lag, in
//!   `fanout::a_gap_between_commits_is_read_again_even_without_a_lagged_event`;
//! - [`Script::repeat_newest_commit`]: a commit that is delivered twice, in
//!   `fanout::a_commit_that_was_read_already_is_not_sent_again`.
//!
//! A lag is not injected: a shard that calls [`Script::stop_reading`] lags like any slow shard. Neither is a delayed
//! response: a test reorders the reads in [`Script::requests`], which the contract of engines permits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use steadfast_engine::memory::{MemorySettings, Offsets};
use steadfast_engine::{ChannelEpoch, Rejection, Request, Response};
use steadfast_hub::Hub;
use steadfast_hub::event::Event;
use steadfast_hub::io::{
    Access, ApiCall, ClientId, ConnectAttempt, ConnectionLoss, Input, Output, PeerId, Published,
    ShardMessage,
};
use steadfast_hub::policy::{AnonymousInfo, ConnectDecider, HubPolicy, HubSettings, JoinLeave};
use steadfast_hub::quota::Quota;
use steadfast_machine::{Instant, Machine, Seed, Timestamp};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Reply, ReplyResult};

use crate::engine::Engine;
use crate::messages::{connect, subscribe, subscribed};
use crate::responses::{checked, payload};

/// The epoch of every channel that has not expired.
pub(crate) const EPOCH: ChannelEpoch = ChannelEpoch::new(0xe, 0);

/// [`EPOCH`] in its wire format.
pub(crate) const EPOCH_TEXT: &str = "000000000000000e.0";

/// The wall-clock time at [`Instant::START`].
pub(crate) const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A shard that has this many commits to read lags with the next one.
const UNREAD_MAX: usize = 1;

pub(crate) struct Script {
    hub: Hub,
    pub(crate) engine: Engine,
    is_reading: bool,
    now: Instant,
    next_peer: u32,
    inboxes: BTreeMap<PeerId, Vec<Reply>>,
    pub(crate) closed: BTreeMap<PeerId, (u16, String)>,
    /// The requests that the engine has not executed yet, in order.
    pub(crate) requests: Vec<Request>,
    pub(crate) broadcasts: Vec<ShardMessage>,
    pub(crate) events: Vec<Event>,
    pub(crate) paused: Vec<PeerId>,
    pub(crate) resumed: Vec<PeerId>,
    /// The peers that are paused now.
    paused_now: BTreeSet<PeerId>,
    /// What peers have sent and the hub does not accept yet, as a shell keeps it.
    unhandled: BTreeMap<PeerId, VecDeque<Result<Command, DecodeError>>>,
    /// The replies to calls of the API.
    pub(crate) api_replies: Vec<(ApiCall, Result<Published, ErrorCode>)>,
    /// The decisions that the hub has requested, with their numbers.
    pub(crate) decisions: Vec<(u64, ConnectAttempt)>,
    /// Peers of each fan-out, in order.
    pub(crate) fanouts: Vec<Vec<PeerId>>,
}

/// More than any test uses that is not about quotas.
const QUOTA: Quota = Quota {
    uses_max: 10_000,
    period: Duration::from_mins(1),
};

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
        message_timeout: Duration::from_secs(30),
        send_buffer_bytes_max: 1 << 20,
        unsent_memory_bytes_max: 4 << 20,
        incomplete_bytes_max: 128 << 10,
        peers_max: 100,
        channels_per_peer_max: 3,
        new_channels_per_peer: QUOTA,
        keys_per_peer: QUOTA,
        pending_requests_per_peer_max: 4,
        pending_requests_max: 64,
        pending_request_bytes_max: 1 << 20,
        catch_up_reads_max: 2,
        recovery_publications_max: 3,
        recovery_reply_bytes_max: 4096,
        recovery_bytes_max: 65_536,
        history_publications_max: 10,
        presence_clients_max: 3,
        presence_timeout: Duration::from_secs(3),
        join_leave: JoinLeave::On,
        anonymous_info: AnonymousInfo::Ignored,
        connect_decider: ConnectDecider::Hub,
        limits: Limits::DEFAULT,
    }
}

impl Script {
    pub(crate) fn new(offsets: Offsets) -> Self {
        Self::with(offsets, settings())
    }

    pub(crate) fn with(offsets: Offsets, settings: HubSettings) -> Self {
        let memory = MemorySettings {
            offsets,
            ..MemorySettings::for_tests()
        };
        Self::over(Engine::new(memory, UNREAD_MAX), settings)
    }

    /// A script whose engine has other limits.
    pub(crate) fn with_memory(memory: MemorySettings) -> Self {
        Self::over(Engine::new(memory, UNREAD_MAX), settings())
    }

    /// A script over this engine.
    pub(crate) fn over(engine: Engine, settings: HubSettings) -> Self {
        let policy = HubPolicy::try_from(settings).expect("valid");
        Self {
            hub: Hub::new(policy, Seed::new(1), Instant::START),
            engine,
            is_reading: true,
            now: Instant::START,
            next_peer: 0,
            inboxes: BTreeMap::new(),
            closed: BTreeMap::new(),
            requests: Vec::new(),
            broadcasts: Vec::new(),
            events: Vec::new(),
            paused: Vec::new(),
            resumed: Vec::new(),
            paused_now: BTreeSet::new(),
            unhandled: BTreeMap::new(),
            decisions: Vec::new(),
            api_replies: Vec::new(),
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

    /// A peer that is live in a channel with this many publications; all replies are read already.
    pub(crate) fn subscribe(&mut self, channel: &str, high_watermark: u64) -> PeerId {
        self.fill(channel, high_watermark);
        let peer = self.connect();
        self.send(peer, subscribe(2, channel));
        if !self.requests.is_empty() {
            self.respond(checked(high_watermark));
        }
        assert_eq!(self.read(peer), [subscribed(2, high_watermark)]);
        self.broadcasts.clear();
        peer
    }

    pub(crate) fn send(&mut self, peer: PeerId, command: Command) {
        let command = self.engine.numbering().command_with_offsets(command);
        self.receive_command(peer, Ok(command));
    }

    pub(crate) fn send_all(&mut self, peer: PeerId, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.send(peer, command);
        }
    }

    /// The peer sends a command; the hub receives it as soon as it has received those before it, and reads from the peer.
    pub(crate) fn receive_command(&mut self, peer: PeerId, command: Result<Command, DecodeError>) {
        self.unhandled.entry(peer).or_default().push_back(command);
        self.feed_commands(peer);
    }

    fn feed_commands(&mut self, peer: PeerId) {
        let at = self.engine.wall();
        while !self.paused_now.contains(&peer)
            && let Some(command) = self.unhandled.get_mut(&peer).and_then(VecDeque::pop_front)
        {
            self.handle(Input::CommandReceived { peer, command, at });
        }
    }

    pub(crate) fn lose_connection(&mut self, peer: PeerId) {
        self.unhandled.remove(&peer);
        self.handle(Input::Lost {
            peer,
            loss: ConnectionLoss::IoError,
        });
    }

    /// The engine executes the oldest request. Its response must be this one, and the hub receives it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a test writes the response in place"
    )]
    pub(crate) fn respond(&mut self, expected: Response) {
        let request = self.requests.remove(0);
        let response = self.engine.execute(&request);
        let numbering = self.engine.numbering();
        assert_eq!(
            numbering.response_with_numbers(response.clone()),
            expected,
            "{request:?}"
        );
        self.engine.respond(request.id().number, response);
        self.read_engine();
    }

    /// The engine executes the oldest request, and the hub receives the response, whatever it is.
    pub(crate) fn execute(&mut self) {
        let request = self.requests.remove(0);
        let response = self.engine.execute(&request);
        self.engine.respond(request.id().number, response);
        self.read_engine();
    }

    /// The engine executes all requests in order, and those that follow its responses.
    pub(crate) fn respond_to_all(&mut self) {
        while !self.requests.is_empty() {
            self.execute();
        }
    }

    /// The engine executes the oldest request, which must be a read. Returns its limit of payload bytes.
    pub(crate) fn respond_to_read(&mut self) -> usize {
        let Request::Read(read) = &self.requests[0] else {
            panic!("{:?}", self.requests[0]);
        };
        let bytes_max = read.bytes_max;
        self.execute();
        bytes_max
    }

    /// Another shard publishes a payload of this size.
    pub(crate) fn commit_bytes(&mut self, channel: &str, bytes: usize) {
        self.engine
            .publish(channel, format!("\"{}\"", "x".repeat(bytes - 2)));
        self.read_engine();
    }

    /// Injects the rejection of the oldest request, which the engine never receives.
    pub(crate) fn reject(&mut self, rejection: Rejection) {
        let number = self.requests.remove(0).id().number;
        self.engine.respond(number, Response::Rejected(rejection));
        self.read_engine();
    }

    /// Another shard publishes; this must be the channel's publication with this number.
    pub(crate) fn commit(&mut self, channel: &str, number: u64) {
        self.engine.publish(channel, payload(number));
        assert_eq!(self.engine.numbering().newest(channel), number);
        self.read_engine();
    }

    /// Another shard publishes until the channel has this many publications.
    pub(crate) fn fill(&mut self, channel: &str, newest: u64) {
        let first = self.engine.numbering().newest(channel) + 1;
        for number in first..=newest {
            self.commit(channel, number);
        }
        assert_eq!(self.engine.numbering().newest(channel), newest);
    }

    /// Injects a loss: like [`Self::commit`], but the shard never receives the commit.
    pub(crate) fn lose(&mut self, channel: &str, number: u64) {
        self.engine.publish_and_lose(channel, payload(number));
        assert_eq!(self.engine.numbering().newest(channel), number);
    }

    /// Injects a repetition: the newest commit of all channels is delivered again.
    pub(crate) fn repeat_newest_commit(&mut self) {
        self.engine.repeat_newest_commit();
        self.read_engine();
    }

    /// So much time passes in the engine alone that channels whose publications are too old expire.
    pub(crate) fn expire_channels(&mut self) {
        self.engine.advance(Duration::from_mins(2));
    }

    /// The shard is slow: until [`Self::continue_reading`] it receives no events, and lags if it misses two commits.
    pub(crate) const fn stop_reading(&mut self) {
        self.is_reading = false;
    }

    /// The shard receives all events since it stopped at once.
    pub(crate) fn continue_reading(&mut self) {
        self.is_reading = true;
        self.read_engine();
    }

    /// The channel gets this many publications, and the shard lags so far that it receives none of them: the next commit
    /// is one of another channel.
    pub(crate) fn miss(&mut self, channel: &str, newest: u64) {
        self.stop_reading();
        self.fill(channel, newest);
        self.fill("elsewhere", 1);
        self.continue_reading();
        assert!(matches!(
            self.events.last(),
            Some(Event::ShardLagged { channels: 1 })
        ));
    }

    fn read_engine(&mut self) {
        if self.is_reading && self.engine.has_events() {
            let events = self.engine.take(usize::MAX);
            self.handle(Input::Engine { events });
        }
    }

    /// The offset of a publication.
    pub(crate) fn offset(&self, channel: &str, number: u64) -> u64 {
        self.engine.numbering().offset(channel, number)
    }

    /// Delivers a message from the hub's inbox.
    pub(crate) fn receive(&mut self, message: ShardMessage) {
        self.handle(Input::ShardMessageReceived { message });
    }

    /// Lets time pass, and delivers a tick at each deadline of the hub and of the engine.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.hub.poll_timeout().filter(|at| *at <= end) {
            self.advance_to(at.max(self.now));
            self.handle(Input::Tick);
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, now: Instant) {
        self.engine.advance(now - self.now);
        self.now = now;
    }

    pub(crate) fn handle(&mut self, input: Input) {
        let mut resumed = Vec::new();
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
                Output::Disconnect {
                    peer, code, reason, ..
                } => {
                    self.unhandled.remove(&peer);
                    self.closed.insert(peer, (code, reason));
                }
                Output::PauseReading { peer } => {
                    self.paused.push(peer);
                    assert!(self.paused_now.insert(peer), "{peer:?} is paused twice");
                }
                Output::ResumeReading { peer } => {
                    resumed.push(peer);
                    assert!(self.paused_now.remove(&peer), "{peer:?} is not paused");
                }
                Output::Request(request) => self.requests.push(request),
                Output::ReplyToApi { call, outcome } => self.api_replies.push((call, outcome)),
                Output::Decide { number, attempt } => self.decisions.push((number, *attempt)),
                Output::Broadcast(message) => self.broadcasts.push(message),
                Output::Notify(event) => self.events.push(event),
            }
        }
        for peer in resumed {
            self.resumed.push(peer);
            self.feed_commands(peer);
        }
    }

    /// Everything that was sent to the peer since the last call.
    pub(crate) fn read(&mut self, peer: PeerId) -> Vec<Reply> {
        let replies = self.read_with_offsets(peer);
        let numbering = self.engine.numbering();
        let numbered = replies.into_iter();
        numbered
            .map(|reply| numbering.reply_with_numbers(reply))
            .collect()
    }

    /// Like [`Self::read`], but the messages are not translated.
    pub(crate) fn read_with_offsets(&mut self, peer: PeerId) -> Vec<Reply> {
        self.inboxes.remove(&peer).unwrap_or_default()
    }

    pub(crate) fn close_code(&self, peer: PeerId) -> Option<u16> {
        self.closed.get(&peer).map(|(code, _)| *code)
    }

    pub(crate) fn channel_count(&self) -> usize {
        self.hub.channel_count()
    }
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
