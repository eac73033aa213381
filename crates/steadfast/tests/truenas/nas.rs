//! The emulator on a free port, and what a test does to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use steadfast::truenas::{Builder, Client, LoginBudgetSettings, LoginLimit};
use steadfast::{Secret, SessionEvent};
use steadfast_truenas_emulator::{Account, AccountState, ApiVersion, Policy, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far longer than any of these tests needs.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The API key of the account.
pub(crate) const KEY: &str = "1-emulatedKey";

/// A running emulator; it ends with the test.
pub(crate) struct Nas {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Nas {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A server with one account.
pub(crate) fn policy() -> Policy {
    let account = Account {
        username: "admin".to_owned(),
        password: Some("secret".to_owned()),
        otp: None,
        api_key: Some(KEY.to_owned()),
        state: AccountState::Usable,
    };
    let mut policy = Policy::of_release(ApiVersion::V25_10_0, vec![account]);
    policy.call_time = Duration::from_millis(1);
    policy
}

/// A server that gives tokens: release 26, without SCRAM, after which there are none.
pub(crate) fn policy_with_tokens() -> Policy {
    let mut policy = Policy {
        offers_scram: false,
        ..Policy::of_release(ApiVersion::V26_0_0, policy().accounts)
    };
    policy.call_time = Duration::from_millis(1);
    policy
}

impl Nas {
    pub(crate) async fn start(policy: Policy) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(address, policy).await.unwrap();
        let address = server.local_addr();
        let serving = tokio::spawn(server.serve(std::future::pending()));
        Self { address, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// A builder of a client with the key of the account, and with a limit on logins of its own.
    pub(crate) fn builder(&self) -> Builder {
        let limit = LoginBudgetSettings::new(1_000, Duration::from_secs(1));
        Client::builder(&self.url())
            .unwrap()
            .api_key("admin", Secret::new(KEY.to_owned()))
            .login_limit(LoginLimit::new(limit))
    }

    /// A client that is logged in.
    pub(crate) async fn client(&self) -> Client {
        let client = self.builder().connect().unwrap();
        client.ready(TIME_LIMIT).await.unwrap();
        client
    }

    /// Requests something of the emulator.
    pub(crate) async fn control(&self, request: &str) {
        self.http("POST", &format!("/_emulator/{request}")).await;
    }

    /// How often a method was executed.
    pub(crate) async fn executed(&self, method: &str) -> usize {
        let body = self.http("GET", "/_emulator/journal").await;
        let journal: Vec<Value> = serde_json::from_str(&body).unwrap();
        journal.iter().filter(|it| it["method"] == method).count()
    }

    async fn http(&self, method: &str, path: &str) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        within(socket.read_to_string(&mut response)).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{head}");
        body.to_owned()
    }
}

/// Waits, but not indefinitely.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(TIME_LIMIT, work).await.expect("in time")
}

/// The events until one fits, which is the last.
pub(crate) async fn until(
    events: &mut broadcast::Receiver<SessionEvent>,
    fits: impl Fn(&SessionEvent) -> bool,
) -> Vec<SessionEvent> {
    let mut seen = Vec::new();
    loop {
        let event = within(events.recv()).await.unwrap();
        let is_last = fits(&event);
        seen.push(event);
        if is_last {
            return seen;
        }
    }
}
