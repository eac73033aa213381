//! Tests of a runtime that is shut down while its client is in use: everything that waits elsewhere ends.

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use steadfast::SessionState;
use steadfast::centrifuge::{CallError, Client, SendError};
use steadfast::error::RequestError;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::closing::silent;

/// Longer than any test here takes.
const LONG: Duration = Duration::from_secs(20);

/// Shuts a runtime down, in a thread that may hang.
fn shut_down(runtime: Runtime) {
    let (sender, done) = mpsc::channel();
    let shutdown = thread::spawn(move || {
        drop(runtime);
        sender.send(()).unwrap();
    });
    done.recv_timeout(LONG).expect("the shutdown ends");
    shutdown.join().unwrap();
}

#[test]
fn everything_that_waits_ends_when_the_runtime_of_the_session_is_shut_down() {
    let sessions = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let callers = Runtime::new().unwrap();
    let listener = callers.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let client = {
        let _entered = sessions.enter();
        Client::builder(&url).unwrap().connect().unwrap()
    };
    // Tasks of the runtime that is shut down are dropped with what they await.
    for number in 0..8 {
        let client = client.clone();
        sessions.spawn(async move {
            let mut subscription = client.subscribe(&format!("channel-{number}"));
            let _receipt = client.publish("news", &number);
            let called = client.rpc("method", &number);
            tokio::join!(called, subscription.next(), client.ready(LONG))
        });
    }

    callers.block_on(async {
        let mut state = client.state();
        let ready = state.wait_for(|it| it.state == SessionState::Connected);
        let (socket, _) = tokio::join!(silent(&listener), ready);
        let sent = client.publish("news", &1).unwrap();
        let mut subscription = client.subscribe("news");
        let mut call = pin!(client.rpc("method", &1));
        let mut ready = pin!(client.ready(LONG));
        // The call is sent by its first poll.
        assert!(timeout(Duration::ZERO, &mut call).await.is_err());
        assert!(timeout(Duration::ZERO, &mut ready).await.is_err());
        let mut state = client.state();
        state.wait_for(|it| it.in_flight == 9).await.unwrap();

        shut_down(sessions);

        let ended = timeout(LONG, async {
            tokio::join!(sent, subscription.next(), call, ready)
        });
        let (sent, event, called, ready) = ended.await.expect("every wait ends");
        assert_eq!(sent, Err(SendError::Interrupted));
        assert_eq!(event, None);
        let maybe_executed = true;
        assert_eq!(called, Err(CallError::Interrupted { maybe_executed }));
        assert!(ready.is_err());
        let late = client.publish("news", &2);
        assert!(matches!(late, Err(RequestError::Closed)), "{late:?}");
        assert_eq!(client.close(LONG).await, Ok(()));
        drop(socket);
    });
}
