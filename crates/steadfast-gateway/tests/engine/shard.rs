//! What the tests do with a shard's end: append, and wait for events.

use steadfast_engine::{Append, EngineEvent, Publisher, Request, RequestId, RetentionClass};
use steadfast_gateway::engine::ShardEngine;
use steadfast_protocol::message::{ChannelName, PayloadKind};

use crate::TEST_TIMEOUT;

pub(crate) fn append(shard: &mut ShardEngine, number: u64) {
    shard.request(Request::Append(Append {
        request_id: RequestId {
            shard: shard.shard(),
            number,
        },
        channel: ChannelName::from("news"),
        data: number.to_string().into(),
        kind: PayloadKind::Json,
        retention: RetentionClass::Kept,
        publisher: Publisher::default(),
        idempotency_key: None,
        may_create_channel: true,
    }));
}

/// Takes events until there are `count`.
pub(crate) fn wait_for(shard: &mut ShardEngine, count: usize) -> Vec<EngineEvent> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let mut events = Vec::new();
        while events.len() < count {
            tokio::time::timeout(TEST_TIMEOUT, shard.ready())
                .await
                .expect("the engine responds");
            shard.take(&mut events, count);
        }
        events
    })
}

pub(crate) fn take(shard: &mut ShardEngine) -> Vec<EngineEvent> {
    let mut events = Vec::new();
    shard.take(&mut events, usize::MAX);
    events
}
