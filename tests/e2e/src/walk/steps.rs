//! What each feature must do, as a client sees it.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::FeatureRun;
use super::test_client::Ack;
use crate::driver::line::{CallError, DriverEventKind};
use crate::ledger::{Position, Subscribed};

/// A number of publications that exceeds the maximum of one reply.
const LONG_GAP: u64 = 700;

/// Each client has an id of its own.
pub(super) fn connect(walk: &mut FeatureRun) -> Result<()> {
    ensure!(!walk.client.client_id.is_empty(), "no client id");
    ensure!(
        walk.client.client_id != walk.other.client_id,
        "two clients with one id"
    );
    Ok(())
}

/// A plain publication reaches every subscriber, including its publisher, and names the publisher.
pub(super) fn subscribe_and_publish(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    let first = walk.client.subscribe(&mut walk.drivers, &channel)?;
    let second = walk.other.subscribe(&mut walk.drivers, &channel)?;
    ensure!(!first.position.epoch.is_empty(), "no epoch");
    ensure!(
        first.position == second.position,
        "{first:?} and {second:?}"
    );
    ensure!(
        first.position.offset == 0 && !first.was_recovering,
        "{first:?}"
    );

    let data = json!({"text": "Grüße\nfrom \"outside\"", "number": 1});
    walk.client.publish(&mut walk.drivers, &channel, &data)?;
    for reader in [&walk.client, &walk.other] {
        let publisher = reader.expect_publication(&mut walk.drivers, &channel, 1, &data)?;
        ensure!(
            publisher == walk.client.client_id,
            "published by {publisher:?}"
        );
    }

    for (number, data) in [json!("text"), json!(2), json!([]), json!(null)]
        .iter()
        .enumerate()
    {
        let offset = u64::try_from(number)? + 2;
        walk.other.publish(&mut walk.drivers, &channel, data)?;
        walk.client
            .expect_publication(&mut walk.drivers, &channel, offset, data)?;
    }
    Ok(())
}

/// The acknowledgement contains the position; a repeat returns the same position and stores nothing.
pub(super) fn idempotent_publish(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    walk.other.subscribe(&mut walk.drivers, &channel)?;
    let data = json!({"order": 17});
    let next = json!({"order": 18});

    let first = walk
        .client
        .publish_idempotent(&mut walk.drivers, &channel, "order-17", &data)?;
    let again = walk
        .client
        .publish_idempotent(&mut walk.drivers, &channel, "order-17", &data)?;
    let later = walk
        .client
        .publish_idempotent(&mut walk.drivers, &channel, "order-18", &next)?;

    ensure!(first.position.offset == 1 && !first.duplicate, "{first:?}");
    let expected = Ack {
        duplicate: true,
        ..first
    };
    ensure!(again == expected, "the repeat returned {again:?}");
    ensure!(later.position.offset == 2 && !later.duplicate, "{later:?}");
    walk.other
        .expect_publication(&mut walk.drivers, &channel, 1, &data)?;
    walk.other
        .expect_publication(&mut walk.drivers, &channel, 2, &next)?;
    Ok(())
}

/// An unknown method is not found; an idempotent publish without a key or channel is a bad request.
pub(super) fn rejected_rpc(walk: &mut FeatureRun) -> Result<()> {
    let cases = [
        ("no.such.method", json!({}), 104),
        ("gw.publish", json!({"channel": "x", "data": 1}), 107),
        (
            "gw.publish",
            json!({"data": 1, "idempotency_key": "k"}),
            107,
        ),
        ("gw.publish", json!("neither"), 107),
        (
            "gw.publish",
            json!({"channel": "x", "data": 1, "idempotency_key": "k".repeat(65)}),
            107,
        ),
    ];
    for (method, data, code) in cases {
        let outcome = walk.client.rpc(&mut walk.drivers, method, &data)?;
        expect_code(&outcome, code, &format!("{method} with {data}"))?;
    }
    Ok(())
}

