//! JSON-RPC 2.0 over WebSocket text messages: calls, notifications, and subscriptions to notifications of the peer.
//!
//! - **Calls** have a [`Class`], which decides whether a call is repeated when its reply is lost. A response is assigned to
//!   its call by its id, in any form.
//! - **An error without an id** says that the peer could not read a message. It belongs to the request without a response if
//!   there is only one on the connection, and no notification after which the peer has not responded to anything;
//!   otherwise it is reported as [`DialectEvent::Notice`], and the requests end at their deadlines.
//! - **A poison call is not repeated:** if the peer closes the connection because of the size or the content of a message,
//!   the calls in flight end, also idempotent ones.
//! - **A call that is one too many for the server** is sent again after a pause, whatever its class, see
//!   [`JsonRpcSettings::too_many_calls`]; the end of a subscription after the next response.
//! - **A result above the limit of the client** fails its call only, and the call is not repeated.
//! - **Subscriptions** are of two kinds, see [`Feed`]. There is no history: each new connection is a
//!   [`Gap`](crate::io::SubscriptionEvent::Gap), except the first.
//! - **A login** is a [`Login`]: one call or several steps. A server that no longer knows the client, as
//!   [`JsonRpcSettings::unauthenticated`] recognizes, gets one login over the open connection. The requests that it rejected
//!   for this reason are sent again; others in flight keep waiting, and new ones wait for the login. Subscriptions that it
//!   has accepted stay as they are, and are not requested again, so that no item is doubled; after the login each reports a
//!   [`Gap`](crate::io::SubscriptionEvent::Gap), because a server may send nothing to an unknown client.
//! - **Requests of the peer** are rejected with "method not found".

mod call;
mod excerpt;
mod feed;
mod login;
mod login_progress;
mod read;
mod subscribed_feeds;
mod subscription_ends;
mod without_response;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
pub use steadfast_protocol::jsonrpc::{ErrorObject, IdForm, codes};
use steadfast_protocol::jsonrpc::{Incoming, append_request};

pub use call::{Class, MethodCall, MethodPattern, Notification};
pub use feed::{Feed, FeedKey, Subscription};
pub use login::{Login, LoginCall, LoginRejection, LoginRequest, LoginStep, LoginVerdict};

use self::login_progress::{LoginProgress, Next};
use self::subscribed_feeds::SubscribedFeeds;
use self::subscription_ends::{End, SubscriptionEnds};
use self::without_response::WithoutResponse;
use super::{
    BatchRules, Dialect, DialectEvent, EarlyRequests, Excerpt, InFlight, Outcome, Oversized,
    Renewal, Request, Subscribed, Unsendable, Wire, close_advice,
};
use crate::io::{Computed, ConnectionLoss, Frame};
use crate::policy::{PolicyError, SessionSetting};
use crate::retry_advice::RetryAdvice;
use crate::secret::Secret;

/// A session of this protocol.
pub type Session = crate::Session<JsonRpc>;
/// An input of such a session.
pub type Input = crate::io::Input<JsonRpc>;
/// An output of such a session.
pub type Output = crate::io::Output<JsonRpc>;
/// An event of a subscription of such a session.
pub type SubscriptionEvent = crate::io::EventOf<JsonRpc>;
/// Why a call of such a session has no result.
pub type CallError = crate::io::CallError<ErrorObject>;
/// Why a notification of such a session was not sent.
pub type SendError = crate::io::SendError<ErrorObject>;

/// The most messages that are accepted in one batch of the peer.
pub const RECEIVED_BATCH_MAX: usize = 4_096;

/// A request has a member `jsonrpc`, an id of up to ten digits with quotes, a method and params: what it adds to the length
/// of the last two.
const ENVELOPE_BYTES: usize = 64;

/// Whether an error says that the server no longer knows the client; a pure function.
pub type IsUnauthenticated = fn(&ErrorObject) -> bool;

