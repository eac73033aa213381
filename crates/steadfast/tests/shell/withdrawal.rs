//! Tests of calls whose callers give up before the reply.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use steadfast::SessionEvent;
use steadfast::centrifuge::{Builder, Client};
use steadfast_protocol::idempotent;
use steadfast_protocol::message::Request;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::peer::serve_connection;

/// Polls a call once, so that it sends its command.
async fn start<F: Future>(mut call: Pin<&mut F>) {
    let polled = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    assert!(polled.is_pending());
}

/// Returns a client whose first connection has failed, so that calls have to wait for the second one.
async fn without_connection(builder: Builder, listener: &TcpListener) -> (Client, JoinHandle<()>) {
    let (client, driver) = builder.build().unwrap();
    let mut events = client.events();
    let driver = tokio::spawn(driver);
    drop(listener.accept().await.unwrap());
    while !matches!(events.recv().await.unwrap(), SessionEvent::Waiting { .. }) {}
    (client, driver)
}

/// Waits until the driver has received the earlier commands: commands are received in order.
async fn until_received(client: &Client) {
    let receipt = client.publish("news", &1).unwrap();
    let mut state = client.state();
    state.wait_for(|it| it.queued == 1).await.unwrap();
    drop(receipt);
}

#[tokio::test]
async fn a_call_that_is_dropped_before_it_is_sent_is_never_executed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let builder = Client::builder(&url).unwrap();
    let (client, driver) = without_connection(builder, &listener).await;
    {
        let mut received = pin!(client.rpc("received", &1));
        start(received.as_mut()).await;
        until_received(&client).await;
        let mut unreceived = pin!(client.rpc("unreceived", &1));
        start(unreceived.as_mut()).await;
    }
    let server = tokio::spawn(async move {
        let mut methods = Vec::new();
        let record = |request: &Request| {
            if let Request::Rpc(rpc) = request {
                methods.push(rpc.method.clone());
            }
        };
        serve_connection(&listener, record).await;
        methods
    });
    client.reconnect_now();

    assert!(client.rpc("kept", &1).await.is_ok());
    client.close(Duration::ZERO).await.unwrap();

    driver.await.unwrap();
    assert_eq!(server.await.unwrap(), [idempotent::METHOD, "kept"]);
}

#[tokio::test]
async fn a_dropped_call_leaves_its_space_to_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let builder = Client::builder(&url).unwrap().calls_max(1);
    let (client, _driver) = without_connection(builder, &listener).await;
    {
        let mut dropped = pin!(client.rpc("dropped", &1));
        start(dropped.as_mut()).await;
        until_received(&client).await;
    }
    let server = tokio::spawn(async move { serve_connection(&listener, |_| {}).await });
    client.reconnect_now();

    assert!(client.rpc("kept", &1).await.is_ok());
    client.close(Duration::ZERO).await.unwrap();
    server.await.unwrap();
}
