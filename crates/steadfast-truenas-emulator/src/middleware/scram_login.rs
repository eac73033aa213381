//! The login with SCRAM: two steps, after which client and server have proved to each other that they know the API key.

use serde_json::{Map, Value, json};

use super::Middleware;
use super::login::usable;
use super::login::{Proof, stage_error};
use super::methods::user_info;
use crate::connection::{AwaitsScram, Call, PendingLogin};
use crate::errors::{CallError, Errno};
use crate::policy::Account;
use crate::scram::{ClientFirst, Exchange, Keys};

/// The length of the salt and of the random part of a nonce, in bytes.
const RANDOM_LEN: usize = 24;

impl Middleware {
    /// A message of the client, in `auth.login_ex` or `auth.login_ex_continue`.
    pub(super) fn scram(
        &mut self,
        call: &Call,
        data: &Map<String, Value>,
    ) -> Result<Value, CallError> {
        let field = |name: &str| data.get(name).and_then(Value::as_str);
        let text =
            field("rfc_str").ok_or_else(|| CallError::required("login_data.SCRAM.rfc_str"))?;
        match field("scram_type") {
            Some("CLIENT_FIRST_MESSAGE") => Ok(self.scram_first(call, text)),
            Some("CLIENT_FINAL_MESSAGE") => self.scram_final(call, text),
            Some(_) | None => Err(CallError::invalid(
                "login_data.SCRAM.scram_type",
                "Input should be 'CLIENT_FIRST_MESSAGE' or 'CLIENT_FINAL_MESSAGE'",
                Errno::Invalid,
            )),
        }
    }

    fn scram_first(&mut self, call: &Call, text: &str) -> Value {
        let Ok(first) = ClientFirst::read(text) else {
            return rejected("AUTH_ERR");
        };
        let Some((username, secret)) = self.scram_account(&first.username) else {
            return rejected("AUTH_ERR");
        };
        let keys = self.scram_keys(&username, &secret);
        let random = self.random_text(RANDOM_LEN);
        let exchange = Exchange::new(first, keys, &random);
        let response = json!({
            "response_type": "SCRAM_RESPONSE",
            "scram_type": "SERVER_FIRST_RESPONSE",
            "rfc_str": exchange.server_first(),
            "user_info": null,
        });
        if let Some(connection) = self.connections.get_mut(&call.connection) {
            let awaited = AwaitsScram { username, exchange };
            connection.pending_login = Some(PendingLogin::Scram(Box::new(awaited)));
        }
        response
    }

    fn scram_final(&mut self, call: &Call, text: &str) -> Result<Value, CallError> {
        let connection = self.connections.get_mut(&call.connection);
        let pending = connection.and_then(|it| it.pending_login.take());
        let Some(PendingLogin::Scram(awaited)) = pending else {
            return Err(stage_error());
        };
        let binding = self.policy.certificate_hash.as_deref();
        let Ok(signature) = awaited.exchange.finish(text, binding) else {
            return Ok(rejected("AUTH_ERR"));
        };
        let mut accounts = self.policy.accounts.iter();
        let account = accounts.find(|it| it.username == awaited.username);
        match account.map_or(Proof::WRONG, usable) {
            Proof::Rejected(response_type) => Ok(rejected(response_type)),
            Proof::User(username) | Proof::NeedsOtp(username) => {
                let info = user_info(&username);
                self.begin_session(call, username);
                Ok(json!({
                    "response_type": "SCRAM_RESPONSE",
                    "scram_type": "SERVER_FINAL_RESPONSE",
                    "rfc_str": signature,
                    "user_info": info,
                }))
            }
        }
    }

    /// The user of `USER:ID`, with the secret of the API key with this id.
    fn scram_account(&self, name: &str) -> Option<(String, String)> {
        let (username, id) = name.rsplit_once(':')?;
        let of_account = |account: &Account| {
            let (own, secret) = account.api_key.as_deref()?.split_once('-')?;
            let is_same = account.username == username && own == id;
            is_same.then(|| (account.username.clone(), secret.to_owned()))
        };
        self.policy.accounts.iter().find_map(of_account)
    }

    /// The keys of a user, which are derived with the first login: that takes a part of a second.
    fn scram_keys(&mut self, username: &str, secret: &str) -> Keys {
        if let Some(keys) = self.scram_keys.get(username) {
            return keys.clone();
        }
        let salt = self.random_text(RANDOM_LEN).into_bytes();
        let keys = Keys::derive(secret, salt, self.policy.scram_iterations);
        self.scram_keys.insert(username.to_owned(), keys.clone());
        keys
    }
}

fn rejected(response_type: &str) -> Value {
    json!({"response_type": response_type})
}