/// What a client says first, and the limits of its server.
///
/// ```
/// use steadfast_core::dialect::jsonrpc::{IdForm, JsonRpc, JsonRpcSettings};
///
/// let settings = JsonRpcSettings::new(64 << 10).id_form(IdForm::String).batch_max(20);
/// assert!(JsonRpc::new(settings).is_ok());
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JsonRpcSettings {
    /// How each connection begins; until the login has succeeded nothing else is sent.
    pub login: Option<Box<dyn Login>>,
    /// Recognizes the error with which the server rejects a request because it no longer knows the client.
    pub unauthenticated: Option<IsUnauthenticated>,
    /// The largest message that the server accepts before the login, in bytes; above zero. A longer call of a login ends it.
    pub login_message_bytes_max: usize,
    /// How ids are written.
    pub id_form: IdForm,
    /// The largest message that the server accepts, in bytes; above zero. A larger request fails alone, before it is sent.
    pub message_bytes_max: usize,
    /// The most calls in one batch; 1 sends none, and is right for a server that does not accept batches.
    pub batch_max: usize,
    /// The classes of methods, the first that matches; see [`MethodPattern`]. Methods that match none are
    /// [`Class::Write`].
    pub classes: Vec<(MethodPattern, Class)>,
    /// The codes of errors with which the server says that it did not execute a call, because the connection has too many.
    /// They mean that only in an error without data. Such a call is sent again within its deadline; for some time fewer
    /// calls are in flight.
    pub too_many_calls: BTreeSet<i64>,
    /// What close codes require, if it is not what they require by default.
    pub close_codes: BTreeMap<u16, RetryAdvice>,
    /// Whether a subscription ends with each error of the server; otherwise only with those that no repetition changes.
    pub ends_rejected_subscriptions: bool,
}

impl JsonRpcSettings {
    /// No login, ids as numbers, no batches, and a server that accepts messages of up to this size.
    pub const fn new(message_bytes_max: usize) -> Self {
        Self {
            login: None,
            unauthenticated: None,
            login_message_bytes_max: message_bytes_max,
            id_form: IdForm::Number,
            message_bytes_max,
            batch_max: 1,
            classes: Vec::new(),
            too_many_calls: BTreeSet::new(),
            close_codes: BTreeMap::new(),
            ends_rejected_subscriptions: false,
        }
    }

    /// Sets how each connection begins.
    #[must_use]
    pub fn login(mut self, login: impl Login + 'static) -> Self {
        self.login = Some(Box::new(login));
        self
    }

    /// Sets how the error is recognized with which the server rejects a request, without executing it, because it no longer
    /// knows the client. The client then logs in again over the open connection, and sends the request again. Without it, or
    /// without a login, such an error is the outcome of the request.
    #[must_use]
    pub const fn unauthenticated(mut self, is_unauthenticated: IsUnauthenticated) -> Self {
        self.unauthenticated = Some(is_unauthenticated);
        self
    }

    /// Sets the largest message that the server accepts before the login, in bytes; above zero. As large as
    /// [`Self::message_bytes_max`] by default.
    #[must_use]
    pub const fn login_message_bytes_max(mut self, bytes: usize) -> Self {
        self.login_message_bytes_max = bytes;
        self
    }

    /// Sets how ids are written.
    #[must_use]
    pub const fn id_form(mut self, form: IdForm) -> Self {
        self.id_form = form;
        self
    }

    /// Sets the largest message that the server accepts, in bytes; above zero.
    #[must_use]
    pub const fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self.login_message_bytes_max = bytes;
        self
    }

    /// Sets the most calls in one batch; above zero.
    #[must_use]
    pub const fn batch_max(mut self, calls: usize) -> Self {
        self.batch_max = calls;
        self
    }

    /// Adds a class of methods, after those that were added before.
    #[must_use]
    pub fn class(mut self, methods: MethodPattern, class: Class) -> Self {
        self.classes.push((methods, class));
        self
    }

    /// The class of this method.
    pub fn class_of(&self, method: &str) -> Class {
        let mut classes = self.classes.iter();
        let found = classes.find(|(pattern, _)| pattern.matches(method));
        found.map_or(Class::Write, |(_, class)| *class)
    }

    /// Adds a code of errors that say that a call was not executed because the connection has too many; see
    /// [`too_many_calls`](field@Self::too_many_calls).
    #[must_use]
    pub fn too_many_calls(mut self, code: i64) -> Self {
        self.too_many_calls.insert(code);
        self
    }

    /// Whether this error says that a call was not executed because the connection has too many.
    fn is_too_many(&self, error: &ErrorObject) -> bool {
        error.data.is_none() && self.too_many_calls.contains(&error.code)
    }

    /// Ends a subscription with any error of the server, so that the application learns of it; by default it ends with -32600,
    /// -32601 and -32602, and is requested again after others. That the connection has too many calls is no such error, nor
    /// that the server no longer knows the client.
    #[must_use]
    pub const fn end_rejected_subscriptions(mut self) -> Self {
        self.ends_rejected_subscriptions = true;
        self
    }

    /// Sets what a close code requires; 1005 is a close frame without a code.
    #[must_use]
    pub fn on_close(mut self, code: u16, advice: RetryAdvice) -> Self {
        self.close_codes.insert(code, advice);
        self
    }
}

/// The protocol on one connection.
#[derive(Clone, Debug)]
pub struct JsonRpc {
    /// Shared by all connections of a session.
    settings: Arc<JsonRpcSettings>,
    login: LoginProgress,
    feeds: SubscribedFeeds,
    ends: SubscriptionEnds,
    without_response: WithoutResponse,
    /// Decoded messages, to use the memory again.
    incoming: Vec<Incoming>,
}

