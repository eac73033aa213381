//! Calls: what they check, and that they never wait for data.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use steadfast_proxy::{Change, Error, Proxy, ProxySet, Toxic};

use crate::setup::{connect, listener, millis, pair, receive, send};

/// Number 5 of the defects of the original: calls wait until every connection has moved its data.
#[test]
fn calls_return_while_no_connection_can_move_its_data() {
    let pair = pair([]);
    let mut stuck = Vec::new();
    for _ in 0..50 {
        let (mut client, server) = pair.another();
        client.set_nonblocking(true).unwrap();
        let chunk = vec![0; 1 << 16];
        // The server does not read, so that all buffers fill.
        while client.write(&chunk).is_ok() {}
        stuck.push((client, server));
    }

    for _ in 0..20 {
        for toxic in [
            Toxic::latency(millis(10)),
            Toxic::bandwidth(1),
            Toxic::stall(),
        ] {
            pair.proxy.add_toxic(toxic.upstream()).unwrap();
        }
        assert_eq!(pair.proxy.connections().len(), 51);
        pair.proxy.remove_toxics();
    }
    pair.proxy.wait(pair.proxy.set_enabled(false)).unwrap();
    assert!(!pair.proxy.info().is_enabled);
}

/// Number 7 of the defects of the original: a slicer of zero overflows its stack.
#[test]
fn a_slicer_of_zero_is_refused() {
    let pair = pair([]);

    let error = pair
        .proxy
        .add_toxic(Toxic::slicer(0, 0, millis(0)))
        .unwrap_err();

    assert_eq!(
        error.to_string(),
        "toxic \"slicer_downstream\": average_size is 0, and must be from 1 to 1048576 bytes"
    );
    assert_eq!(pair.proxy.toxics(), []);
}

/// Number 8 of the defects of the original, within a process: connections before the first toxic escape it.
#[test]
fn a_toxic_of_the_settings_affects_the_first_connection() {
    let mut pair = pair([Toxic::limit_data(2).upstream()]);

    send(&mut pair.client, b"abc");

    assert_eq!(crate::setup::receive_all(&mut pair.server), b"ab");
}

/// Number 10 of the defects of the original: bytes are counted only at the end of a connection.
#[test]
fn counters_and_connections_are_live() {
    let mut pair = pair([Toxic::stall().downstream().toxicity(0.0)]);
    send(&mut pair.client, b"abc");
    receive(&mut pair.server, 3);
    send(&mut pair.server, b"de");
    receive(&mut pair.client, 2);
    // A write is counted when it returns, which may be after the peer has read.
    crate::setup::wait_for(&pair.proxy, |open| {
        open.iter().all(|it| it.to_client.sent_bytes == 2)
    });

    let counters = pair.proxy.counters();
    assert_eq!((counters.accepted, counters.open), (1, 1));
    assert_eq!(
        (
            counters.to_server.received_bytes,
            counters.to_server.sent_bytes
        ),
        (3, 3)
    );
    assert_eq!(
        (
            counters.to_client.received_bytes,
            counters.to_client.sent_bytes
        ),
        (2, 2)
    );
    let connections = pair.proxy.connections();
    let [connection] = connections.as_slice() else {
        panic!("one connection: {connections:?}")
    };
    assert_eq!(connection.peer, pair.client.local_addr().unwrap());
    assert_eq!(connection.upstream, Some(pair.server.local_addr().unwrap()));
    assert_eq!(connection.to_server, counters.to_server);
    assert_eq!(
        (connection.toxics.len(), connection.toxics[0].is_victim),
        (1, false)
    );

    drop((pair.client, pair.server));
    crate::setup::wait_for(&pair.proxy, <[_]>::is_empty);
    let after = pair.proxy.counters();
    assert_eq!((after.to_server, after.open), (counters.to_server, 0));
}

#[test]
fn names_are_unique_and_the_kind_of_a_toxic_stays() {
    let pair = pair([]);
    let proxy = &pair.proxy;
    proxy.add_toxic(Toxic::stall().named("a")).unwrap();

    let exists = proxy.add_toxic(Toxic::noop().named("a")).unwrap_err();
    assert!(matches!(exists, Error::ToxicExists(_)));
    assert!(proxy.update_toxic(Toxic::noop().named("a")).is_err());
    assert!(
        proxy
            .update_toxic(Toxic::stall().upstream().named("a"))
            .is_err()
    );
    assert!(matches!(
        proxy.remove_toxic("b"),
        Err(Error::ToxicNotFound(_))
    ));
    for number in 1..64 {
        proxy
            .add_toxic(Toxic::noop().named(number.to_string()))
            .unwrap();
    }
    assert!(matches!(
        proxy.add_toxic(Toxic::noop()),
        Err(Error::Full { max: 64, .. })
    ));
}

