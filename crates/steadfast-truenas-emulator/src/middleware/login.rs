//! Logins: the mechanisms of `auth.login_ex` with its second step, the older methods, tokens and sessions.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Middleware;
use super::methods::user_info;
use crate::connection::{AwaitsOtp, Call, PendingLogin, Session};
use crate::errors::{CallError, Errno};
use crate::policy::{Account, AccountState};
use crate::tokens::Token;
use crate::version::ApiVersion;

/// The close code of `auth.terminate_session`, which has no reason.
pub(super) const TERMINATED: u16 = 1000;

/// What the credentials of a login proved.
pub(super) enum Proof {
    /// The user is known.
    User(String),
    /// The user is known, and needs a one-time password.
    NeedsOtp(String),
    /// The login ends with this `response_type`.
    Rejected(&'static str),
}

impl Proof {
    pub(super) const WRONG: Self = Self::Rejected("AUTH_ERR");
}

impl Middleware {
    /// The account with the API key in the first parameter.
    pub(super) fn key_owner(&self, params: &[Value]) -> Option<&Account> {
        let key = params.first()?.as_str()?;
        let mut accounts = self.policy.accounts.iter();
        accounts.find(|account| {
            account.api_key.as_deref() == Some(key) && account.state == AccountState::Usable
        })
    }

    pub(super) fn login_with_api_key(&mut self, call: &Call) -> Result<Value, CallError> {
        self.check_mechanism(call, "API_KEY_PLAIN")?;
        let owner = self.key_owner(&call.params).map(|it| it.username.clone());
        self.legacy_login(call, owner)
    }

    pub(super) fn login_with_password(&mut self, call: &Call) -> Result<Value, CallError> {
        let [username, password] = [0, 1].map(|at| call.params.get(at).and_then(Value::as_str));
        let otp = call.params.get(2).and_then(Value::as_str);
        let user = match self.password_proof(username, password) {
            Proof::User(user) => Some(user),
            Proof::NeedsOtp(user) => self.has_otp(&user, otp).then_some(user),
            Proof::Rejected(_) => None,
        };
        self.legacy_login(call, user)
    }

    pub(super) fn login_with_token(&mut self, call: &Call) -> Result<Value, CallError> {
        self.check_mechanism(call, "TOKEN_PLAIN")?;
        let token = call.params.first().and_then(Value::as_str);
        let user = token.and_then(|token| self.token_owner(call, token));
        self.legacy_login(call, user)
    }

    fn legacy_login(&mut self, call: &Call, user: Option<String>) -> Result<Value, CallError> {
        self.check_stage(call)?;
        let is_accepted = user.is_some();
        if let Some(user) = user {
            self.begin_session(call, user);
        }
        Ok(json!(is_accepted))
    }

    pub(super) fn login_ex(&mut self, call: &Call) -> Result<Value, CallError> {
        if !self.redirect.is_empty() {
            return Ok(json!({"response_type": "REDIRECT", "urls": self.redirect}));
        }
        self.check_stage(call)?;
        let data = call.params.first().and_then(Value::as_object);
        let data = data.ok_or_else(|| CallError::required("login_data"))?;
        let field = |name: &str| data.get(name).and_then(Value::as_str);
        let mechanism = field("mechanism");
        self.check_mechanism(call, mechanism.unwrap_or("PASSWORD_PLAIN"))?;
        self.check_options(call, data)?;
        let proof = match mechanism {
            Some("SCRAM") => return self.scram(call, data),
            Some("API_KEY_PLAIN") => self.key_proof(field("username"), field("api_key"))?,
            Some("PASSWORD_PLAIN") => self.password_proof(field("username"), field("password")),
            Some("TOKEN_PLAIN") => {
                let owner = field("token").and_then(|token| self.token_owner(call, token));
                owner.map_or(Proof::WRONG, Proof::User)
            }
            Some(other) => {
                return Err(unknown_mechanism(other));
            }
            None => return Err(CallError::required("login_data.mechanism")),
        };
        let login_options = data.get("login_options").cloned().unwrap_or_default();
        Ok(self.respond(call, proof, login_options))
    }

    /// Tokens exist from release 26 on; an option that a release does not know is rejected.
    fn check_options(&self, call: &Call, data: &Map<String, Value>) -> Result<(), CallError> {
        let options = data.get("login_options").and_then(Value::as_object);
        let unknown = options.into_iter().flatten().find(|(name, _)| {
            let has_tokens = self.version_of(call) >= ApiVersion::V26_0_0;
            let is_known = *name == "user_info" || (*name == "reconnect_token" && has_tokens);
            !is_known
        });
        unknown.map_or(Ok(()), |(name, _)| {
            let attribute = format!("login_data.login_options.{name}");
            let text = "Extra inputs are not permitted";
            Err(CallError::invalid(&attribute, text, Errno::Invalid))
        })
    }

