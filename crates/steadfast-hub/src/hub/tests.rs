//! Tests of a hub as a whole: its entries, and the work that each of them causes.

use bytes::Bytes;
use steadfast_engine::{
    ChannelEpoch, Committed, Page, Publisher, ReadResponse, Record, Response, RetentionClass,
};
use steadfast_protocol::message::{
    ConnectRequest, PayloadKind, PublishRequest, Reply, ReplyResult, Request, SubscribeRequest,
};

use super::*;
use crate::policy::{AnonymousInfo, ConnectDecider, HubSettings, JoinLeave};
use crate::quota::Quota;
use crate::work;

#[test]
fn the_work_to_find_the_command_that_goes_does_not_depend_on_how_many_are_skipped() {
    let work = |skipped: u32| {
        let mut hub = Hub::new(policy(), Seed::new(1), Instant::START);
        for index in 0..skipped {
            let peer = connect(&mut hub, index);
            incomplete(&mut hub, peer, 0);
        }
        let first = connect(&mut hub, skipped);
        incomplete(&mut hub, first, 1);
        let last = connect(&mut hub, skipped + 1);
        work::take();
        incomplete(&mut hub, last, 1 << 20);
        assert!(hub.peers.get(first).is_none());
        assert!(hub.peers.get(last).is_some());
        work::take()
    };
    assert_eq!(work(100), work(0));
}

/// Reports a long command of a peer, of which this much is kept.
fn incomplete(hub: &mut Hub, peer: PeerId, kept_bytes: usize) {
    let command = Some(IncompleteCommand {
        received_bytes: 1 << 20,
        kept_bytes,
        is_new: true,
    });
    handle(hub, Input::Incomplete { peer, command });
}

#[test]
fn one_publish_looks_its_peer_up_once_on_the_way_in_and_once_on_the_way_out() {
    let mut hub = Hub::new(policy(), Seed::new(1), Instant::START);
    let peer = connect(&mut hub, 0);

    hub.peers.lookups.set(0);
    command(&mut hub, peer, 2, Request::Publish(publication()));
    assert_eq!(hub.peers.lookups.get(), 1);

    let number = outputs(&mut hub).find_map(|output| {
        if let Output::Request(request) = output {
            return Some(request.id().number);
        }
        None
    });
    let response = EngineEvent::Response {
        number: number.unwrap(),
        response: Response::Appended {
            epoch: EPOCH,
            offset: 1,
            is_duplicate: false,
            creates_channel: false,
        },
    };
    hub.peers.lookups.set(0);
    handle(
        &mut hub,
        Input::Engine {
            events: vec![committed(), response],
        },
    );
    assert_eq!(hub.peers.lookups.get(), 1);

    let acknowledged = outputs(&mut hub).any(|output| {
        let outcome = Ok(ReplyResult::Publish);
        let ack = Reply::Response { id: 2, outcome };
        matches!(output, Output::Send { peer: to, message } if to == peer && message == ack)
    });
    assert!(acknowledged);
}

#[test]
fn a_mass_disconnect_of_a_channel_whose_members_all_listen_costs_each_member_the_same() {
    let entries = [1_000, 5_000].map(|members| {
        let mut hub = Hub::new(policy(), Seed::new(1), Instant::START);
        let peers: Vec<_> = (0..members).map(|index| listen(&mut hub, index)).collect();
        assert_eq!(peers.len(), hub.peer_count());
        work::take();

        for peer in peers {
            let loss = ConnectionLoss::IoError;
            handle(&mut hub, Input::Lost { peer, loss });
            relay(&mut hub);
        }

        assert_eq!((hub.peer_count(), hub.channel_count()), (0, 0));
        work::take()
    });

    println!("entries visited or copied: {entries:?}");
    assert!(entries[0] <= 4 * 1_000, "{entries:?}");
    assert_eq!(entries[1], 5 * entries[0]);
}

const EPOCH: ChannelEpoch = ChannelEpoch::new(0xe, 0);

