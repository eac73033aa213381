//! Planted bugs of a session: the driver alters the session's messages before it sends them.

use std::collections::BTreeMap;

use bytes::Bytes;
use steadfast_core::Session;
use steadfast_core::io::Attempt;
use steadfast_protocol::idempotent::{self, IdempotentPublish};
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Command, Position, Request, RpcRequest, SubscribeRequest};

use crate::planted_bug::PlantedBug;

/// What the planted bugs of one session remember.
#[derive(Debug, Default)]
pub(crate) struct SessionBugState {
    /// The attempt on which each key was sent first.
    first_sent: BTreeMap<String, Attempt>,
}

/// Alters a message as the planted bug requires; `None` when nothing of it is sent.
pub(crate) fn alter_message(
    message: Bytes,
    attempt: Attempt,
    planted_bug: Option<PlantedBug>,
    state: &mut SessionBugState,
) -> Option<Bytes> {
    let Some(PlantedBug::NoResend | PlantedBug::NewKeys | PlantedBug::NoPosition) = planted_bug
    else {
        return Some(message);
    };
    let mut altered = Vec::new();
    for command in Session::ENCODING.decode_commands(&message, &Limits::DEFAULT) {
        let Command { id, request } = command.expect("a session sends valid commands");
        if let Some(request) = alter_request(request, attempt, planted_bug, state) {
            if !altered.is_empty() {
                altered.extend_from_slice(Session::ENCODING.separator());
            }
            Session::ENCODING.append_command(&mut altered, &Command { id, request });
        }
    }
    (!altered.is_empty()).then(|| Bytes::from(altered))
}

fn alter_request(
    request: Request,
    attempt: Attempt,
    planted_bug: Option<PlantedBug>,
    state: &mut SessionBugState,
) -> Option<Request> {
    match (planted_bug, request) {
        (Some(PlantedBug::NoPosition), Request::Subscribe(subscribe)) => {
            Some(Request::Subscribe(SubscribeRequest {
                recover: false,
                position: Position::default(),
                ..subscribe
            }))
        }
        (Some(PlantedBug::NoResend | PlantedBug::NewKeys), Request::Rpc(rpc)) => {
            let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT)
                .expect("a session publishes with idempotency keys");
            let first = *state
                .first_sent
                .entry(publish.idempotency_key.clone())
                .or_insert(attempt);
            if first == attempt {
                return Some(Request::Rpc(rpc));
            }
            (planted_bug == Some(PlantedBug::NewKeys)).then(|| with_new_key(&rpc, publish, attempt))
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
