//! Calls as a service of `tower`: its layers compose, and it is ready exactly while the client accepts a call.

use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use steadfast::jsonrpc::{CallError, CallRequest, CallService, Class, Client, Error};
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _};

use crate::server::{Connection, Server, within};

/// The most calls without an outcome.
const CALLS_MAX: usize = 2;

fn call(method: &str) -> CallRequest {
    CallRequest::new(method, &()).unwrap()
}

async fn client_of(server: &Server) -> (Client, Connection) {
    let builder = Client::builder(&server.url()).unwrap();
    let client = builder.calls_max(CALLS_MAX).connect().unwrap();
    let connection = server.accept().await;
    (client, connection)
}

/// The method and the id of the next call.
async fn received(connection: &mut Connection) -> (String, u64) {
    let request: Value = serde_json::from_str(&connection.receive_text().await).unwrap();
    let (method, id) = (request.get("method").unwrap(), request.get("id").unwrap());
    (method.as_str().unwrap().to_owned(), id.as_u64().unwrap())
}

async fn reply(connection: &mut Connection, id: u64) {
    let response = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{id}}}"#);
    connection.send_text(&response).await;
}

async fn is_ready(service: &mut CallService) -> bool {
    std::future::poll_fn(|context| Poll::Ready(service.poll_ready(context).is_ready())).await
}

/// As many services as calls are pending, each with the place of its call.
async fn with_places(client: &Client) -> Vec<CallService> {
    let mut services = vec![client.service(); CALLS_MAX];
    for service in &mut services {
        assert!(is_ready(service).await);
    }
    services
}

#[tokio::test]
async fn the_layers_of_tower_compose_and_each_call_has_its_result() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;
    let layers = ServiceBuilder::new()
        .load_shed()
        .buffer(8)
        .concurrency_limit(CALLS_MAX)
        .timeout(Duration::from_mins(1));
    let service = layers.service(client.service());

    let calls = async {
        let add = service.clone().oneshot(call("add"));
        let sum = service.clone().oneshot(call("sum"));
        let fail = service.clone().oneshot(call("fail"));
        tokio::join!(biased; add, sum, fail)
    };
    let replies = async {
        let (first, second) = (
            received(&mut connection).await,
            received(&mut connection).await,
        );
        reply(&mut connection, second.1).await;
        reply(&mut connection, first.1).await;
        let (third, id) = received(&mut connection).await;
        let error =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-1,"message":"no"}}}}"#);
        connection.send_text(&error).await;
        (first.0, second.0, third)
    };
    let ((add, sum, fail), methods) = within(async { tokio::join!(calls, replies) }).await;

    assert_eq!(methods, ("add".into(), "sum".into(), "fail".into()));
    assert_eq!(
        (add.unwrap(), sum.unwrap()),
        (Bytes::from("1"), Bytes::from("2"))
    );
    let error = fail.unwrap_err().downcast::<CallError>().unwrap();
    assert!(matches!(*error, CallError::Rejected(_)), "{error}");
}

#[tokio::test]
async fn load_is_shed_while_the_client_accepts_no_call_and_not_afterwards() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;
    let service = ServiceBuilder::new().load_shed().service(client.service());
    let pending: Vec<_> = (0..CALLS_MAX)
        .map(|_| tokio::spawn(service.clone().oneshot(call("slow"))))
        .collect();
    let (_, first) = received(&mut connection).await;
    received(&mut connection).await;

    let shed: BoxError = within(service.clone().oneshot(call("shed")))
        .await
        .unwrap_err();
    reply(&mut connection, first).await;
    let mut results = pending.into_iter();
    let result = within(results.next().unwrap()).await.unwrap();
    let accepted = tokio::spawn(service.oneshot(call("accepted")));
    let (method, id) = received(&mut connection).await;
    reply(&mut connection, id).await;

    assert!(shed.is::<Overloaded>(), "{shed}");
    assert_eq!(result.unwrap(), Bytes::from(first.to_string()));
    assert_eq!(method, "accepted");
    assert!(within(accepted).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_service_waits_until_a_call_of_any_handle_ends_and_then_its_call_is_accepted() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;
    let direct: Vec<_> = (0..CALLS_MAX)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.request::<u64>("direct", &()).await })
        })
        .collect();
    let (_, first) = received(&mut connection).await;
    received(&mut connection).await;
    let mut service = client.service();

    let was_ready = is_ready(&mut service).await;
    let waiting = tokio::spawn(service.oneshot(call("waiting")));
    tokio::task::yield_now().await;
    reply(&mut connection, first).await;
    let (method, id) = received(&mut connection).await;
    reply(&mut connection, id).await;

    assert!(!was_ready);
    assert_eq!(method, "waiting");
    assert!(within(waiting).await.unwrap().is_ok());
    drop(direct);
}

