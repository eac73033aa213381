//! A middleware in virtual time, with connections that send texts and read messages.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_machine::{Instant, Machine as _};
use steadfast_truenas_emulator::{
    Account, AccountState, ApiVersion, ConnectionId, Control, Input, Middleware, Output, Policy,
};

pub(crate) const KEY: &str = "1-key";
pub(crate) const PASSWORD: &str = "secret";

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed(u16, String),
    Cut,
}

pub(crate) struct Rig {
    pub(crate) middleware: Middleware,
    now: Instant,
    next_connection: u64,
    next_id: u64,
    messages: BTreeMap<ConnectionId, Vec<Value>>,
    ends: BTreeMap<ConnectionId, End>,
    pub(crate) effects: Vec<String>,
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn account() -> Account {
    Account {
        username: "admin".to_owned(),
        password: Some(PASSWORD.to_owned()),
        otp: None,
        api_key: Some(KEY.to_owned()),
        state: AccountState::Usable,
    }
}

pub(crate) fn policy(release: ApiVersion) -> Policy {
    let policy = Policy::of_release(release, vec![account()]);
    Policy {
        // A derivation with those of a real server takes most of a second.
        scram_iterations: NonZeroU32::new(64).unwrap(),
        ..policy
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(policy(ApiVersion::V26_0_0))
    }

    pub(crate) fn of_release(release: ApiVersion) -> Self {
        Self::with(policy(release))
    }

    pub(crate) fn with(policy: Policy) -> Self {
        Self {
            middleware: Middleware::new(policy, Instant::START),
            now: Instant::START,
            next_connection: 0,
            next_id: 1,
            messages: BTreeMap::new(),
            ends: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    pub(crate) fn open(&mut self) -> ConnectionId {
        self.open_from(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn open_from(&mut self, address: IpAddr) -> ConnectionId {
        let version = self.middleware.policy().release;
        self.open_at(address, version)
    }

    pub(crate) fn open_at(&mut self, address: IpAddr, version: ApiVersion) -> ConnectionId {
        let connection = ConnectionId::new(self.next_connection);
        self.next_connection += 1;
        self.input(Input::Opened {
            connection,
            address,
            version,
        });
        connection
    }

    /// A connection with a session.
    pub(crate) fn logged_in(&mut self) -> ConnectionId {
        let connection = self.open();
        self.log_in(connection);
        connection
    }

    pub(crate) fn log_in(&mut self, connection: ConnectionId) -> Value {
        let data = json!({"mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": KEY});
        let reply = self.call(connection, "auth.login_ex", json!([data]));
        assert_eq!(reply["result"]["response_type"], "SUCCESS", "{reply}");
        reply["result"].clone()
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.middleware.handle(self.now, input);
        self.drain();
    }

    pub(crate) fn control(&mut self, control: Control) {
        self.input(Input::Controlled(control));
    }

    pub(crate) fn text(&mut self, connection: ConnectionId, text: &str) {
        let text = text.to_owned();
        self.input(Input::ReceivedText { connection, text });
    }

    /// Sends a request, and returns its id.
    pub(crate) fn request(&mut self, connection: ConnectionId, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.text(connection, &request.to_string());
        id
    }

    /// Sends a request, and returns its reply; other messages stay.
    pub(crate) fn call(&mut self, connection: ConnectionId, method: &str, params: Value) -> Value {
        let id = self.request(connection, method, params);
        self.advance(seconds(11));
        self.reply(connection, id)
    }

    /// Takes the reply with this id.
    pub(crate) fn reply(&mut self, connection: ConnectionId, id: u64) -> Value {
        let messages = self.messages.entry(connection).or_default();
        let at = messages.iter().position(|message| message["id"] == id);
        messages.remove(at.expect("there is a reply"))
    }

    /// Takes all messages of a connection.
    pub(crate) fn messages(&mut self, connection: ConnectionId) -> Vec<Value> {
        self.messages.remove(&connection).unwrap_or_default()
    }

    pub(crate) fn end(&self, connection: ConnectionId) -> Option<End> {
        self.ends.get(&connection).cloned()
    }

    /// Lets time pass, with a tick at each deadline.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.middleware.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.input(Input::Ticked);
        }
        self.now = end;
        self.input(Input::Ticked);
    }

    fn drain(&mut self) {
        while let Some(output) = self.middleware.poll_output() {
            match output {
                Output::Send { connection, text } => {
                    let message = serde_json::from_str(&text).unwrap();
                    self.messages.entry(connection).or_default().push(message);
                }
                Output::LogEffect { key } => self.effects.push(key),
                Output::Close {
                    connection,
                    code,
                    reason,
                } => {
                    self.ends.insert(connection, End::Closed(code, reason));
                }
                Output::Cut { connection } => {
                    self.ends.insert(connection, End::Cut);
                }
            }
        }
    }
}