#[tokio::test]
async fn a_batch_changes_all_or_nothing() {
    let (_listener, address) = listener();
    let set = ProxySet::new(Some(7));
    for name in ["a", "b"] {
        set.create(Proxy::to(address).name(name)).await.unwrap();
    }
    let add = |name: &str, toxic: Toxic| Change::AddToxic(name.to_owned(), toxic);

    let changes = vec![
        add("a", Toxic::stall()),
        add("b", Toxic::slicer(0, 0, millis(0))),
    ];
    let (index, _) = set.batch(changes).unwrap_err();
    assert_eq!(index, 1);
    let missing = set.batch(vec![add("a", Toxic::stall()), add("c", Toxic::stall())]);
    assert!(matches!(missing, Err((1, Error::ProxyNotFound(_)))));
    assert_eq!(set.get("a").unwrap().toxics(), []);

    set.batch(vec![add("a", Toxic::stall()), add("b", Toxic::reset())])
        .unwrap();
    assert_eq!(set.get("b").unwrap().toxics(), [Toxic::reset()]);
}

/// A toxic that another call adds between the checks of a batch and its changes must not lead to half of them.
#[test]
fn a_batch_over_two_proxies_is_atomic_among_other_calls() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let set = ProxySet::new(Some(7));
    let start = |name| {
        let proxy = set.create(Proxy::to("127.0.0.1:1").name(name));
        runtime.block_on(proxy).unwrap()
    };
    let (first, second) = (start("a"), start("b"));
    let is_over = AtomicBool::new(false);
    let (mut applied, mut refused) = (0, 0);

    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // It may be there already, as a part of the batch.
                drop(second.add_toxic(Toxic::stall()));
                drop(second.remove_toxic("stall_downstream"));
            }
        });
        // A batch fails if the other thread's toxic exists at that instant, which is so for a good part of the time.
        while applied < 200 || refused < 200 {
            let add = |name: &str| Change::AddToxic(name.to_owned(), Toxic::stall());
            if set.batch(vec![add("a"), add("b")]).is_ok() {
                applied += 1;
                first.remove_toxics();
            } else {
                refused += 1;
                let toxics = first.toxics();
                if !toxics.is_empty() {
                    is_over.store(true, Ordering::Relaxed);
                    panic!("half of a refused batch: {toxics:?}");
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_timeout_of_dials_changes_without_an_end_of_connections() {
    let mut pair = pair([]);
    assert_eq!(pair.proxy.info().dial_timeout, millis(10_000));

    let update = steadfast_proxy::Update {
        dial_timeout: Some(millis(50)),
        ..Default::default()
    };
    pair.proxy.wait(pair.proxy.update(update)).unwrap();

    assert_eq!(pair.proxy.info().dial_timeout, millis(50));
    send(&mut pair.client, b"a");
    assert_eq!(receive(&mut pair.server, 1), b"a");
}

#[test]
fn a_drawn_seed_is_exact_in_every_reader_of_json() {
    for _ in 0..100 {
        assert!(ProxySet::new(None).seed().as_u64() < 1 << 53);
    }
}

#[tokio::test]
async fn a_set_populates_resets_and_removes() {
    let (_listener, address) = listener();
    let set = ProxySet::new(Some(7));
    let first = set.create(Proxy::to(address).name("a")).await.unwrap();
    assert!(matches!(
        set.create(Proxy::to(address).name("a")).await,
        Err(Error::ProxyExists(_))
    ));
    let client = tokio::net::TcpStream::connect(first.local_addr())
        .await
        .unwrap();

    let same = Proxy::to(address)
        .name("a")
        .listen(first.local_addr().to_string());
    let toxics = Some(vec![Toxic::noop()]);
    let kept = set
        .populate(same.clone(), Some(false), toxics)
        .await
        .unwrap();
    assert_eq!(kept.local_addr(), first.local_addr());
    assert_eq!((kept.info().is_enabled, kept.toxics().len()), (false, 1));
    drop(client);

    set.reset().await.unwrap();
    assert_eq!((kept.info().is_enabled, kept.toxics().len()), (true, 0));
    assert_eq!(kept.info().seed, set.seed());

    set.remove("a").await.unwrap();
    assert!(set.list().is_empty());
    assert!(
        tokio::net::TcpStream::connect(first.local_addr())
            .await
            .is_err()
    );
}

#[test]
fn a_connection_beyond_the_maximum_is_reset() {
    let (listener, address) = listener();
    let proxy = crate::setup::start(Proxy::to(address).connections_max(1));
    let _first = connect(&proxy);
    let _server = crate::setup::accept(&listener);

    let mut second = connect(&proxy);

    crate::setup::assert_reset(&mut second);
    assert_eq!(proxy.counters().refused, 1);
}
