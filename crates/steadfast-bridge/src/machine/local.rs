//! Methods that the bridge executes: the session, its options and its subscriptions belong to the bridge, and what one
//! program does must not affect others.

use serde_json::json;

use super::{Bridge, Ending};
use crate::io::{ProgramId, SessionState};
use crate::reply;
use crate::request::Request;

impl Bridge {
    /// Replies to a request that the server must not receive; returns any other request.
    pub(super) fn reply_locally(
        &mut self,
        program: ProgramId,
        request: Request,
    ) -> Option<Request> {
        let result = match request.method.as_str() {
            "auth.login" | "auth.login_with_api_key" | "auth.login_with_token" | "auth.logout" => {
                json!(true)
            }
            "auth.login_ex" | "auth.login_ex_continue" => json!({
                "response_type": "SUCCESS",
                "user_info": null,
                "authenticator": "LEVEL_1",
                "reconnect_token": null,
            }),
            "auth.mechanism_choices" => json!(["API_KEY_PLAIN", "PASSWORD_PLAIN", "TOKEN_PLAIN"]),
            // The options in effect: they belong to the connection to the server, which keeps its defaults.
            "core.set_options" => json!({
                "legacy_jobs": true,
                "private_methods": false,
                "py_exceptions": false,
            }),
            "bridge.status" => self.status(),
            "core.subscribe" => {
                self.on_subscribe(program, &request);
                return None;
            }
            "core.unsubscribe" => {
                self.on_unsubscribe(program, &request);
                json!(null)
            }
            _ => return Some(request),
        };
        if let Some(id) = &request.id {
            self.send(program, reply::result(id, result.to_string().as_bytes()));
        }
        None
    }

    fn status(&self) -> serde_json::Value {
        let state = match (self.ending, self.session.state) {
            (Ending::Draining(_) | Ending::Stopped, _) => "ending",
            (Ending::No, SessionState::Connected) => "connected",
            (Ending::No, SessionState::Connecting) => "connecting",
            (Ending::No, SessionState::Failed) => "failed",
        };
        json!({
            "state": state,
            "user": self.user,
            "cause": self.session.cause,
            "reconnects": self.session.reconnects,
            "programs": self.programs.len(),
            "programs_ended": self.totals.ended,
            "programs_disconnected": self.totals.disconnected,
            "in_flight": self.flights.len(),
            "in_flight_max": self.policy.in_flight_max,
            "queued": self.queued(),
            "subscriptions": self.topics.len(),
        })
    }
}
