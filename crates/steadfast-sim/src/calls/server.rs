//! A model of the server: the middleware of a TrueNAS, as far as calls are concerned. It has a login with a limit, sessions
//! that it forgets, a limit of calls of a connection and of the length of a message, and methods that take time.
//!
//! A call is executed at one instant and has its reply at a later one, so that a kill in between loses a reply to an
//! executed call. It is independent of the emulator and of the client: it has its own code for JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_machine::Instant;

use super::counts::Count;
use super::event::Context;
use super::invariant::Invariant;
use super::methods::{self, CallNumber, Method};
use super::settings::RECEIVED_BYTES_MAX;
use crate::ids::ConnectionId;
use crate::words::at;

/// The longest message before the login, in bytes.
const ANONYMOUS_BYTES_MAX: usize = 8_192;
/// The calls of one method without a login in a window, and the length of the window.
const ANONYMOUS_CALLS_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_mins(1);
/// The close codes of a message that is too long, before and after the login, and of a session that an administrator ends.
const INVALID_PAYLOAD: u16 = 1007;
const MESSAGE_TOO_BIG: u16 = 1009;
const NORMAL: u16 = 1000;

/// What the process must do with a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ServerOutput {
    Send {
        connection: ConnectionId,
        text: String,
    },
    Close {
        connection: ConnectionId,
        code: u16,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    Anonymous,
    LoggedIn,
    /// The server has forgotten it, and the connection is open.
    Forgotten,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    address: usize,
    session: Session,
    /// Calls without a reply.
    open_calls: usize,
    /// Logins that the client may make: one, and one for each time that its session was forgotten.
    logins_left: u32,
}

/// A call that was admitted.
#[derive(Clone, Debug)]
struct Call {
    connection: ConnectionId,
    id: Value,
    method: Method,
    number: CallNumber,
    fails: bool,
}

/// What happens later.
#[derive(Clone, Debug)]
enum Due {
    Execute(Call),
    Reply(Call),
    /// A call of the login has its reply.
    Login {
        connection: ConnectionId,
        id: Value,
        result: Value,
    },
}

/// The server, without its sockets.
#[derive(Debug, Default)]
pub(super) struct Server {
    connections: BTreeMap<ConnectionId, Connection>,
    schedule: BTreeMap<(Instant, u64), Due>,
    scheduled: u64,
    /// The begin of the window and the calls in it, by address and method.
    anonymous_calls: BTreeMap<(usize, &'static str), (Instant, u32)>,
    outputs: Vec<ServerOutput>,
}

impl Server {
    pub(super) fn open(&mut self, connection: ConnectionId, address: usize) {
        let state = Connection {
            address,
            session: Session::Anonymous,
            open_calls: 0,
            logins_left: 1,
        };
        self.connections.insert(connection, state);
    }

    /// A connection has ended.
    pub(super) fn close(&mut self, ctx: &Context, connection: ConnectionId) {
        self.connections.remove(&connection);
        if ctx.settings.server.cancels_calls {
            let is_of_it =
                |due: &Due| matches!(due, Due::Execute(call) if call.connection == connection);
            self.schedule.retain(|_, due| !is_of_it(due));
        }
    }

    /// The process is killed: everything in memory is lost.
    pub(super) fn kill(&mut self, ctx: &mut Context) {
        for due in std::mem::take(&mut self.schedule).into_values() {
            match due {
                Due::Execute(_) => ctx.counts.add(Count::LostUnexecuted),
                Due::Reply(_) => ctx.counts.add(Count::LostExecuted),
                Due::Login { .. } => {}
            }
        }
        self.connections.clear();
        self.anonymous_calls.clear();
        self.outputs.clear();
    }

    /// Forgets all sessions; the connections stay.
    pub(super) fn expire(&mut self, ctx: &mut Context) {
        for connection in self.connections.values_mut() {
            if connection.session == Session::LoggedIn {
                connection.session = Session::Forgotten;
                connection.logins_left += 1;
                ctx.counts.add(Count::Expirations);
            }
        }
    }

