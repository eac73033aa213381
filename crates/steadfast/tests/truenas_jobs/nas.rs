//! The emulator on a port of its own, and clients that are logged in.

use std::net::SocketAddr;
use std::time::Duration;

use steadfast::jsonrpc::{Client, LoginCall, LoginRequest};
use steadfast::truenas::TOO_MANY_CALLS;
use steadfast::{BackoffRange, defaults};
use steadfast_truenas_emulator::{Account, AccountState, ApiVersion, Policy, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const KEY: &str = "1-key";

/// Far longer than any of these tests needs.
const TIME_LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Nas {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Nas {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn policy() -> Policy {
    let account = Account {
        username: "admin".to_owned(),
        password: None,
        otp: None,
        api_key: Some(KEY.to_owned()),
        state: AccountState::Usable,
    };
    Policy::of_release(ApiVersion::V26_0_0, vec![account])
}

impl Nas {
    pub(crate) async fn start(policy: Policy) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(address, policy).await.expect("a free port");
        let address = server.local_addr();
        let serving = tokio::spawn(server.serve(std::future::pending()));
        Self { address, serving }
    }

    /// A client that reconnects soon.
    pub(crate) fn client(&self) -> Client {
        let url = format!("ws://{}/api/current", self.address);
        let login = LoginCall::new(|key| LoginRequest {
            method: "auth.login_ex".to_owned(),
            params: format!(
                r#"[{{"mechanism":"API_KEY_PLAIN","username":"admin","api_key":"{}"}}]"#,
                key.expose()
            )
            .into(),
        });
        let soon = Duration::from_millis(10);
        let range = BackoffRange::proportional(50, soon, soon);
        let builder = Client::builder(&url).expect("a URL");
        builder
            .token(KEY)
            .login(login)
            .too_many_calls(TOO_MANY_CALLS)
            .backoff(defaults::BACKOFF.range(range))
            .connect()
            .expect("valid settings")
    }

    /// A request of a test, `POST /_emulator/PATH`.
    pub(crate) async fn post(&self, path: &str) {
        let mut socket = TcpStream::connect(self.address).await.expect("connected");
        let request = format!(
            "POST /_emulator/{path} HTTP/1.1\r\nHost: nas\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut response = String::new();
        socket
            .read_to_string(&mut response)
            .await
            .expect("a response");
        assert!(response.starts_with("HTTP/1.1 20"), "{response}");
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TIME_LIMIT, future)
        .await
        .expect("within the time limit")
}
