//! Planted bugs of a session: the driver alters the session's messages before it sends them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::ENCODING;
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
    /// The number of calls that will not be repeated.
    calls_lost: usize,
    /// Every publish command, by channel and key.
    publish_commands: BTreeMap<(String, String), RpcRequest>,
    /// The publications that the next publish command brings along.
    publications_lost: BTreeSet<(String, String)>,
    /// The id of the last command that the session does not know.
    last_id: u32,
}

impl SessionBugState {
    /// A connection was lost, and with it the replies to these calls and publications.
    pub(crate) fn on_connection_lost(
        &mut self,
        calls: usize,
        publications: BTreeSet<(String, String)>,
    ) {
        self.calls_lost = calls;
        self.publications_lost = publications;
    }
}

/// The first id of commands that the session does not know: far above those that it reaches.
const UNKNOWN_ID: u32 = 1 << 30;

/// Alters a message as the planted bug requires; `None` when nothing of it is sent.
pub(crate) fn alter_message(
    message: Bytes,
    attempt: Attempt,
    planted_bug: Option<PlantedBug>,
    state: &mut SessionBugState,
) -> Option<Bytes> {
    let Some(
        PlantedBug::NoResend
        | PlantedBug::NewKeys
        | PlantedBug::NoPosition
        | PlantedBug::NoCallRepeat
        | PlantedBug::NoCare,
    ) = planted_bug
    else {
        return Some(message);
    };
    let mut altered = Vec::new();
    for command in ENCODING.decode_commands(&message, &Limits::DEFAULT) {
        let Command { id, request } = command.expect("a session sends valid commands");
        if let Some(request) = alter_request(request, attempt, planted_bug, state) {
            append(&mut altered, &Command { id, request });
        }
    }
    if planted_bug == Some(PlantedBug::NoCare) && !altered.is_empty() {
        append_lost(&mut altered, state);
    }
    (!altered.is_empty()).then(|| Bytes::from(altered))
}

fn append(message: &mut Vec<u8>, command: &Command) {
    if !message.is_empty() {
        message.extend_from_slice(ENCODING.separator());
    }
    ENCODING.append_command(message, command);
}

/// Appends the lost publications, if the session has begun to resend them.
fn append_lost(message: &mut Vec<u8>, state: &mut SessionBugState) {
    let is_resending = state.last_id >= UNKNOWN_ID;
    if !is_resending {
        return;
    }
    for lost in std::mem::take(&mut state.publications_lost) {
        if let Some(rpc) = state.publish_commands.get(&lost) {
            state.last_id += 1;
            let (id, request) = (state.last_id, Request::Rpc(rpc.clone()));
            append(message, &Command { id, request });
        }
    }
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
        (
            Some(PlantedBug::NoCallRepeat),
            Request::History(_) | Request::Presence(_) | Request::PresenceStats(_),
        ) if state.calls_lost > 0 => {
            state.calls_lost -= 1;
            None
        }
        (Some(PlantedBug::NoCare), Request::Rpc(rpc)) => {
            let publish = idempotent::decode_publish(&rpc.data, &Limits::DEFAULT)
                .expect("a session publishes with idempotency keys");
            let entry = (publish.channel, publish.idempotency_key);
            if state.publications_lost.remove(&entry) {
                state.last_id = state.last_id.max(UNKNOWN_ID);
            }
            state.publish_commands.insert(entry, rpc.clone());
            Some(Request::Rpc(rpc))
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