    /// The second step of a login: a one-time password, or the last message of SCRAM.
    pub(super) fn login_ex_continue(&mut self, call: &Call) -> Result<Value, CallError> {
        let data = call.params.first().and_then(Value::as_object);
        let mechanism = data
            .and_then(|data| data.get("mechanism"))
            .and_then(Value::as_str);
        if let Some(data) = data.filter(|_| mechanism == Some("SCRAM")) {
            self.check_stage(call)?;
            self.check_mechanism(call, "SCRAM")?;
            return self.scram(call, data);
        }
        let connection = self.connections.get_mut(&call.connection);
        let pending = connection.and_then(|it| it.pending_login.take());
        let Some(PendingLogin::Otp(awaited)) = pending else {
            let text = "OTP may only be sent in response to OTP_REQUIRED";
            return Err(CallError::failed(Errno::Invalid, text));
        };
        let otp = call.params.first().and_then(|data| data.get("otp_token"));
        let proof = if self.has_otp(&awaited.username, otp.and_then(Value::as_str)) {
            Proof::User(awaited.username)
        } else {
            Proof::WRONG
        };
        Ok(self.respond(call, proof, awaited.login_options))
    }

    fn respond(&mut self, call: &Call, proof: Proof, login_options: Value) -> Value {
        match proof {
            Proof::Rejected(response_type) => json!({"response_type": response_type}),
            Proof::NeedsOtp(username) => {
                let response = json!({"response_type": "OTP_REQUIRED", "username": username});
                if let Some(connection) = self.connections.get_mut(&call.connection) {
                    connection.pending_login = Some(PendingLogin::Otp(AwaitsOtp {
                        username,
                        login_options,
                    }));
                }
                response
            }
            Proof::User(username) => {
                let option = |name: &str, default| {
                    let value = login_options.get(name).and_then(Value::as_bool);
                    value.unwrap_or(default)
                };
                let info = option("user_info", true).then(|| user_info(&username));
                let token = option("reconnect_token", false)
                    .then(|| self.create_token(call, &username, true, self.policy.token_lifetime));
                self.begin_session(call, username);
                json!({
                    "response_type": "SUCCESS",
                    "user_info": info,
                    "authenticator": self.policy.assurance.authenticator(),
                    "reconnect_token": token,
                })
            }
        }
    }

    /// The mechanisms of a version of the API at the assurance level.
    pub(super) fn mechanisms(&self, version: ApiVersion) -> Vec<&'static str> {
        if self.policy.assurance.requires_otp() {
            return vec!["PASSWORD_PLAIN"];
        }
        let mut mechanisms = vec!["API_KEY_PLAIN", "PASSWORD_PLAIN", "TOKEN_PLAIN"];
        if version >= ApiVersion::V26_0_0 && self.policy.offers_scram {
            mechanisms.push("SCRAM");
        }
        mechanisms
    }

    /// A mechanism that exists can be excluded by the assurance level.
    fn check_mechanism(&self, call: &Call, mechanism: &str) -> Result<(), CallError> {
        let version = self.version_of(call);
        if self.mechanisms(version).contains(&mechanism) {
            Ok(())
        } else if self.policy.assurance.requires_otp() {
            let text =
                format!("{mechanism}: mechanism is not supported at current authenticator level.");
            Err(CallError::failed(Errno::NotSupported, &text))
        } else {
            Err(unknown_mechanism(mechanism))
        }
    }

    /// The version of a call's connection, or that of the release if the connection has ended.
    pub(super) fn version_of(&self, call: &Call) -> ApiVersion {
        let connection = self.connections.get(&call.connection);
        connection.map_or(self.policy.release, |it| it.version)
    }

    /// A connection with a session has no second login: it logs out first, or opens another connection.
    fn check_stage(&self, call: &Call) -> Result<(), CallError> {
        let connection = self.connections.get(&call.connection);
        if connection.is_some_and(|it| it.session.is_some()) {
            return Err(stage_error());
        }
        Ok(())
    }

