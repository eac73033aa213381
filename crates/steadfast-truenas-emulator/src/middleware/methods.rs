//! The methods, who may call them, and in which versions they exist.

use serde_json::{Value, json};

use super::Middleware;
use super::calls::Outcome;
use crate::connection::Call;
use crate::errors::{CallError, Errno};
use crate::query;
use crate::storage::{POOL, Storage};
use crate::version::ApiVersion;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// No login; without one, the number of calls is limited.
    LimitedByRate,
    /// No login, and no limit.
    Free,
    /// A session of the connection.
    WithLogin,
}

const METHODS: [(&str, Access); 27] = [
    ("auth.generate_token", Access::WithLogin),
    ("auth.login", Access::LimitedByRate),
    ("auth.login_ex", Access::LimitedByRate),
    ("auth.login_ex_continue", Access::LimitedByRate),
    ("auth.login_with_api_key", Access::LimitedByRate),
    ("auth.login_with_token", Access::LimitedByRate),
    ("auth.logout", Access::WithLogin),
    ("auth.me", Access::WithLogin),
    ("auth.mechanism_choices", Access::LimitedByRate),
    ("auth.sessions", Access::WithLogin),
    ("auth.terminate_session", Access::WithLogin),
    ("core.bulk", Access::WithLogin),
    ("core.get_jobs", Access::WithLogin),
    ("core.job_abort", Access::WithLogin),
    ("core.job_wait", Access::WithLogin),
    ("core.ping", Access::LimitedByRate),
    ("core.set_options", Access::Free),
    ("core.subscribe", Access::WithLogin),
    ("core.unsubscribe", Access::WithLogin),
    ("filesystem.file_receive", Access::WithLogin),
    ("pool.dataset.create", Access::WithLogin),
    ("pool.dataset.delete", Access::WithLogin),
    ("pool.dataset.query", Access::WithLogin),
    ("pool.query", Access::WithLogin),
    ("pool.scrub.scrub", Access::WithLogin),
    ("system.boot_id", Access::LimitedByRate),
    ("system.info", Access::WithLogin),
];

/// The methods that release 27 removed.
const REMOVED: [&str; 2] = ["auth.login", "auth.login_with_api_key"];

/// Returns what a call of this method needs; `None` if the version has no such method.
pub(super) fn access(method: &str, version: ApiVersion) -> Option<Access> {
    if version >= ApiVersion::V27_0_0 && REMOVED.contains(&method) {
        return None;
    }
    let found = METHODS.iter().find(|(name, _)| *name == method);
    found.map(|(_, access)| *access)
}

impl Middleware {
    /// Executes a call.
    pub(super) fn outcome(&mut self, call: &Call) -> Outcome {
        let params = call.params.as_slice();
        let result = match call.method.as_str() {
            "auth.login_with_api_key" => self.login_with_api_key(call),
            "auth.login" => self.login_with_password(call),
            "auth.login_with_token" => self.login_with_token(call),
            "auth.login_ex" => self.login_ex(call),
            "auth.login_ex_continue" => self.login_ex_continue(call),
            "auth.mechanism_choices" => Ok(json!(self.mechanisms(self.version_of(call)))),
            "auth.me" => Ok(user_info(call.username.as_deref().unwrap_or_default())),
            "auth.logout" => Ok(self.log_out(call)),
            "auth.generate_token" => Ok(self.generate_token(call)),
            "auth.sessions" => Ok(self.sessions(call)),
            "auth.terminate_session" => self.terminate_session(params),
            "core.set_options" => self.set_options(call),
            "core.subscribe" => self.subscribe(call),
            "core.unsubscribe" => self.unsubscribe(call),
            "core.job_abort" => self.abort_job(call),
            "core.job_wait" | "core.bulk" | "pool.scrub.scrub" => return self.call_job(call),
            _ => self.run_plain(call, &call.method, params),
        };
        Outcome::Done(result)
    }

    /// Executes a method that needs no connection, so that `core.bulk` can call it too.
    pub(super) fn run_plain(
        &mut self,
        call: &Call,
        method: &str,
        params: &[Value],
    ) -> Result<Value, CallError> {
        match method {
            "core.ping" => Ok(json!("pong")),
            "core.get_jobs" => {
                let username = call.username.as_deref().unwrap_or_default();
                query::apply(self.jobs.visible_to(username), params)
            }
            "system.boot_id" => Ok(json!(self.policy.boot_id)),
            "system.info" => Ok(self.system_info()),
            "pool.query" => query::apply(Storage::pools(), params),
            "pool.dataset.query" => query::apply(self.storage.datasets(), params),
            "pool.dataset.create" => {
                let created = self.storage.create(params)?;
                let id = created.get("id").cloned().unwrap_or_default();
                self.dataset_event("added", &id, Some(created.clone()));
                Ok(created)
            }
            "pool.dataset.delete" => {
                let name = self.storage.delete(params)?;
                self.dataset_event("removed", &json!(name), None);
                Ok(json!(true))
            }
            "filesystem.file_receive" => Err(CallError::invalid(
                "filesystem.file_receive",
                "the emulator has no files",
                Errno::Invalid,
            )),
            _ => Err(CallError::MethodNotFound),
        }
    }

    fn system_info(&self) -> Value {
        let uptime = (self.now - steadfast_machine::Instant::START).as_secs();
        json!({
            "version": format!("TrueNAS emulator {}", self.policy.release),
            "hostname": "truenas",
            "physmem": 8_589_934_592_u64,
            "model": "emulator",
            "cores": 2,
            "uptime_seconds": uptime,
            "datetime": {"$date": self.wall().as_millis()},
            "boottime": {"$date": self.policy.started_at.as_millis()},
            "timezone": "UTC",
        })
    }

    fn dataset_event(&mut self, msg: &str, id: &Value, fields: Option<Value>) {
        self.send_event("pool.dataset.query", msg, id, fields, None);
    }
}

/// The identity of a user, as `auth.me` and logins return it.
pub(super) fn user_info(username: &str) -> Value {
    json!({
        "pw_name": username,
        "pw_uid": 950,
        "pw_gid": 950,
        "pw_gecos": username,
        "pw_dir": format!("/mnt/{POOL}/{username}"),
        "pw_shell": "/usr/bin/zsh",
        "source": "LOCAL",
        "local": true,
        "account_attributes": ["LOCAL", "API_KEY"],
        "privilege": {"roles": {"$set": ["FULL_ADMIN"]}, "allowlist": [], "web_shell": true},
    })
}