    /// An administrator ends all sessions.
    pub(super) fn terminate(&mut self, ctx: &mut Context) {
        for (connection, state) in &self.connections {
            if state.session == Session::LoggedIn {
                ctx.counts.add(Count::Terminations);
                self.outputs.push(ServerOutput::Close {
                    connection: *connection,
                    code: NORMAL,
                });
            }
        }
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.schedule.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn take_outputs(&mut self) -> Vec<ServerOutput> {
        std::mem::take(&mut self.outputs)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, ctx: &mut Context) {
        while let Some(entry) = self.schedule.first_entry()
            && entry.key().0 <= ctx.now()
        {
            match entry.remove() {
                Due::Execute(call) => self.execute(ctx, call),
                Due::Reply(call) => self.reply(&call),
                Due::Login {
                    connection,
                    id,
                    result,
                } => self.finish_login(ctx, connection, &id, &result),
            }
        }
    }

    /// A message was received.
    pub(super) fn receive(&mut self, ctx: &mut Context, connection: ConnectionId, text: &[u8]) {
        let Some(state) = self.connections.get(&connection).copied() else {
            return;
        };
        let (bytes_max, code) = match state.session {
            Session::Anonymous => (ANONYMOUS_BYTES_MAX, INVALID_PAYLOAD),
            Session::LoggedIn | Session::Forgotten => {
                (ctx.settings.server.message_bytes_max, MESSAGE_TOO_BIG)
            }
        };
        if text.len() > bytes_max {
            ctx.counts.add(Count::TooLongForServer);
            self.outputs.push(ServerOutput::Close { connection, code });
            return;
        }
        let message: Value = serde_json::from_slice(text).unwrap_or_default();
        let member = |name: &str| message.get(name).cloned().unwrap_or_default();
        let (id, params) = (member("id"), member("params"));
        match member("method").as_str().unwrap_or_default() {
            "auth.mechanism_choices" => {
                let result = json!(["API_KEY_PLAIN"]);
                self.log_in(ctx, "auth.mechanism_choices", connection, id, result);
            }
            "auth.login_ex" => {
                self.count_login(ctx, connection);
                let result = json!({"response_type": "SUCCESS", "authenticator": "LEVEL_1"});
                self.log_in(ctx, "auth.login_ex", connection, id, result);
            }
            other => match Method::from_name(other).zip(methods::read_params(&params)) {
                Some((method, (number, fails))) => {
                    let call = Call {
                        connection,
                        id,
                        method,
                        number,
                        fails,
                    };
                    self.admit(ctx, state, call);
                }
                None => self.send_error(connection, &id, &json!({"code": -32601, "message": "no"})),
            },
        }
    }

    /// Admits a call, or rejects it.
    fn admit(&mut self, ctx: &mut Context, state: Connection, call: Call) {
        let (connection, settings) = (call.connection, ctx.settings.server);
        if state.open_calls >= settings.calls_max {
            ctx.counts.add(Count::TooManyCalls);
            let error = json!({"code": -32000, "message": "Too many concurrent calls"});
            return self.send_error(connection, &call.id, &error);
        }
        if state.session != Session::LoggedIn {
            ctx.counts.add(Count::Unauthenticated);
            return self.send_error(connection, &call.id, &failed(207, "ENOTAUTHENTICATED"));
        }
        if let Some(state) = self.connections.get_mut(&connection) {
            state.open_calls += 1;
        }
        let longest = if ctx.generator.chance(1, 8) {
            settings.slow_call_time
        } else {
            settings.call_time
        };
        let time = ctx.generator.between(Duration::ZERO, longest);
        self.add(ctx.now() + time, Due::Execute(call));
    }

    fn execute(&mut self, ctx: &mut Context, call: Call) {
        if !self.connections.contains_key(&call.connection) {
            ctx.counts.add(Count::ExecutionsLate);
        }
        if !call.fails {
            ctx.ledger.on_executed(ctx.now(), call.number);
        }
        let longest = ctx.settings.server.reply_time;
        let time = ctx.generator.between(Duration::ZERO, longest);
        self.add(ctx.now() + time, Due::Reply(call));
    }

    fn reply(&mut self, call: &Call) {
        let Some(state) = self.connections.get_mut(&call.connection) else {
            return;
        };
        state.open_calls = state.open_calls.saturating_sub(1);
        if call.fails {
            self.send_error(call.connection, &call.id, &failed(17, "EEXIST"));
        } else {
            let result = methods::result(call.method, call.number, RECEIVED_BYTES_MAX);
            self.send(call.connection, &call.id, "result", &result);
        }
    }

    /// A call of the login: it has its reply soon, mostly.
    fn log_in(
        &mut self,
        ctx: &mut Context,
        method: &'static str,
        connection: ConnectionId,
        id: Value,
        result: Value,
    ) {
        let now = ctx.now();
        let state = self.connections.get(&connection);
        let address = state.map_or(0, |it| it.address);
        let window = self.anonymous_calls.entry((address, method));
        let (begin, calls) = window.or_insert((now, 0));
        if now >= *begin + WINDOW {
            (*begin, *calls) = (now, 0);
        }
        *calls += 1;
        if *calls > ANONYMOUS_CALLS_MAX {
            let details = format!("the server refused a call of {method} at {}", at(now));
            ctx.ledger.report(Invariant::LoginsPermitted, details);
        }
        let slowest = if ctx.generator.chance(1, 16) {
            3_000
        } else {
            40
        };
        let time = ctx.between_millis(1, slowest);
        let due = Due::Login {
            connection,
            id,
            result,
        };
        self.add(now + time, due);
    }

    /// Each connection logs in once, and again after its session was forgotten.
    fn count_login(&mut self, ctx: &mut Context, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else {
            return;
        };
        if state.logins_left == 0 {
            let details = format!("{connection} logs in again at {}", at(ctx.now()));
            ctx.ledger.report(Invariant::LoginsPermitted, details);
        }
        state.logins_left = state.logins_left.saturating_sub(1);
    }

    fn finish_login(
        &mut self,
        ctx: &mut Context,
        connection: ConnectionId,
        id: &Value,
        result: &Value,
    ) {
        if let Some(state) = self.connections.get_mut(&connection) {
            if result.is_object() {
                state.session = Session::LoggedIn;
                ctx.counts.add(Count::Logins);
            }
            self.send(connection, id, "result", result);
        }
    }

    fn send_error(&mut self, connection: ConnectionId, id: &Value, error: &Value) {
        self.send(connection, id, "error", error);
    }

    fn send(&mut self, connection: ConnectionId, id: &Value, name: &str, value: &Value) {
        let text = json!({"jsonrpc": "2.0", "id": id, name: value}).to_string();
        self.outputs.push(ServerOutput::Send { connection, text });
    }

    fn add(&mut self, at: Instant, due: Due) {
        self.schedule.insert((at, self.scheduled), due);
        self.scheduled += 1;
    }
}

/// The error of a method.
fn failed(number: u32, name: &str) -> Value {
    let data = json!({"error": number, "errname": name, "reason": name});
    json!({"code": -32001, "message": "Method call error", "data": data})
}
