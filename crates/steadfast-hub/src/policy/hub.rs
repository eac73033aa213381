//! The settings of a hub, checked once.

use std::time::Duration;

use steadfast_protocol::limits::Limits;

use crate::wheel::TICK;

/// What one hub may do, and how long it waits. Plain numbers; [`HubPolicy`] is the checked form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubSettings {
    /// This hub's number, below `cores`.
    pub core: u16,
    /// How many hubs share the log; at least 1.
    pub cores: u16,
    /// Name and version told to clients.
    pub server: String,
    /// Time between two pings of the same peer; whole seconds, 1 s to 1 h. The first one comes after half to a whole.
    pub ping_interval: Duration,
    /// How long after a ping a peer may stay silent; shorter than `ping_interval`.
    pub pong_timeout: Duration,
    /// How long a peer may take to send its connect command.
    pub stale_timeout: Duration,
    /// How long a refused peer may take to close.
    pub refused_timeout: Duration,
    /// How long unsent bytes may wait before the peer counts as slow. It starts anew when all that waited at its start
    /// is written.
    pub write_deadline: Duration,
    /// How many unsent bytes may wait for one peer.
    pub backlog_bytes_max: usize,
    /// Sessions of this hub that may be open at once; beyond it connects are refused with error 111. With the
    /// connections that have no session at most twice as many; beyond that new ones are closed with 1013.
    pub peers_max: usize,
    /// Subscriptions of one peer.
    pub channels_per_peer_max: usize,
    /// Unanswered requests of one peer; at it nothing more is read from that peer, and its commands wait. A request
    /// whose answer may be large (history, recovery, presence) counts as a quarter of it.
    pub asks_per_peer_max: usize,
    /// Unanswered requests to the log of this hub; beyond it requests are refused with error 111.
    pub asks_max: usize,
    /// Publications in one recovery reply or push page.
    pub recovery_publications_max: usize,
    /// Payload bytes in one recovery reply or push page.
    pub recovery_bytes_max: usize,
    /// Publications in one history reply.
    pub history_publications_max: usize,
    /// Clients in one presence reply; beyond it error 106.
    pub presence_clients_max: usize,
    /// How long the other cores may take to tell who is present.
    pub presence_timeout: Duration,
    /// Whether subscribers may ask for join and leave pushes.
    pub join_leave: JoinLeave,
    /// What the connect data of an anonymous client is good for.
    pub anonymous_info: AnonymousInfo,
    /// Sizes of what a peer sends.
    pub limits: Limits,
}

/// Whether subscribers may ask for join and leave pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinLeave {
    /// They may.
    Offered,
    /// They may not; nothing is told between cores either.
    Off,
}

/// What the connect data of an anonymous client is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousInfo {
    /// Nothing: nobody vouches for it.
    Ignored,
    /// A JSON object of at most [`HubSettings::CONN_INFO_BYTES_MAX`] bytes is shown to others as the client's info.
    Shown,
}

impl HubSettings {
    /// 1 KiB: a name, a colour and a picture's address; it is repeated in every presence reply and every join.
    pub const CONN_INFO_BYTES_MAX: usize = 1024;
}

/// A setting that no hub can work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be {expected}")]
pub struct HubPolicyError {
    /// The name of the field in [`HubSettings`].
    pub setting: &'static str,
    /// What it must be.
    pub expected: &'static str,
}

/// Settings that have been checked.
#[derive(Clone, Debug)]
pub struct HubPolicy(HubSettings);

impl HubPolicy {
    /// The settings.
    pub const fn settings(&self) -> &HubSettings {
        &self.0
    }

    /// Seconds between pings, as told to clients.
    pub(crate) fn ping_seconds(&self) -> u32 {
        u32::try_from(self.0.ping_interval.as_secs()).unwrap_or(u32::MAX)
    }
}

impl TryFrom<HubSettings> for HubPolicy {
    type Error = HubPolicyError;

    fn try_from(settings: HubSettings) -> Result<Self, HubPolicyError> {
        let broken = time_rules(&settings)
            .into_iter()
            .chain(size_rules(&settings))
            .find(|rule| !rule.0);
        match broken {
            Some((_, setting, expected)) => Err(HubPolicyError { setting, expected }),
            None => Ok(Self(settings)),
        }
    }
}

/// Whether a rule holds, which setting it is about, and what it demands.
type Rule = (bool, &'static str, &'static str);

fn time_rules(s: &HubSettings) -> [Rule; 8] {
    let ping = s.ping_interval;
    let a_tick = "at least 100 ms";
    [
        (
            ping.subsec_nanos() == 0,
            "ping_interval",
            "a whole number of seconds",
        ),
        (
            (1..=3600).contains(&ping.as_secs()),
            "ping_interval",
            "from 1 s to 1 h",
        ),
        (s.pong_timeout >= TICK, "pong_timeout", a_tick),
        (
            s.pong_timeout < ping,
            "pong_timeout",
            "shorter than the ping interval",
        ),
        (s.stale_timeout >= TICK, "stale_timeout", a_tick),
        (s.refused_timeout >= TICK, "refused_timeout", a_tick),
        (s.write_deadline >= TICK, "write_deadline", a_tick),
        (s.presence_timeout >= TICK, "presence_timeout", a_tick),
    ]
}

fn size_rules(s: &HubSettings) -> [Rule; 10] {
    let one = "at least 1";
    [
        (s.cores >= 1, "cores", one),
        (s.core < s.cores, "core", "below cores"),
        (
            s.backlog_bytes_max >= 4096,
            "backlog_bytes_max",
            "at least 4 KiB",
        ),
        (s.peers_max >= 1, "peers_max", one),
        (s.channels_per_peer_max >= 1, "channels_per_peer_max", one),
        (s.asks_per_peer_max >= 1, "asks_per_peer_max", one),
        (
            s.asks_max >= s.asks_per_peer_max,
            "asks_max",
            "at least asks_per_peer_max",
        ),
        (
            s.recovery_publications_max >= 1,
            "recovery_publications_max",
            one,
        ),
        (
            s.recovery_bytes_max >= 1024,
            "recovery_bytes_max",
            "at least 1 KiB",
        ),
        (
            s.history_publications_max >= 1,
            "history_publications_max",
            one,
        ),
    ]
}
