//! Tests of presence, joins and leaves over several shards.

use std::net::SocketAddr;

use crate::client::Client;
use crate::{config, serve};

/// The system distributes connections over the shards' listeners; all of these are on one of three shards with
/// probability 3^-15.
const CLIENTS: usize = 16;

#[test]
fn presence_counts_the_clients_of_every_shard() {
    let mut config = config();
    config.server.shards = 3;
    let gateway = serve(config);
    let mut clients = clients(gateway.address());

    for (index, client) in clients.iter_mut().enumerate() {
        client.send("{\"id\":3,\"presence_stats\":{\"channel\":\"news\"}}");

        let reply = client.next_line();
        assert!(
            reply.contains(&format!("\"num_clients\":{CLIENTS},")),
            "client {index}: {reply}"
        );
    }
}

#[test]
fn a_listener_on_any_shard_receives_the_join_of_a_client_before_its_leave() {
    let mut config = config();
    config.server.shards = 3;
    let gateway = serve(config);
    let mut listeners: Vec<Client> = (0..CLIENTS)
        .map(|_| Client::connect(gateway.address()))
        .collect();
    for listener in &mut listeners {
        listener.send(
            "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\",\"join_leave\":true}}",
        );
        while !listener.next_line().contains("\"subscribe\":{") {}
    }
    let mut visitor = Client::connect(gateway.address());
    visitor.send("{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}");
    let id = client_id(&visitor.next_line());
    assert!(visitor.next_line().contains("\"subscribe\":{"));

    drop(visitor);

    for (index, listener) in listeners.iter_mut().enumerate() {
        let pushes = [next_about(listener, &id), next_about(listener, &id)];
        assert!(
            pushes[0].contains("\"join\":") && pushes[1].contains("\"leave\":"),
            "listener {index}: {pushes:?}"
        );
    }
}

/// Clients that are subscribed to one channel.
fn clients(address: SocketAddr) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.connect_and_subscribe("news");
    }
    clients
}

/// The client's id in a connect reply.
fn client_id(reply: &str) -> String {
    let (_, rest) = reply.split_once("\"client\":\"").expect("a client id");
    let (id, _) = rest.split_once('"').expect("the end of the id");
    id.to_owned()
}

/// Returns the next message with this client's id; skips the joins of other clients.
fn next_about(listener: &mut Client, id: &str) -> String {
    loop {
        let line = listener.next_line();
        if line.contains(id) {
            return line;
        }
    }
}
