//! The gateway as a child: started, killed on request, started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::live::{Gateway, Live};
use crate::output;

/// From a death to the next start: long enough to be seen.
const START_AFTER: Duration = Duration::from_secs(1);
/// Between two looks at a gateway that starts.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long one look may take.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// How long the gateway has to end by itself.
const END_MAX: Duration = Duration::from_secs(10);

/// Owns the gateway.
#[derive(Debug)]
pub(super) struct Supervisor {
    orders: mpsc::Sender<Order>,
    live: Arc<Live>,
}

#[derive(Debug)]
enum Order {
    Kill,
    Stop(oneshot::Sender<()>),
}

impl Supervisor {
    pub(super) fn start(own: &Path, folder: &Path, url: &str, live: Arc<Live>) -> Self {
        let (orders, taken) = mpsc::channel(4);
        let keeper = Keeper {
            own: own.to_owned(),
            folder: folder.to_owned(),
            authority: authority(url),
            live: Arc::clone(&live),
        };
        tokio::spawn(keeper.keep(taken));
        Self { orders, live }
    }

    /// Kills it. False when it is down already.
    pub(super) fn kill(&self) -> bool {
        self.live.is_up() && self.orders.try_send(Order::Kill).is_ok()
    }

    /// Ends it in good order.
    pub(super) async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).await.is_ok() {
            // An error means that it has ended.
            let _ = timeout(END_MAX, wait).await;
        }
    }
}

fn authority(url: &str) -> String {
    let rest = url.strip_prefix("ws://").unwrap_or(url);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

struct Keeper {
    own: PathBuf,
    folder: PathBuf,
    authority: String,
    live: Arc<Live>,
}

impl Keeper {
    async fn keep(self, mut orders: mpsc::Receiver<Order>) {
        loop {
            self.live.gateway_is(Gateway::Starting, None);
            let mut child = match self.spawn() {
                Ok(child) => child,
                Err(error) => {
                    output::message(&format!("the gateway cannot be started: {error}"));
                    sleep(START_AFTER).await;
                    continue;
                }
            };
            let id = child.id();
            tokio::select! {
                () = self.until_ready() => self.live.gateway_is(Gateway::Up, id),
                _ = child.wait() => {}
            }
            tokio::select! {
                status = child.wait() => {
                    self.live.gateway_is(Gateway::Down, None);
                    let how = status.map_or_else(|error| error.to_string(), |it| it.to_string());
                    let log = self.folder.join("gateway.log");
                    output::message(&format!("the gateway ended by itself: {how}; see {}", log.display()));
                }
                order = orders.recv() => match order {
                    Some(Order::Kill) => {
                        // SIGKILL, then the wait for its end; a gateway that is gone cannot be killed again.
                        let _ = child.kill().await;
                        self.live.killed();
                        self.live.gateway_is(Gateway::Down, None);
                    }
                    Some(Order::Stop(done)) => {
                        end(&mut child).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return end(&mut child).await,
                }
            }
            sleep(START_AFTER).await;
        }
    }

    /// Tied to the life of this process, whatever ends it.
    fn spawn(&self) -> std::io::Result<Child> {
        let parent = std::process::id().to_string();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("gateway.log"))?;
        Command::new(&self.own)
            .args(["lab", "launch", "--parent", &parent, "--"])
            .arg(&self.own)
            .args(["serve", "--config", "gateway.toml"])
            // What is meant for this process is not meant for the gateway.
            .env_remove("PORT")
            .env_remove("STEADFAST_ADDRESS")
            .env_remove("STEADFAST_DATA")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    }

    async fn until_ready(&self) {
        while !matches!(timeout(LOOK_MAX, self.is_ready()).await, Ok(Ok(true))) {
            sleep(LOOK_EVERY).await;
        }
    }

    async fn is_ready(&self) -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(&self.authority).await?;
        let request = format!(
            "GET /readyz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.authority
        );
        socket.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await?;
        Ok(answer == *b"HTTP/1.1 200")
    }
}

async fn end(child: &mut Child) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
        // A child that is gone already needs no signal.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    if timeout(END_MAX, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
