//! Promises of a session that its driver breaks: what it sends is altered on its way to the socket.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_core::io::Attempt;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::json;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Position, Request, RpcRequest, SubscribeRequest};

use crate::mutation::Mutation;

/// What has to be remembered for it.
#[derive(Debug, Default)]
pub(crate) struct Tampering {
    /// The attempt on which each key was sent first.
    first_sent: BTreeMap<String, Attempt>,
}

/// A message as the driver sends it, if anything is left of it.
pub(crate) fn tamper(
    message: Bytes,
    attempt: Attempt,
    mutation: Option<Mutation>,
    memory: &mut Tampering,
) -> Option<Bytes> {
    let Some(Mutation::NoRepeat | Mutation::NewKeys | Mutation::NoPosition) = mutation else {
        return Some(message);
    };
    let commands =
        json::decode_commands(&message, &Limits::DEFAULT).expect("a session sends valid messages");
    let mut altered = Vec::new();
    for command in commands {
        let Command { id, request } = command.expect("a session sends valid commands");
        if let Some(request) = alter(request, attempt, mutation, memory) {
            if !altered.is_empty() {
                altered.push(b'\n');
            }
            json::append_command(&mut altered, &Command { id, request });
        }
    }
    (!altered.is_empty()).then(|| Bytes::from(altered))
}

fn alter(
    request: Request,
    attempt: Attempt,
    mutation: Option<Mutation>,
    memory: &mut Tampering,
) -> Option<Request> {
    match (mutation, request) {
        (Some(Mutation::NoPosition), Request::Subscribe(subscribe)) => {
            Some(Request::Subscribe(SubscribeRequest {
                recover: false,
                position: Position::default(),
                ..subscribe
            }))
        }
        (Some(Mutation::NoRepeat | Mutation::NewKeys), Request::Rpc(rpc)) => {
            let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT)
                .expect("a session publishes with keys");
            let first = *memory
                .first_sent
                .entry(publish.idempotency_key.clone())
                .or_insert(attempt);
            if first == attempt {
                return Some(Request::Rpc(rpc));
            }
            (mutation == Some(Mutation::NewKeys)).then(|| with_new_key(&rpc, publish, attempt))
        }
        (_, request) => Some(request),
    }
}

fn with_new_key(rpc: &RpcRequest, publish: IdempotentPublish, attempt: Attempt) -> Request {
    let key = format!("{}+{}", publish.idempotency_key, attempt.0);
    let mut data = Vec::new();
    idempotent::append_publish(
        &mut data,
        &IdempotentPublish {
            idempotency_key: key,
            ..publish
        },
    );
    Request::Rpc(RpcRequest {
        method: rpc.method.clone(),
        data: Bytes::from(data),
    })
}