/// Connects a peer that is live in `news` and receives joins and leaves.
fn listen(hub: &mut Hub, index: u32) -> PeerId {
    let peer = connect(hub, index);
    let request = SubscribeRequest {
        channel: "news".to_owned(),
        join_leave: true,
        ..SubscribeRequest::default()
    };
    command(hub, peer, 2, Request::Subscribe(request));
    let mut granted = 0;
    while let Some(output) = hub.poll_output() {
        if let Output::Request(request) = output {
            let number = request.id().number;
            let response = Response::Read(ReadResponse {
                epoch: EPOCH,
                high_watermark: 0,
                page: Page::Unrecoverable,
            });
            let response = EngineEvent::Response { number, response };
            handle(
                hub,
                Input::Engine {
                    events: vec![response],
                },
            );
        } else if let Output::Send { .. } = output {
            granted += 1;
        }
    }
    assert_eq!(granted, 1);
    peer
}

/// Executes all outputs: what is broadcast returns to the hub, as from its inbox.
fn relay(hub: &mut Hub) {
    let mut count = 0;
    while let Some(output) = hub.poll_output() {
        count += 1;
        if let Output::Broadcast(message) = output {
            handle(hub, Input::ShardMessageReceived { message });
        }
    }
    assert!(count <= 3, "{count} outputs for one leave");
}

const QUOTA: Quota = Quota {
    uses_max: 100,
    period: std::time::Duration::from_mins(1),
};

fn policy() -> HubPolicy {
    let second = std::time::Duration::from_secs(1);
    let settings = HubSettings {
        shard: 0,
        shards: 1,
        server: "test".to_owned(),
        ping_interval: 25 * second,
        pong_timeout: 8 * second,
        connect_timeout: 10 * second,
        rejected_close_timeout: 5 * second,
        write_timeout: 10 * second,
        message_timeout: 30 * second,
        send_buffer_bytes_max: 1 << 20,
        unsent_memory_bytes_max: 1 << 30,
        incomplete_bytes_max: 1 << 20,
        peers_max: 10_000,
        channels_per_peer_max: 3,
        new_channels_per_peer: QUOTA,
        keys_per_peer: QUOTA,
        pending_requests_per_peer_max: 4,
        pending_requests_max: 64,
        pending_request_bytes_max: 1 << 20,
        catch_up_reads_max: 2,
        recovery_publications_max: 3,
        recovery_reply_bytes_max: 4 << 10,
        recovery_bytes_max: 65_536,
        history_publications_max: 10,
        presence_clients_max: 3,
        presence_timeout: 3 * second,
        join_leave: JoinLeave::On,
        anonymous_info: AnonymousInfo::Ignored,
        connect_decider: ConnectDecider::Hub,
        limits: Limits::DEFAULT,
    };
    HubPolicy::try_from(settings).unwrap()
}

fn connect(hub: &mut Hub, index: u32) -> PeerId {
    let peer = PeerId {
        index,
        generation: 0,
    };
    let client = ClientId(u128::from(index));
    let access = Access::Anonymous;
    handle(
        hub,
        Input::Accepted {
            peer,
            client,
            access,
        },
    );
    command(hub, peer, 1, Request::Connect(ConnectRequest::default()));
    outputs(hub).for_each(drop);
    peer
}

fn command(hub: &mut Hub, peer: PeerId, id: u32, request: Request) {
    let command = Ok(Command { id, request });
    let at = Timestamp::default();
    handle(hub, Input::CommandReceived { peer, command, at });
}

fn handle(hub: &mut Hub, input: Input) {
    hub.handle(Instant::START, input);
}

fn outputs(hub: &mut Hub) -> impl Iterator<Item = Output> {
    std::iter::from_fn(|| hub.poll_output())
}

fn publication() -> PublishRequest {
    PublishRequest {
        channel: "news".to_owned(),
        data: Bytes::from_static(b"1"),
        payload_kind: PayloadKind::Json,
        kind: 0,
    }
}

fn committed() -> EngineEvent {
    EngineEvent::Committed(Committed {
        channel: "news".into(),
        epoch: EPOCH,
        previous: 0,
        record: Record {
            offset: 1,
            data: Bytes::from_static(b"1"),
            kind: PayloadKind::Json,
            retention: RetentionClass::Kept,
            publisher: Publisher::default(),
            at: Timestamp::default(),
        },
    })
}
