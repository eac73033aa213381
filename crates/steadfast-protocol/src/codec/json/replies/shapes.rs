//! The JSON objects from server to client.

use super::super::shape::{OptionalPayload, Payload, Text, shape};

shape! {
    /// A reply to a command, a push or a ping.
    ReplyShape<'a> {
        "id" => id: u32,
        "error" => error: Option<ErrorShape<'a>>,
        "push" => push: Option<PushShape<'a>>,
        one_of result: ResultShape {
            "connect" => connect: Connect(ConnectShape<'a>),
            "subscribe" => subscribe: Subscribe(SubscribeShape<'a>),
            "unsubscribe" => unsubscribe: Unsubscribe(EmptyShape),
            "publish" => publish: Publish(EmptyShape),
            "presence" => presence: Presence(PresenceShape<'a>),
            "presence_stats" => presence_stats: PresenceStats(PresenceStatsShape),
            "history" => history: History(HistoryShape<'a>),
            "ping" => ping: Ping(EmptyShape),
            "rpc" => rpc: Rpc(DataShape<'a>),
            "refresh" => refresh: Refresh(RefreshShape<'a>),
            "sub_refresh" => sub_refresh: SubRefresh(ExpiryShape),
        }
    }
}

shape! {
    /// The error in a reply.
    ErrorShape<'a> {
        "code" => code: u32,
        "message" => message: Text<'a>,
        "temporary" => temporary: bool,
    }
}

shape! {
    /// A push with one field for its kind.
    PushShape<'a> {
        "channel" => channel: Text<'a>,
        one_of event: EventShape {
            "pub" => publication: Publication(PublicationShape<'a>),
            "join" => join: Join(InfoShape<'a>),
            "leave" => leave: Leave(InfoShape<'a>),
            "unsubscribe" => unsubscribe: Unsubscribe(EndShape<'a>),
            "message" => message: Message(DataShape<'a>),
            "subscribe" => subscribe: Subscribe(SubscribePushShape<'a>),
            "connect" => connect: Connect(ConnectShape<'a>),
            "disconnect" => disconnect: Disconnect(EndShape<'a>),
            "refresh" => refresh: Refresh(ExpiryShape),
        }
    }
}

shape! {
    /// The result of connect, also sent as a push.
    ConnectShape<'a> {
        "client" => client: Text<'a>,
        "version" => version: Text<'a>,
        "expires" => expires: bool,
        "ttl" => ttl: u32,
        "data" => data: OptionalPayload<'a>,
        "ping" => ping: u32,
        "pong" => pong: bool,
        "time" => time: i64,
    }
}

shape! {
    /// The result of subscribe.
    SubscribeShape<'a> {
        "expires" => expires: bool,
        "ttl" => ttl: u32,
        "recoverable" => recoverable: bool,
        "epoch" => epoch: Text<'a>,
        "publications" => publications: OptionalPayload<'a>,
        "recovered" => recovered: bool,
        "offset" => offset: u64,
        "positioned" => positioned: bool,
        "data" => data: OptionalPayload<'a>,
        "was_recovering" => was_recovering: bool,
    }
}

shape! {
    /// The result of presence: an object with client ids as keys.
    PresenceShape<'a> {
        "presence" => presence: OptionalPayload<'a>,
    }
}

shape! {
    /// The result of presence stats.
    PresenceStatsShape {
        "num_clients" => num_clients: u32,
        "num_users" => num_users: u32,
    }
}

shape! {
    /// The result of history.
    HistoryShape<'a> {
        "publications" => publications: OptionalPayload<'a>,
        "epoch" => epoch: Text<'a>,
        "offset" => offset: u64,
    }
}

shape! {
    /// The result of refresh.
    RefreshShape<'a> {
        "client" => client: Text<'a>,
        "version" => version: Text<'a>,
        "expires" => expires: bool,
        "ttl" => ttl: u32,
    }
}

shape! {
    /// An expiry: the result of `sub_refresh`, and a push about the connection.
    ExpiryShape {
        "expires" => expires: bool,
        "ttl" => ttl: u32,
    }
}

shape! {
    /// A publication in a push or a result.
    PublicationShape<'a> {
        "data" => data: Payload<'a>,
        "info" => info: Option<ClientInfoShape<'a>>,
        "offset" => offset: u64,
        "tags" => tags: OptionalPayload<'a>,
        "time" => time: i64,
    }
}

shape! {
    /// The identity of a client.
    ClientInfoShape<'a> {
        "user" => user: Text<'a>,
        "client" => client: Text<'a>,
        "conn_info" => conn_info: OptionalPayload<'a>,
        "chan_info" => chan_info: OptionalPayload<'a>,
    }
}

shape! {
    /// A join or leave push.
    InfoShape<'a> {
        "info" => info: Option<ClientInfoShape<'a>>,
    }
}

shape! {
    /// An unsubscribe or disconnect push.
    EndShape<'a> {
        "code" => code: u32,
        "reason" => reason: Text<'a>,
    }
}

shape! {
    /// A push about a new server-side subscription.
    SubscribePushShape<'a> {
        "recoverable" => recoverable: bool,
        "epoch" => epoch: Text<'a>,
        "offset" => offset: u64,
        "positioned" => positioned: bool,
        "data" => data: OptionalPayload<'a>,
    }
}

shape! {
    /// An object that contains raw JSON.
    DataShape<'a> {
        "data" => data: Payload<'a>,
    }
}

shape! {
    /// An object whose fields are ignored.
    EmptyShape {}
}