    fn key_proof(&self, username: Option<&str>, key: Option<&str>) -> Result<Proof, CallError> {
        let Some(username) = username else {
            return Err(if self.policy.release < ApiVersion::V25_10_0 {
                stage_error()
            } else {
                CallError::required("login_data.API_KEY_PLAIN.username")
            });
        };
        let mut accounts = self.policy.accounts.iter();
        let account = accounts.find(|it| {
            it.username == username && it.api_key.is_some() && it.api_key.as_deref() == key
        });
        Ok(account.map_or(Proof::WRONG, usable))
    }

    fn password_proof(&self, username: Option<&str>, password: Option<&str>) -> Proof {
        let mut accounts = self.policy.accounts.iter();
        let account = accounts.find(|it| {
            Some(it.username.as_str()) == username
                && it.password.is_some()
                && it.password.as_deref() == password
        });
        match account {
            None => Proof::WRONG,
            Some(account) => match usable(account) {
                Proof::User(user) if account.otp.is_some() => Proof::NeedsOtp(user),
                Proof::User(_) if self.policy.assurance.requires_otp() => Proof::WRONG,
                proof @ (Proof::User(_) | Proof::NeedsOtp(_) | Proof::Rejected(_)) => proof,
            },
        }
    }

    fn has_otp(&self, username: &str, otp: Option<&str>) -> bool {
        let mut accounts = self.policy.accounts.iter();
        accounts.any(|it| it.username == username && it.otp.is_some() && it.otp.as_deref() == otp)
    }

    fn token_owner(&mut self, call: &Call, token: &str) -> Option<String> {
        let address = self.connections.get(&call.connection)?.address;
        self.tokens.redeem(token, address, self.now)
    }

    pub(super) fn begin_session(&mut self, call: &Call, username: String) {
        let id = self.uuid();
        if let Some(connection) = self.connections.get_mut(&call.connection) {
            connection.pending_login = None;
            connection.session = Some(Session {
                id,
                username,
                since: self.now,
                active_at: self.now,
                is_expired: false,
            });
        }
    }

    fn create_token(
        &mut self,
        call: &Call,
        username: &str,
        is_reconnect: bool,
        lifetime: Duration,
    ) -> String {
        let connection = self.connections.get(&call.connection);
        let address = connection.map(|it| it.address);
        let token = Token {
            username: username.to_owned(),
            address: address.filter(|_| is_reconnect),
            is_single_use: is_reconnect,
            lifetime,
        };
        self.tokens.create(token, self.now, &mut self.random)
    }

    pub(super) fn generate_token(&mut self, call: &Call) -> Value {
        let seconds = call.params.first().and_then(Value::as_u64);
        let lifetime = seconds.map_or(self.policy.token_lifetime, Duration::from_secs);
        let username = call.username.clone().unwrap_or_default();
        json!(self.create_token(call, &username, false, lifetime))
    }

    pub(super) fn log_out(&mut self, call: &Call) -> Value {
        if let Some(connection) = self.connections.get_mut(&call.connection) {
            connection.session = None;
        }
        json!(true)
    }

    pub(super) fn sessions(&self, call: &Call) -> Value {
        let with_session = self.connections.iter().filter_map(|(id, connection)| {
            let session = connection.session.as_ref()?;
            Some(json!({
                "id": session.id,
                "current": *id == call.connection,
                "origin": connection.address.to_string(),
                "credentials_data": {"username": session.username},
            }))
        });
        with_session.collect()
    }

    pub(super) fn terminate_session(&mut self, params: &[Value]) -> Result<Value, CallError> {
        let session = params.first().and_then(Value::as_str);
        let session = session.ok_or_else(|| CallError::required("id"))?;
        let mut connections = self.connections.iter();
        let found = connections.find(|(_, connection)| {
            let own = connection.session.as_ref();
            own.is_some_and(|own| own.id == session)
        });
        let Some(id) = found.map(|(id, _)| *id) else {
            return Ok(json!(false));
        };
        self.close(id, TERMINATED, "");
        Ok(json!(true))
    }
}

pub(super) fn usable(account: &Account) -> Proof {
    match account.state {
        AccountState::Usable => Proof::User(account.username.clone()),
        AccountState::Expired => Proof::Rejected("EXPIRED"),
        AccountState::NoApiAccess => Proof::Rejected("DENIED"),
    }
}

fn unknown_mechanism(mechanism: &str) -> CallError {
    CallError::invalid(
        "login_data.mechanism",
        format!("mechanism {mechanism} is not available"),
        Errno::Invalid,
    )
}

pub(super) fn stage_error() -> CallError {
    let text = "AUTH: unexpected authenticator run state. Expected: START";
    CallError::failed(Errno::Invalid, text)
}
