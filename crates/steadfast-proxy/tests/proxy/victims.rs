//! Which connections a toxic affects.

use steadfast_proxy::{Proxy, Select, Toxic};

use crate::setup::{Pair, assert_quiet, pair, receive, send};

pub(crate) const SEEDED: &str = "lag";

fn victims_of(proxy: &Proxy) -> Vec<u64> {
    let is_victim = |it: &&steadfast_proxy::ConnectionInfo| {
        it.toxics
            .iter()
            .any(|toxic| toxic.name == SEEDED && toxic.is_victim)
    };
    let connections = proxy.connections();
    connections
        .iter()
        .filter(is_victim)
        .map(|it| it.id)
        .collect()
}

/// Which of 20 connections do not receive what is sent, among those of a new proxy.
pub(crate) fn affected() -> (Pair, Vec<u64>) {
    let pair = pair([Toxic::stall().upstream().named(SEEDED).toxicity(0.5)]);
    let mut others = Vec::new();
    let mut affected = Vec::new();
    for id in 1..=20 {
        let (mut client, mut server) = if id == 1 {
            let first = (pair.client.try_clone(), pair.server.try_clone());
            (first.0.unwrap(), first.1.unwrap())
        } else {
            pair.another()
        };
        send(&mut client, b"a");
        server
            .set_read_timeout(Some(crate::setup::millis(100)))
            .unwrap();
        if std::io::Read::read(&mut server, &mut [0; 1]).is_err() {
            affected.push(id);
        }
        others.push((client, server));
    }
    assert_eq!(victims_of(&pair.proxy), affected);
    (pair, affected)
}

#[test]
fn three_runs_with_one_seed_affect_the_same_connections() {
    let runs: Vec<_> = (0..3).map(|_| affected().1).collect();

    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[1], runs[2]);
    assert!(runs[0].len() > 3 && runs[0].len() < 17, "{:?}", runs[0]);
}

/// Number 4 of the defects of the original: it draws again when any toxic changes.
#[test]
fn victims_stay_the_same_when_toxics_change() {
    let pair = pair([Toxic::stall().upstream().named(SEEDED).toxicity(0.5)]);
    let others: Vec<_> = (0..30).map(|_| pair.another()).collect();
    let before = victims_of(&pair.proxy);
    assert!(before.len() > 5 && before.len() < 25, "{before:?}");

    pair.proxy
        .add_toxic(Toxic::slow_read(100).upstream())
        .unwrap();
    assert_eq!(victims_of(&pair.proxy), before);
    let longer = Toxic::stall_for(crate::setup::millis(60_000));
    pair.proxy
        .update_toxic(longer.upstream().named(SEEDED).toxicity(0.5))
        .unwrap();
    assert_eq!(victims_of(&pair.proxy), before);
    pair.proxy.remove_toxic("slow_read_upstream").unwrap();
    assert_eq!(victims_of(&pair.proxy), before);

    for (id, (mut client, mut server)) in (2..).zip(others) {
        send(&mut client, b"a");
        if before.contains(&id) {
            if id < 8 {
                assert_quiet(&mut server);
            }
        } else {
            assert_eq!(receive(&mut server, 1), b"a", "{id}");
        }
    }
}

#[test]
fn only_selected_connections_are_affected() {
    let first = Select {
        first_n: Some(1),
        ..Select::default()
    };
    let mut pair = pair([Toxic::stall().upstream().select(first)]);
    let (mut second, mut second_server) = pair.another();
    send(&mut pair.client, b"a");
    send(&mut second, b"b");

    assert_eq!(receive(&mut second_server, 1), b"b");
    assert_quiet(&mut pair.server);
}