impl JsonRpc {
    /// The protocol with these settings.
    ///
    /// # Errors
    ///
    /// Returns the first setting that is invalid.
    pub fn new(settings: JsonRpcSettings) -> Result<Self, PolicyError> {
        let problem = "must be above zero";
        for (value, setting) in [
            (settings.message_bytes_max, SessionSetting::MessageBytesMax),
            (settings.batch_max, SessionSetting::BatchMax),
            (
                settings.login_message_bytes_max,
                SessionSetting::MessageBytesMax,
            ),
        ] {
            if value == 0 {
                return Err(PolicyError { setting, problem });
            }
        }
        Ok(Self {
            login: LoginProgress::new(settings.login.clone()),
            settings: Arc::new(settings),
            feeds: SubscribedFeeds::default(),
            ends: SubscriptionEnds::default(),
            without_response: WithoutResponse::default(),
            incoming: Vec::new(),
        })
    }

    /// What the client says first, and the limits of its server.
    pub fn settings(&self) -> &JsonRpcSettings {
        &self.settings
    }

    fn call(&mut self, id: u32, method: &str, params: &[u8], wire: &mut Wire) {
        self.without_response.on_request(id);
        let rules = BatchRules::new(
            b",",
            self.settings.message_bytes_max,
            self.settings.batch_max,
        )
        .enclosed_by(b"[", b"]");
        let form = self.settings.id_form;
        wire.batch(&rules, |out| {
            append_request(out, Some((id, form)), method, params);
        });
    }

    /// Begins a login for this request of the session, or for the handshake. Returns whether there is a login.
    fn log_in(&mut self, request: Option<u32>, credentials: &Secret, wire: &mut Wire) -> bool {
        if self.login.machine().is_none() {
            return false;
        }
        let id = request.unwrap_or_else(|| wire.take_id());
        if let Some(LoginRequest { method, params }) = self.login.begin(request, id, credentials) {
            self.call(id, &method, &params, wire);
        }
        true
    }

    /// Executes the next step of the login; returns what it means to the session.
    fn continue_login(
        &mut self,
        next: Option<Next>,
        wire: &mut Wire,
    ) -> Option<DialectEvent<Self>> {
        match next? {
            Next::Report(event) => {
                if matches!(event, DialectEvent::Authenticated { .. }) {
                    for end in self.ends.take_after_login() {
                        let id = wire.take_id();
                        self.end_subscription(id, end, wire);
                    }
                }
                Some(event)
            }
            Next::Call(LoginRequest { method, params }) => {
                let (bytes, bytes_max) = (
                    exact_bytes(&method, &params),
                    self.settings.login_message_bytes_max,
                );
                if bytes > bytes_max {
                    return self.login.too_large(bytes, bytes_max);
                }
                let id = wire.take_id();
                self.login.called(id);
                self.call(id, &method, &params, wire);
                None
            }
        }
    }
}

impl Dialect for JsonRpc {
    const CALL_LOSSES_MAX: u8 = 3;

    const EXCERPT: Option<fn() -> Box<dyn Excerpt>> = Some(excerpt::begin);

    type Call = MethodCall;
    type Response = Bytes;
    type Message = Notification;
    type Acknowledgement = super::raw::Sent;
    type Topic = Feed;
    type Item = Bytes;
    type Refusal = ErrorObject;

    fn start_handshake(&mut self, credentials: &Secret, wire: &mut Wire) -> EarlyRequests {
        if self.log_in(None, credentials, wire) {
            EarlyRequests::None
        } else {
            EarlyRequests::All
        }
    }

    fn read(
        &mut self,
        frame: &Frame,
        in_flight: &impl InFlight<Self>,
        events: &mut Vec<DialectEvent<Self>>,
        wire: &mut Wire,
    ) -> Result<(), String> {
        let Frame::Text(message) = frame else {
            return Err("unsupported binary message from the server".to_owned());
        };
        let mut incoming = std::mem::take(&mut self.incoming);
        let decoded =
            steadfast_protocol::jsonrpc::decode(message, RECEIVED_BATCH_MAX, &mut incoming);
        for message in incoming.drain(..) {
            self.on_incoming(message, in_flight, events, wire);
        }
        self.incoming = incoming;
        decoded.map_err(|error| error.to_string())
    }

    fn read_oversized(&mut self, oversized: &Oversized, events: &mut Vec<DialectEvent<Self>>) {
        self.on_oversized(oversized, events);
    }

