//! Events to subscribers, and the end of subscriptions by the server.

use serde_json::{Value, json};

use super::Middleware;
use crate::errors::CallError;
use crate::io::ConnectionId;

impl Middleware {
    /// Sends an event to all subscribers, or to those of one user.
    pub(super) fn send_event(
        &mut self,
        collection: &str,
        msg: &str,
        id: &Value,
        fields: Option<Value>,
        only: Option<&str>,
    ) {
        let mut params = json!({"msg": msg, "collection": collection, "id": id});
        if let Some((all, fields)) = params.as_object_mut().zip(fields) {
            all.insert("fields".to_owned(), fields);
        }
        let message = notification("collection_update", &params);
        let receivers = self.connections.iter().filter(|(_, connection)| {
            connection.receives(collection) && (only.is_none() || connection.username() == only)
        });
        let receivers: Vec<ConnectionId> = receivers.map(|(id, _)| *id).collect();
        for receiver in receivers {
            self.send(receiver, &message);
        }
    }

    /// Ends the subscriptions of a connection to a collection.
    pub(super) fn end_subscription(
        &mut self,
        id: ConnectionId,
        collection: &str,
        error: Option<&CallError>,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let before = connection.subscriptions.len();
        connection
            .subscriptions
            .retain(|_, name| name != collection);
        if connection.subscriptions.len() < before {
            self.send_end(id, collection, error);
        }
    }

    /// Sends that a subscription of a connection to a collection has ended.
    pub(super) fn send_end(
        &mut self,
        id: ConnectionId,
        collection: &str,
        error: Option<&CallError>,
    ) {
        let error = error.map(|error| error.data(self.policy.release));
        let params = json!({"collection": collection, "error": error});
        self.send(id, &notification("notify_unsubscribed", &params));
    }
}

fn notification(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}