/// Joins and leaves are pushed, and presence lists the subscribers.
pub(super) fn join_presence_and_leave(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    walk.client.subscribe(&mut walk.drivers, &channel)?;
    let alone = walk.client.presence(&mut walk.drivers, &channel)?;
    ensure!(alone == [walk.client.client_id.clone()], "alone: {alone:?}");

    walk.other.subscribe(&mut walk.drivers, &channel)?;
    let another = walk.other.client_id.clone();
    walk.drivers
        .expect(&walk.client.name, &channel, "join", |event| {
            matches!(event, DriverEventKind::Join(who) if *who == another).then_some(())
        })?;

    for reader in [&walk.client, &walk.other] {
        let mut both = vec![walk.client.client_id.clone(), walk.other.client_id.clone()];
        both.sort_unstable();
        let present = reader.presence(&mut walk.drivers, &channel)?;
        ensure!(present == both, "{present:?} instead of {both:?}");
        let stats = reader.presence_stats(&mut walk.drivers, &channel)?;
        // Both clients are anonymous, and all anonymous clients count as one user.
        ensure!(
            stats == json!({"num_clients": 2, "num_users": 1}),
            "{stats}"
        );
    }

    let name = walk.other.name.clone();
    let command = json!({"do": "unsubscribe", "client": name, "channel": channel});
    walk.drivers.succeed(command)?;
    walk.drivers
        .expect(&walk.client.name, &channel, "leave", |event| {
            matches!(event, DriverEventKind::Leave(who) if *who == another).then_some(())
        })?;
    let alone = walk.client.presence(&mut walk.drivers, &channel)?;
    ensure!(
        alone == [walk.client.client_id.clone()],
        "alone again: {alone:?}"
    );
    Ok(())
}

/// After an unsubscribe, the client receives no more publications.
pub(super) fn unsubscribe(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    walk.client.subscribe(&mut walk.drivers, &channel)?;
    walk.other.subscribe(&mut walk.drivers, &channel)?;
    let name = walk.client.name.clone();
    walk.drivers
        .succeed(json!({"do": "unsubscribe", "client": name, "channel": channel}))?;
    walk.drivers
        .expect(&name, &channel, "unsubscribed", |event| {
            matches!(event, DriverEventKind::Unsubscribed { code: 0, .. }).then_some(())
        })?;

    let data = json!("not delivered to this kind");
    walk.client.publish(&mut walk.drivers, &channel, &data)?;
    walk.other
        .expect_publication(&mut walk.drivers, &channel, 1, &data)?;
    // Anything that the gateway sent to this client earlier arrives before the reply to another call.
    walk.client.presence(&mut walk.drivers, &channel)?;
    let received = walk.drivers.take(&name, &channel, |event| {
        matches!(event, DriverEventKind::Publication { .. }).then_some(())
    });
    ensure!(
        received.is_empty(),
        "a publication after the end of the subscription"
    );
    Ok(())
}

/// Requests the position alone, all publications, a part, those after a position, and the newest first.
pub(super) fn history(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    let mut epoch = String::new();
    for number in 1..=5 {
        let key = format!("{channel}-{number}");
        let ack =
            walk.client
                .publish_idempotent(&mut walk.drivers, &channel, &key, &json!(number))?;
        epoch = ack.position.epoch;
    }
    let since = |offset: u64| json!({"offset": offset, "epoch": epoch});
    let cases: [(Value, &[u64]); 6] = [
        (json!({"limit": 0}), &[]),
        (json!({"limit": -1}), &[1, 2, 3, 4, 5]),
        (json!({"limit": 2}), &[1, 2]),
        (json!({"limit": -1, "since": since(3)}), &[4, 5]),
        (json!({"limit": 2, "reverse": true}), &[5, 4]),
        (
            json!({"limit": -1, "reverse": true, "since": since(3)}),
            &[2, 1],
        ),
    ];
    for (fields, expected) in cases {
        let result = match walk.client.history(&mut walk.drivers, &channel, &fields)? {
            Ok(result) => result,
            Err(error) => bail!("history with {fields}: {error:?}"),
        };
        let publications: Vec<Value> = expected
            .iter()
            .map(|number| json!({"offset": number, "data": number}))
            .collect();
        let expected = json!({"offset": 5, "epoch": epoch, "publications": publications});
        ensure!(
            result == expected,
            "history with {fields}: {result} instead of {expected}"
        );
    }
    Ok(())
}

/// A position of another epoch is rejected as unrecoverable.
pub(super) fn history_of_another_epoch(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    walk.client
        .publish(&mut walk.drivers, &channel, &json!(1))?;
    let fields = json!({"limit": 10, "since": {"offset": 1, "epoch": "another"}});

    let outcome = walk.client.history(&mut walk.drivers, &channel, &fields)?;

    expect_code(&outcome, 112, "history of another epoch")
}