    fn write(
        &mut self,
        id: u32,
        request: Request<'_, Self>,
        wire: &mut Wire,
    ) -> Option<Outcome<Self>> {
        match request {
            Request::Call(call) => self.call(id, &call.method, &call.params, wire),
            Request::Message(notification) => {
                let mut text = Vec::new();
                append_request(&mut text, None, &notification.method, &notification.params);
                wire.frame(Frame::Text(Bytes::from(text)));
                self.without_response.on_message(wire.next_id());
                return Some(Outcome::Acknowledged(super::raw::Sent));
            }
            Request::Subscribe(Feed::Notifications { .. }, _) => {
                return Some(Outcome::Subscribed(Subscribed::without_history()));
            }
            Request::Subscribe(Feed::Subscription(subscription), _) => {
                self.feeds.on_requested(id, subscription);
                self.call(id, &subscription.subscribe, &subscription.params, wire);
            }
            Request::Unsubscribe(feed) => self.unsubscribe(id, feed, wire),
            Request::Authenticate(credentials) => {
                if !self.log_in(Some(id), credentials, wire) {
                    return Some(Outcome::Authenticated);
                }
            }
        }
        None
    }

    fn check(&self, request: Request<'_, Self>) -> Result<(), Unsendable> {
        let (method, params) = match request {
            Request::Call(call) => (&call.method, &call.params),
            Request::Message(notification) => (&notification.method, &notification.params),
            // There is no history.
            Request::Subscribe(_, Some(_)) => return Err(Unsendable::Unsupported),
            Request::Subscribe(Feed::Subscription(it), None) => (&it.subscribe, &it.params),
            Request::Authenticate(credentials) => return self.check_login(credentials),
            Request::Subscribe(Feed::Notifications { .. }, None) | Request::Unsubscribe(_) => {
                return Ok(());
            }
        };
        let bytes_max = self.settings.message_bytes_max;
        // A control character takes six bytes in JSON.
        let estimate = method.len().saturating_mul(6).saturating_add(params.len());
        if estimate.saturating_add(ENVELOPE_BYTES) > bytes_max {
            let bytes = exact_bytes(method, params);
            if bytes > bytes_max {
                return Err(Unsendable::TooLarge { bytes, bytes_max });
            }
        }
        call::check_params(params)
    }

    fn check_login(&self, credentials: &Secret) -> Result<(), Unsendable> {
        let Some(machine) = self.login.machine() else {
            return Ok(());
        };
        let LoginRequest { method, params } = machine.boxed_clone().begin(credentials);
        let (bytes, bytes_max) = (
            exact_bytes(&method, &params),
            self.settings.login_message_bytes_max,
        );
        if bytes > bytes_max {
            return Err(Unsendable::TooLarge { bytes, bytes_max });
        }
        Ok(())
    }

    fn item_bytes(item: &Bytes) -> usize {
        item.len()
    }

    fn renewal(&self) -> Renewal {
        let login = self.login.machine();
        login.map_or(Renewal::OtherCredentials, Login::renewal)
    }

    fn computed(
        &mut self,
        id: u32,
        computed: Computed,
        events: &mut Vec<DialectEvent<Self>>,
        wire: &mut Wire,
    ) {
        let next = self.login.on_computed(id, computed);
        events.extend(self.continue_login(next, wire));
    }

    fn learn(&mut self, connection: &Self) {
        self.login.learn(&connection.login);
    }

    fn advise(&self, loss: &ConnectionLoss) -> RetryAdvice {
        close_advice::for_loss(loss, &self.settings.close_codes)
    }

    fn is_caused_by_call(loss: &ConnectionLoss) -> bool {
        match loss {
            ConnectionLoss::MessageTooLarge(_) => true,
            ConnectionLoss::CloseFrame { code, .. } => {
                code.is_some_and(close_advice::is_about_a_message)
            }
            ConnectionLoss::Failed { .. } => false,
        }
    }
}

impl JsonRpc {
    fn unsubscribe(&mut self, id: u32, feed: &Feed, wire: &mut Wire) {
        let Feed::Subscription(subscription) = feed else {
            return;
        };
        if let Some(params) = self.feeds.on_unsubscribed(&subscription.key) {
            let collection = subscription.collection.clone();
            let end = End::new(subscription.unsubscribe.clone(), params, collection);
            self.end_subscription(id, end, wire);
        }
    }

    fn end_subscription(&mut self, id: u32, end: End, wire: &mut Wire) {
        self.call(id, &end.method, &end.params, wire);
        self.ends.on_sent(id, end);
    }
}

/// The largest size of a request with this method and these params, in bytes.
fn exact_bytes(method: &str, params: &[u8]) -> usize {
    let mut text = Vec::with_capacity(params.len().saturating_add(ENVELOPE_BYTES));
    append_request(&mut text, Some((u32::MAX, IdForm::String)), method, params);
    text.len()
}
