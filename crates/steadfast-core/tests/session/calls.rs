//! The outcomes of calls, and what they say about their execution.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{Call, CallError, Response};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ClientInfo, HistoryResult, PresenceStats, ReplyResult};

use crate::script::{Script, at, item};

fn rpc() -> Call {
    Call::Rpc {
        method: "pay".to_owned(),
        data: Bytes::from_static(b"1"),
    }
}

fn presence() -> Call {
    Call::Presence {
        channel: "chat".to_owned(),
    }
}

#[test]
fn a_call_that_the_server_rejects_reports_its_words() {
    let mut script = Script::ready();
    let id = script.call(rpc(), Duration::from_secs(5));
    let command = script.commands().remove(0);
    let refusal = ErrorCode::PermissionDenied.reply();

    script.reply_to(command.id, Err(refusal.clone()));

    assert_eq!(
        script.call_outcomes,
        [(id, Err(CallError::Rejected(refusal)))]
    );
}

#[test]
fn a_reply_of_another_type_ends_its_call() {
    let mut script = Script::ready();
    let id = script.call(presence(), Duration::from_secs(5));
    let command = script.commands().remove(0);

    script.reply_to(command.id, Ok(ReplyResult::Rpc("1".into())));

    assert_eq!(
        script.call_outcomes,
        [(id, Err(CallError::UnexpectedReply))]
    );
}

#[test]
fn a_call_that_times_out_may_have_been_executed_if_it_was_sent_and_has_an_effect() {
    let deadline = Duration::from_secs(5);
    for (call, was_sent, maybe_executed) in [
        (rpc(), true, true),
        (rpc(), false, false),
        (presence(), true, false),
        (presence(), false, false),
    ] {
        let mut script = if was_sent {
            Script::ready()
        } else {
            Script::new()
        };
        let id = script.call(call, deadline);

        script.advance(deadline);

        assert_eq!(
            script.call_outcomes,
            [(id, Err(CallError::TimedOut { maybe_executed }))]
        );
    }
}

#[test]
fn a_call_is_not_sent_at_its_deadline() {
    let mut script = Script::ready();

    script.call(rpc(), Duration::ZERO);
    script.advance(Duration::ZERO);

    assert_eq!(script.commands(), []);
    let maybe_executed = false;
    assert_eq!(
        script.call_outcomes[0].1,
        Err(CallError::TimedOut { maybe_executed })
    );
}

#[test]
fn each_kind_of_call_has_its_own_result() {
    let history = Call::History {
        channel: "chat".to_owned(),
        limit: 10,
        since: None,
        reverse: false,
    };
    let stats = Call::PresenceStats {
        channel: "chat".to_owned(),
    };
    let publications = HistoryResult {
        publications: vec![item(1)],
        position: at(1),
    };
    let client = ClientInfo {
        client: "c".to_owned(),
        ..ClientInfo::default()
    };
    let clients = BTreeMap::from([("c".to_owned(), client.clone())]);
    let counts = PresenceStats {
        num_clients: 2,
        num_users: 1,
    };
    let results = [
        (
            rpc(),
            ReplyResult::Rpc("7".into()),
            Response::Rpc("7".into()),
        ),
        (
            history,
            ReplyResult::History(publications.clone()),
            Response::History(publications),
        ),
        (
            presence(),
            ReplyResult::Presence(clients),
            Response::Presence(vec![client]),
        ),
        (
            stats,
            ReplyResult::PresenceStats(counts),
            Response::PresenceStats(counts),
        ),
    ];
    for (call, reply, response) in results {
        let mut script = Script::ready();
        let id = script.call(call, Duration::from_secs(5));
        let command = script.commands().remove(0);

        script.reply_to(command.id, Ok(reply));

        assert_eq!(script.call_outcomes, [(id, Ok(response))]);
    }
}

#[test]
fn a_call_may_be_as_large_as_the_server_accepts() {
    // What the name of the method may need at most when it is escaped, and the rest of the command.
    let overhead = 6 + 256;
    let limit = Limits::MESSAGE_BYTES;
    for (data, is_sent) in [(limit - overhead, true), (limit - overhead + 1, false)] {
        let mut script = Script::ready();
        let call = Call::Rpc {
            method: "m".to_owned(),
            data: Bytes::from(format!("\"{}\"", "1".repeat(data - 2))),
        };

        script.call(call, Duration::from_secs(5));

        assert_eq!(
            script.commands().len(),
            usize::from(is_sent),
            "{data} bytes"
        );
    }
}