/// A subscription can begin after a position that the application stored; a position of another epoch is not recovered.
pub(super) fn subscribe_from_a_position(walk: &mut FeatureRun) -> Result<()> {
    let channel = walk.channel();
    let mut epoch = String::new();
    for number in 1..=3 {
        let key = format!("{channel}-{number}");
        let ack =
            walk.other
                .publish_idempotent(&mut walk.drivers, &channel, &key, &json!(number))?;
        epoch = ack.position.epoch;
    }
    let kept = Position {
        epoch: epoch.clone(),
        offset: 1,
    };
    let outcome = walk
        .client
        .subscribe_since(&mut walk.drivers, &channel, &kept)?;
    ensure!(outcome.was_recovering && outcome.recovered, "{outcome:?}");
    ensure!(outcome.position == kept, "{outcome:?}");
    walk.client
        .expect_publication(&mut walk.drivers, &channel, 2, &json!(2))?;
    walk.client
        .expect_publication(&mut walk.drivers, &channel, 3, &json!(3))?;

    let another = walk.connect_another()?;
    let foreign = Position {
        epoch: "another".to_owned(),
        offset: 1,
    };
    let outcome = another.subscribe_since(&mut walk.drivers, &channel, &foreign)?;
    let expected = Subscribed {
        position: Position { epoch, offset: 3 },
        was_recovering: true,
        recovered: false,
    };
    ensure!(outcome == expected, "{outcome:?}");
    another.close(&mut walk.drivers)
}

/// A client that was disconnected receives what it missed, in order, and then new publications.
pub(super) fn resume(walk: &mut FeatureRun) -> Result<()> {
    gap(walk, 3)
}

/// A disconnected client also receives more missed publications than one reply may contain.
pub(super) fn resume_after_many_publications(walk: &mut FeatureRun) -> Result<()> {
    gap(walk, LONG_GAP)
}

fn gap(walk: &mut FeatureRun, missed: u64) -> Result<()> {
    let channel = walk.channel();
    walk.client.subscribe(&mut walk.drivers, &channel)?;
    walk.client
        .publish(&mut walk.drivers, &channel, &json!(1))?;
    walk.client
        .expect_publication(&mut walk.drivers, &channel, 1, &json!(1))?;
    walk.client.close(&mut walk.drivers)?;
    for number in 2..missed + 2 {
        walk.other
            .publish(&mut walk.drivers, &channel, &json!(number))?;
    }

    let url = walk.url.clone();
    walk.client.open(&mut walk.drivers, &url)?;
    let outcome = walk.client.expect_subscribed(&mut walk.drivers, &channel)?;
    let last = missed + 2;
    walk.other
        .publish(&mut walk.drivers, &channel, &json!(last))?;

    ensure!(outcome.was_recovering && outcome.recovered, "{outcome:?}");
    for number in 2..=last {
        walk.client
            .expect_publication(&mut walk.drivers, &channel, number, &json!(number))?;
    }
    Ok(())
}

/// A channel name that is too long is rejected, and the client stays connected.
pub(super) fn bad_channel(walk: &mut FeatureRun) -> Result<()> {
    let channel = "x".repeat(256);
    walk.client
        .send_subscribe(&mut walk.drivers, &channel, None)?;
    let code = walk
        .drivers
        .expect(&walk.client.name, &channel, "unsubscribed", |event| {
            let DriverEventKind::Unsubscribed { code, .. } = event else {
                return None;
            };
            Some(*code)
        })?;
    ensure!(code == 107, "unsubscribed with {code}");
    let command = json!({
        "do": "publish", "client": walk.client.name, "channel": channel, "data": 1,
    });
    let outcome = walk.drivers.call(command)?;
    expect_code(&outcome, 107, "publish to a channel with a long name")?;
    let channel = walk.channel();
    walk.client
        .publish(&mut walk.drivers, &channel, &json!("still here"))
}

fn expect_code(outcome: &Result<Value, CallError>, expected: u64, context: &str) -> Result<()> {
    match outcome {
        Err(CallError::Server { code, message }) if *code == expected && !message.is_empty() => {
            Ok(())
        }
        other => bail!("{context}: {other:?} instead of error {expected}"),
    }
}
