//! Tests of queries of the history: what the server is asked for.

use std::time::Duration;

use steadfast::Position;
use steadfast::centrifuge::{Client, History};
use steadfast_protocol::message::{HistoryRequest, Request};
use tokio::net::TcpListener;

use crate::peer::serve_connection;

/// What the server receives for a query.
async fn requested(options: impl FnOnce(History<'_>) -> History<'_>) -> HistoryRequest {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        let record = |request: &Request| {
            if let Request::History(history) = request {
                requests.push(history.clone());
            }
        };
        serve_connection(&listener, record).await;
        requests
    });
    let client = Client::builder(&url).unwrap().connect().unwrap();

    options(client.history("orders")).fetch().await.unwrap();

    client.close(Duration::ZERO).await.unwrap();
    let [request] = <[HistoryRequest; 1]>::try_from(server.await.unwrap()).unwrap();
    request
}

fn request(limit: i32) -> HistoryRequest {
    HistoryRequest {
        channel: "orders".to_owned(),
        limit,
        since: None,
        reverse: false,
    }
}

#[tokio::test]
async fn a_query_without_options_requests_as_much_as_the_server_returns_oldest_first() {
    assert_eq!(requested(|query| query).await, request(-1));
}

#[tokio::test]
async fn the_options_of_a_query_are_sent() {
    let position = Position {
        epoch: "e".to_owned(),
        offset: 7,
    };
    let expected = HistoryRequest {
        since: Some(position.clone()),
        reverse: true,
        ..request(100)
    };

    let query = requested(|query| query.limit(100).since(position).reverse());

    assert_eq!(query.await, expected);
}

#[tokio::test]
async fn a_limit_of_zero_requests_the_position_only_and_one_above_the_range_the_largest() {
    assert_eq!(requested(|query| query.limit(0)).await, request(0));
    let largest = requested(|query| query.limit(u32::MAX));
    assert_eq!(largest.await, request(i32::MAX));
}
