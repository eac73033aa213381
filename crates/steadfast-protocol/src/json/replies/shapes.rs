//! What may stand on the wire from server to client.

use super::super::shape::{OptionalPayload, Payload, Text, shape};

shape! {
    /// A reply: an answer, a push or a ping.
    ReplyShape<'a> {
        "id" => id: u32,
        "error" => error: Option<ErrorShape<'a>>,
        "push" => push: Option<PushShape<'a>>,
        "connect" => connect: Option<ConnectShape<'a>>,
        "subscribe" => subscribe: Option<SubscribeShape<'a>>,
        "unsubscribe" => unsubscribe: Option<EmptyShape>,
        "publish" => publish: Option<EmptyShape>,
        "presence" => presence: Option<PresenceShape<'a>>,
        "presence_stats" => presence_stats: Option<PresenceStatsShape>,
        "history" => history: Option<HistoryShape<'a>>,
        "ping" => ping: Option<EmptyShape>,
        "rpc" => rpc: Option<DataShape<'a>>,
        "refresh" => refresh: Option<RefreshShape<'a>>,
        "sub_refresh" => sub_refresh: Option<ExpiryShape>,
    }
}

shape! {
    /// The error in an answer.
    ErrorShape<'a> {
        "code" => code: u32,
        "message" => message: Text<'a>,
        "temporary" => temporary: bool,
    }
}

shape! {
    /// A push and its kind.
    PushShape<'a> {
        "channel" => channel: Text<'a>,
        "pub" => publication: Option<PublicationShape<'a>>,
        "join" => join: Option<InfoShape<'a>>,
        "leave" => leave: Option<InfoShape<'a>>,
        "unsubscribe" => unsubscribe: Option<EndShape<'a>>,
        "message" => message: Option<DataShape<'a>>,
        "subscribe" => subscribe: Option<SubscribePushShape<'a>>,
        "connect" => connect: Option<ConnectShape<'a>>,
        "disconnect" => disconnect: Option<EndShape<'a>>,
        "refresh" => refresh: Option<ExpiryShape>,
    }
}

shape! {
    /// The result of connect, also as a push.
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
    /// The result of presence: client ids as keys.
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
    /// When something ends; the result of refreshing a subscription, and a push about the connection.
    ExpiryShape {
        "expires" => expires: bool,
        "ttl" => ttl: u32,
    }
}

shape! {
    /// One publication.
    PublicationShape<'a> {
        "data" => data: Payload<'a>,
        "info" => info: Option<ClientInfoShape<'a>>,
        "offset" => offset: u64,
        "tags" => tags: OptionalPayload<'a>,
        "time" => time: i64,
    }
}

shape! {
    /// Who a client is.
    ClientInfoShape<'a> {
        "user" => user: Text<'a>,
        "client" => client: Text<'a>,
        "conn_info" => conn_info: OptionalPayload<'a>,
        "chan_info" => chan_info: OptionalPayload<'a>,
    }
}

shape! {
    /// Somebody came or went.
    InfoShape<'a> {
        "info" => info: Option<ClientInfoShape<'a>>,
    }
}

shape! {
    /// The server ended a subscription or the connection.
    EndShape<'a> {
        "code" => code: u32,
        "reason" => reason: Text<'a>,
    }
}

shape! {
    /// The server added a server-side subscription.
    SubscribePushShape<'a> {
        "recoverable" => recoverable: bool,
        "epoch" => epoch: Text<'a>,
        "offset" => offset: u64,
        "positioned" => positioned: bool,
        "data" => data: OptionalPayload<'a>,
    }
}

shape! {
    /// Raw JSON in an object of its own.
    DataShape<'a> {
        "data" => data: Payload<'a>,
    }
}

shape! {
    /// An object of which nothing is read.
    EmptyShape {}
}
