//! An emulated server and a bridge to it, each in a task that a test can end.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use steadfast::Secret;
use steadfast::truenas::{LoginBudgetSettings, LoginLimit};
use steadfast_bridge::{
    BindError, Key, Policy, ServeError, Server, Settings, Token, Upstream, UpstreamSettings,
};
use steadfast_truenas_emulator::{Account, AccountState, ApiVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::program::Program;

pub(crate) const USER: &str = "admin";
pub(crate) const KEY: &str = "1-0123456789abcdef";
/// The fewest that the client library accepts, to save time.
const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(4_096).expect("it is not zero");
/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running emulator.
pub(crate) struct Nas {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Nas {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let account = Account {
            username: USER.to_owned(),
            password: None,
            otp: None,
            api_key: Some(KEY.to_owned()),
            state: AccountState::Usable,
        };
        let policy = steadfast_truenas_emulator::Policy {
            scram_iterations: SCRAM_ITERATIONS,
            ..steadfast_truenas_emulator::Policy::of_release(ApiVersion::V26_0_0, vec![account])
        };
        let server = steadfast_truenas_emulator::Server::bind(address, policy).await;
        let server = server.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    /// Ends it with all connections, as a crash does.
    async fn kill(&mut self) -> SocketAddr {
        drop(self.stop.take());
        (&mut self.task).await.unwrap();
        self.address
    }

    /// A control of the emulator; returns the body of the response.
    pub(crate) async fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{method} /_emulator/{path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body.to_owned()
    }

    pub(crate) async fn control(&self, path: &str) {
        self.request("POST", path).await;
    }

    /// The start of the middleware for each login by SCRAM, whose two messages are calls of one connection.
    pub(crate) async fn logins(&self) -> Vec<u64> {
        let calls = self.journal("auth.login_ex").await;
        let number = |call: &Value, name: &str| call[name].as_u64().unwrap();
        let mut messages: Vec<(u64, u64)> = calls
            .iter()
            .map(|call| (number(call, "start"), number(call, "connection")))
            .collect();
        let mut starts = Vec::new();
        while let Some(first) = messages.first().copied() {
            let at = messages.iter().rposition(|it| *it == first).unwrap();
            assert!(at > 0, "a login without a second message: {calls:?}");
            messages.remove(at);
            messages.remove(0);
            starts.push(first.0);
        }
        starts
    }

    /// The entries of the journal for a method.
    pub(crate) async fn journal(&self, method: &str) -> Vec<Value> {
        let journal = self.request("GET", "journal").await;
        let entries: Vec<Value> = serde_json::from_str(&journal).unwrap();
        entries
            .into_iter()
            .filter(|entry| entry["method"] == method)
            .collect()
    }
}

/// A running bridge.
pub(crate) struct Lab {
    pub(crate) nas: Nas,
    pub(crate) socket: PathBuf,
    pub(crate) port: Option<SocketAddr>,
    pub(crate) folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServeError>>,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(Policy::DEFAULT, None, Key::Fixed(secret(KEY))).await
    }

    pub(crate) async fn with(policy: Policy, token: Option<Token>, key: Key) -> Self {
        let nas = Nas::start().await;
        let url = format!("ws://{}/api/current", nas.address);
        Self::over(nas, url, policy, token, key).await
    }

    /// A bridge to another server than the emulator.
    pub(crate) async fn over(
        nas: Nas,
        url: String,
        policy: Policy,
        token: Option<Token>,
        key: Key,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("bridge.sock");
        let listen = token.map(|token| ("127.0.0.1:0".parse().unwrap(), token));
        let server = Server::bind(Settings {
            socket: socket.clone(),
            listen,
            policy,
        });
        let server = server.await.unwrap();
        let port = server.local_addr();
        let upstream = Upstream::connect(UpstreamSettings {
            url,
            user: USER.to_owned(),
            key,
            root_certificates: Vec::new(),
            // A restart of the server begins its count again, which the session cannot know.
            login_limit: LoginLimit::new(LoginBudgetSettings::new(1_000, PATIENCE)),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(upstream.unwrap(), async move {
            let _ = stopped.await;
        }));
        Self {
            nas,
            socket,
            port,
            folder,
            stop: Some(stop),
            task,
        }
    }

    /// A program that sends lines.
    pub(crate) async fn program(&self) -> Program {
        Program::connect(&self.socket).await
    }

    /// Ends the server as a crash does; its address is free then.
    pub(crate) async fn kill_nas(&mut self) -> SocketAddr {
        self.nas.kill().await
    }

    /// Asks the bridge to end, and waits for it.
    pub(crate) async fn stop(mut self) -> Result<(), ServeError> {
        drop(self.stop.take());
        self.task.await.unwrap()
    }

    /// Waits until the bridge ends for a reason of its own.
    pub(crate) async fn ended(self) -> Result<(), ServeError> {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("the bridge ends").unwrap()
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Binds a bridge without serving it.
pub(crate) async fn bind(socket: PathBuf) -> Result<Server, BindError> {
    let (listen, policy) = (None, Policy::DEFAULT);
    Server::bind(Settings {
        socket,
        listen,
        policy,
    })
    .await
}
