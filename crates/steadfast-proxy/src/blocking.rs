//! A proxy for programs without a tokio runtime.

use std::future::Future;
use std::ops::Deref;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

use crate::builder::Builder;
use crate::error::Error;
use crate::proxy::Proxy;

/// A proxy on a thread of its own; its methods are those of [`Proxy`]. Dropping it ends the proxy and the thread.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use steadfast_proxy::{Proxy, Toxic};
///
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let proxy = Proxy::to(server.local_addr()?).start_blocking()?;
///
/// let client = std::net::TcpStream::connect(proxy.local_addr())?;
/// proxy.add_toxic(Toxic::reset())?;
/// proxy.wait(proxy.set_enabled(false))?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlockingProxy {
    proxy: Proxy,
    thread: Thread,
}

/// The thread of a runtime, which ends when this is dropped.
#[derive(Debug)]
struct Thread {
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(handle) = self.handle.take() {
            // A panic of the thread has been printed already.
            drop(handle.join());
        }
    }
}

impl BlockingProxy {
    pub(crate) fn start(builder: Builder) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(Error::Runtime)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = mpsc::sync_channel(1);
        let run = move || serve(&runtime, builder, &sender, stopped);
        let thread = std::thread::Builder::new()
            .name("steadfast-proxy".to_owned())
            .spawn(run)
            .map_err(Error::Runtime)?;
        let thread = Thread {
            runtime: handle,
            stop: Some(stop),
            handle: Some(thread),
        };
        let proxy = receiver.recv().map_err(|_ended| Error::Ended)??;
        Ok(Self { proxy, thread })
    }

    /// Waits for an asynchronous method, such as `proxy.wait(proxy.set_enabled(false))`.
    ///
    /// # Panics
    ///
    /// On a thread that executes asynchronous tasks of tokio; start the proxy with [`Builder::start`] there.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.thread.runtime.block_on(future)
    }
}

fn serve(
    runtime: &Runtime,
    builder: Builder,
    started: &mpsc::SyncSender<Result<Proxy, Error>>,
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        // The caller waits for it, and for nothing else.
        drop(started.send(builder.start().await));
        // Ends when the handle of the thread is dropped.
        drop(stopped.await);
    });
}

impl Deref for BlockingProxy {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}