#[tokio::test]
async fn a_place_is_kept_for_its_call_and_is_free_again_when_the_service_or_the_call_is_dropped() {
    let server = Server::start().await;
    let (client, _connection) = client_of(&server).await;
    let mut services = with_places(&client).await;
    let mut other = client.service();

    assert!(!is_ready(&mut other).await);
    let busy = within(client.request::<u64>("direct", &())).await;
    assert_eq!(busy, Err(Error::Call(CallError::Busy)));
    services.pop();
    assert!(is_ready(&mut other).await);
    let mut last = services.pop().unwrap();
    let unpolled = last.call(call("unpolled"));
    assert!(!is_ready(&mut last).await);
    drop(unpolled);

    assert!(is_ready(&mut last).await);
}

/// It asked once, and never again: nothing distinguishes it from one that still waits.
#[tokio::test]
async fn a_service_that_lost_interest_keeps_no_other_from_being_ready() {
    let server = Server::start().await;
    let (client, _connection) = client_of(&server).await;
    let mut services = with_places(&client).await;
    let mut idle = client.service();
    assert!(!is_ready(&mut idle).await);
    let waiting = tokio::spawn(client.service().ready_oneshot());
    tokio::task::yield_now().await;

    services.pop();

    let interested = within(waiting).await.unwrap();
    assert!(interested.is_ok());
    assert!(!is_ready(&mut idle).await);
}

#[tokio::test]
async fn a_timeout_layer_withdraws_a_call_that_was_not_sent() {
    let server = Server::start().await;
    let builder = Client::builder(&server.url()).unwrap();
    let client = builder.calls_in_flight_max(1).connect().unwrap();
    let mut connection = server.accept().await;
    let first = tokio::spawn(client.service().oneshot(call("first")));
    let (_, id) = received(&mut connection).await;
    let brief = ServiceBuilder::new()
        .timeout(Duration::from_millis(20))
        .service(client.service());

    let timed_out = within(brief.oneshot(call("withdrawn"))).await.unwrap_err();
    let next = tokio::spawn(client.service().oneshot(call("next")));
    reply(&mut connection, id).await;
    let (method, id) = received(&mut connection).await;
    reply(&mut connection, id).await;

    assert!(timed_out.is::<Elapsed>(), "{timed_out}");
    assert_eq!(method, "next");
    assert!(within(next).await.unwrap().is_ok());
    assert!(within(first).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_service_without_a_connection_is_ready_and_its_call_has_the_class_and_timeout_of_the_request()
 {
    let builder = Client::builder("ws://127.0.0.1:9").unwrap();
    let client = builder.class("get_*", Class::Write).connect().unwrap();
    let request = call("get_height").timeout(Duration::from_millis(20));

    let error = within(client.service().oneshot(request.clone())).await;

    let maybe_executed = false;
    assert_eq!(error, Err(CallError::TimedOut { maybe_executed }));
    let text = format!("{:?}", CallRequest::new("login", &["secret"]).unwrap());
    assert!(text.contains("login") && !text.contains("secret"), "{text}");
}

#[tokio::test]
async fn the_class_of_a_request_decides_whether_it_is_sent_again_after_a_reset() {
    let server = Server::start().await;
    let (client, mut connection) = client_of(&server).await;
    let read = tokio::spawn(client.service().oneshot(call("get").class(Class::Read)));
    let write = tokio::spawn(client.service().oneshot(call("set")));
    received(&mut connection).await;
    received(&mut connection).await;

    connection.reset();
    let mut connection = server.accept().await;
    let (method, id) = received(&mut connection).await;
    reply(&mut connection, id).await;

    assert_eq!(method, "get");
    assert!(within(read).await.unwrap().is_ok());
    let maybe_executed = true;
    let interrupted = CallError::Interrupted { maybe_executed };
    assert_eq!(within(write).await.unwrap(), Err(interrupted));
}

#[tokio::test]
async fn a_service_of_a_closed_client_says_so_also_while_it_waits() {
    let server = Server::start().await;
    let (client, _connection) = client_of(&server).await;
    let mut services = with_places(&client).await;
    let mut waiting = client.service();
    let waiting = tokio::spawn(async move { waiting.ready().await.map(|_service| ()) });
    tokio::task::yield_now().await;

    within(client.close(Duration::ZERO)).await.unwrap();

    let kept = within(services.pop().unwrap().oneshot(call("late"))).await;
    assert_eq!(within(waiting).await.unwrap(), Err(CallError::Closed));
    assert_eq!(kept, Err(CallError::Closed));
}
