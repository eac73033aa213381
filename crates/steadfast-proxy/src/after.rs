//! What happens with the sockets of a connection that has ended: they are drained, so that nothing that was passed on is
//! lost, or kept open without notice.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use steadfast_faults::toxic::CloseMode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::connection::Shared;
use crate::mailbox::Request;
use crate::sockets;

/// How long a closed connection waits for the FIN of its peers. Without the wait, bytes that arrive late would be
/// responded to with a reset, which discards what a peer has not read.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Passes a FIN to all peers, and discards what they still send until they finish, for a limited time.
pub(crate) async fn linger(shared: &Shared, mut streams: [TcpStream; 2]) {
    let drained = poll_fn(|cx| {
        for stream in &mut streams {
            // A socket that failed has nothing to finish.
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
        while shared.mailbox.poll_news(cx).is_ready() {
            if shared.mailbox.take_request().is_some() {
                return Poll::Ready(());
            }
        }
        let open = streams.each_mut().map(|stream| discard(cx, stream));
        if open.contains(&true) {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    });
    // Late peers are cut off.
    drop(tokio::time::timeout(LINGER_TIME, drained).await);
}

/// Keeps sockets open and discards what arrives, until each peer finishes or another end is requested.
pub(crate) async fn swallow(shared: &Shared, mut streams: Vec<TcpStream>) {
    let request = poll_fn(|cx| {
        while shared.mailbox.poll_news(cx).is_ready() {
            match shared.mailbox.take_request() {
                Some(Request::Close(CloseMode::Silent)) | None => {}
                request @ Some(_) => return Poll::Ready(request),
            }
        }
        streams.retain_mut(|stream| discard(cx, stream));
        if streams.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    })
    .await;
    if request == Some(Request::Close(CloseMode::Rst)) {
        streams.into_iter().for_each(sockets::reset);
    }
}

/// Reads and discards everything that has arrived. Returns whether the peer may send more.
fn discard(cx: &mut Context<'_>, stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        let mut read = ReadBuf::new(&mut buffer);
        match Pin::new(&mut *stream).poll_read(cx, &mut read) {
            Poll::Pending => return true,
            Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
            Poll::Ready(Ok(()) | Err(_)) => return false,
        }
    }
}
