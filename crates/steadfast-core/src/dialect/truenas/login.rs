//! The steps of a login, and what is remembered from one to the next.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::outcome::{LoginResult, login_result, rejection, rejection_of, renewal, retry};
use super::scram::{ClientFirst, Expected, ScramError, ServerFirst};
use crate::dialect::Renewal;
use crate::dialect::jsonrpc::{ErrorObject, Login, LoginRequest, LoginStep, codes};
use crate::event::LoginErrorKind;
use crate::io::{Computation, Computed, DerivedKey, KeyDerivation};
use crate::retry_advice::{Action, RetryAdvice};
use crate::secret::Secret;

/// The most redirects in a row that are followed.
const REDIRECTS_MAX: u8 = 5;

/// The login of TrueNAS, with an API key or a password, which are the credentials of the session.
///
/// ```
/// use steadfast_core::dialect::jsonrpc::{JsonRpc, JsonRpcSettings};
/// use steadfast_core::dialect::truenas::{MESSAGE_BYTES_MAX, TrueNasLogin, is_unauthenticated};
///
/// let settings = JsonRpcSettings::new(MESSAGE_BYTES_MAX)
///     .login(TrueNasLogin::api_key("backup"))
///     .unauthenticated(is_unauthenticated);
/// assert!(JsonRpc::new(settings).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct TrueNasLogin {
    settings: Arc<Settings>,
    secret: Secret,
    stage: Stage,
    memory: Memory,
}

/// What the application has chosen.
#[derive(Clone, Debug)]
struct Settings {
    user: String,
    kind: Kind,
    permits_weaker: bool,
    uses_tokens: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ApiKey,
    Password,
}

impl Kind {
    /// The mechanism that sends the secret, and the name of its field.
    const fn plain(self) -> (&'static str, &'static str) {
        match self {
            Self::ApiKey => ("API_KEY_PLAIN", "api_key"),
            Self::Password => ("PASSWORD_PLAIN", "password"),
        }
    }
}

/// What the next input belongs to.
#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// A login with the token of an earlier one.
    Token,
    /// Which mechanisms the server offers.
    Choices,
    /// A login with the secret itself. `can_be_old` if the server does not know what it offers.
    Plain {
        can_be_old: bool,
    },
    /// The method of old releases.
    Legacy,
    Nonce {
        user: String,
        key: Secret,
    },
    ClientFirst {
        key: Secret,
        first: ClientFirst,
    },
    Deriving {
        derivation: KeyDerivation,
        first: ClientFirst,
        server: ServerFirst,
    },
    ClientFinal(Expected),
}

/// What later logins have to know.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// A server has offered SCRAM.
    has_seen_scram: bool,
    /// The token with which the next login is tried first.
    token: Option<Secret>,
    /// The key that was derived last.
    derived: Option<(KeyDerivation, DerivedKey)>,
    /// Redirects since the last login.
    redirects: u8,
    /// The server does not know the option that requests a token, as before release 26.
    has_no_tokens: bool,
}

impl TrueNasLogin {
    /// A login with an API key of this user, `ID-KEY` as the server shows it once.
    pub fn api_key(user: impl Into<String>) -> Self {
        Self::new(user.into(), Kind::ApiKey)
    }

    /// A login with the password of this user. It is sent as it is: an API key is better.
    pub fn password(user: impl Into<String>) -> Self {
        Self::new(user.into(), Kind::Password)
    }

    fn new(user: String, kind: Kind) -> Self {
        Self {
            settings: Arc::new(Settings {
                user,
                kind,
                permits_weaker: false,
                uses_tokens: false,
            }),
            secret: Secret::default(),
            stage: Stage::Idle,
            memory: Memory::default(),
        }
    }

    /// Permits that the key is sent as it is to a server that has offered SCRAM before and does not any more, for example
    /// after a downgrade of its release. Refused by default: such a server may be another one that collects keys.
    #[must_use]
    pub fn permit_weaker_mechanism(mut self) -> Self {
        Arc::make_mut(&mut self.settings).permits_weaker = true;
        self
    }

    /// Requests a token for the next login, which then needs no secret; not by default. A token is used once, from the same
    /// address, within minutes, and is lost when the middleware restarts: a login with one that is not accepted continues as
    /// without. Has no effect on logins by SCRAM, which have no tokens.
    #[must_use]
    pub fn reconnect_tokens(mut self) -> Self {
        Arc::make_mut(&mut self.settings).uses_tokens = true;
        self
    }

    /// The most calls of one method in a login, for a [`LoginBudget`](crate::login_budget::LoginBudget): both messages of SCRAM, and before
    /// them a token that is not accepted.
    pub fn calls_max(&self) -> u32 {
        2 + u32::from(self.settings.uses_tokens)
    }

    fn ask_choices(&mut self) -> LoginRequest {
        self.stage = Stage::Choices;
        request("auth.mechanism_choices", &json!([]))
    }

    /// The response to the question which mechanisms the server offers.
    fn on_choices(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep {
        let offered: Vec<String> = match outcome {
            Ok(offered) => serde_json::from_slice(offered).unwrap_or_default(),
            Err(error) if error.code == codes::METHOD_NOT_FOUND => return self.plain(true),
            Err(error) => return LoginStep::Rejected(rejection_of(error)),
        };
        let offers = |mechanism: &str| offered.iter().any(|it| it == mechanism);
        let (plain, _) = self.settings.kind.plain();
        if self.settings.kind == Kind::ApiKey && offers("SCRAM") {
            self.memory.has_seen_scram = true;
            return self.scram();
        }
        if offers(plain) {
            return self.plain(false);
        }
        let reason = format!("the server does not offer {plain}");
        reject(LoginErrorKind::Mechanism, reason, RetryAdvice::GIVE_UP)
    }

    /// Sends the secret itself, unless the server has offered better before.
    fn plain(&mut self, can_be_old: bool) -> LoginStep {
        if self.is_weaker_than_before() {
            return weaker();
        }
        let (mechanism, field) = self.settings.kind.plain();
        self.stage = Stage::Plain { can_be_old };
        LoginStep::Call(self.login_ex(&json!({
            "mechanism": mechanism,
            "username": self.settings.user,
            field: self.secret.expose(),
        })))
    }

    fn is_weaker_than_before(&self) -> bool {
        self.memory.has_seen_scram
            && self.settings.kind == Kind::ApiKey
            && !self.settings.permits_weaker
    }

    fn legacy(&mut self) -> LoginStep {
        self.stage = Stage::Legacy;
        let params = json!([self.secret.expose()]);
        LoginStep::Call(request("auth.login_with_api_key", &params))
    }

    fn login_ex(&self, data: &Value) -> LoginRequest {
        let mut data = data.clone();
        if let Some(fields) = data.as_object_mut() {
            // Servers reject options that they do not know.
            let options = if self.requests_token() {
                json!({"user_info": false, "reconnect_token": true})
            } else {
                json!({"user_info": false})
            };
            fields.insert("login_options".to_owned(), options);
        }
        request("auth.login_ex", &json!([data]))
    }

    fn requests_token(&self) -> bool {
        self.settings.uses_tokens && !self.memory.has_no_tokens
    }

    fn on_plain(&mut self, outcome: &Result<Bytes, ErrorObject>, can_be_old: bool) -> LoginStep {
        let is_old = |error: &ErrorObject| can_be_old && error.code == codes::METHOD_NOT_FOUND;
        match outcome {
            Ok(result) => self.on_result(login_result(result)),
            Err(error) if is_old(error) && self.settings.kind == Kind::ApiKey => self.legacy(),
            Err(error) if error.code == codes::INVALID_PARAMS && self.requests_token() => {
                self.memory.has_no_tokens = true;
                self.plain(can_be_old)
            }
            Err(error) => LoginStep::Rejected(rejection_of(error)),
        }
    }

    fn on_token(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep {
        let result = match outcome {
            Ok(result) => login_result(result),
            Err(error) => LoginResult::Rejected(rejection_of(error)),
        };
        match result {
            // The token says nothing about the secret.
            LoginResult::Rejected(rejected) if rejected.advice.action != Action::Retry => {
                LoginStep::Call(self.ask_choices())
            }
            LoginResult::Rejected(_)
            | LoginResult::Success { .. }
            | LoginResult::Redirect { .. }
            | LoginResult::Scram { .. } => self.on_result(result),
        }
    }

    /// The result of a login without a second step.
    fn on_result(&mut self, result: LoginResult) -> LoginStep {
        match result {
            LoginResult::Success {
                expires_after,
                reconnect_token,
            } => {
                let token = reconnect_token.filter(|_| self.settings.uses_tokens);
                self.memory.token = token.map(Secret::new);
                self.memory.redirects = 0;
                LoginStep::Accepted { expires_after }
            }
            LoginResult::Redirect { urls } => self.on_redirect(urls),
            LoginResult::Rejected(rejection) => LoginStep::Rejected(rejection),
            LoginResult::Scram { .. } => unexpected(),
        }
    }

    fn on_redirect(&mut self, urls: Vec<String>) -> LoginStep {
        self.memory.redirects = self.memory.redirects.saturating_add(1);
        if urls.is_empty() || self.memory.redirects > REDIRECTS_MAX {
            self.memory.redirects = 0;
            let reason = "redirected too often, or without a server";
            return reject(LoginErrorKind::Redirected, reason, retry());
        }
        LoginStep::Redirected { urls }
    }

    fn on_legacy(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep {
        match outcome.as_deref() {
            Ok(b"true") => {
                self.memory.redirects = 0;
                LoginStep::Accepted {
                    expires_after: Some(renewal(None)),
                }
            }
            Ok(_) => reject(
                LoginErrorKind::Credentials,
                "the server does not accept the API key",
                RetryAdvice::RETRY.with(Action::RenewCredentials),
            ),
            Err(error) => LoginStep::Rejected(rejection_of(error)),
        }
    }
}

/// The steps of a login by SCRAM-SHA-512.
impl TrueNasLogin {
    fn scram(&mut self) -> LoginStep {
        let parts = self.secret.expose().split_once('-');
        let valid = parts.filter(|(id, key)| {
            !id.is_empty() && id.bytes().all(|it| it.is_ascii_digit()) && !key.is_empty()
        });
        let Some((id, key)) = valid else {
            return reject(
                LoginErrorKind::Credentials,
                "the API key is not of the form ID-KEY",
                RetryAdvice::RETRY.with(Action::RenewCredentials),
            );
        };
        self.stage = Stage::Nonce {
            user: format!("{}:{id}", self.settings.user),
            key: Secret::new(key.to_owned()),
        };
        LoginStep::Compute(Computation::Nonce)
    }

    fn on_server_first(
        &mut self,
        outcome: &Result<Bytes, ErrorObject>,
        key: Secret,
        first: ClientFirst,
    ) -> LoginStep {
        let text = match self.scram_text(outcome, "SERVER_FIRST_RESPONSE") {
            Ok(text) => text,
            Err(step) => return step,
        };
        let server = match first.read(&text) {
            Ok(server) => server,
            Err(error) => return untrusted(error),
        };
        let derivation = KeyDerivation::new(key, server.salt.clone(), server.iterations);
        if let Some((known, key)) = &self.memory.derived
            && *known == derivation
        {
            let key = key.clone();
            return self.prove(&first, &server, &key);
        }
        self.stage = Stage::Deriving {
            derivation: derivation.clone(),
            first,
            server,
        };
        LoginStep::Compute(Computation::DeriveKey(derivation))
    }

    fn prove(&mut self, first: &ClientFirst, server: &ServerFirst, key: &DerivedKey) -> LoginStep {
        let (message, expected) = first.prove(server, key);
        self.stage = Stage::ClientFinal(expected);
        scram_call("CLIENT_FINAL_MESSAGE", &message)
    }

    fn on_server_final(
        &mut self,
        outcome: &Result<Bytes, ErrorObject>,
        expected: &Expected,
    ) -> LoginStep {
        let text = match self.scram_text(outcome, "SERVER_FINAL_RESPONSE") {
            Ok(text) => text,
            Err(step) => return step,
        };
        if let Err(error) = expected.verify(&text) {
            return untrusted(error);
        }
        self.memory.redirects = 0;
        LoginStep::Accepted {
            expires_after: Some(renewal(None)),
        }
    }

    /// The text of a message of SCRAM with this type, or the step that follows from another response. A success without the
    /// proof of the server is none.
    fn scram_text(
        &mut self,
        outcome: &Result<Bytes, ErrorObject>,
        expected: &str,
    ) -> Result<String, LoginStep> {
        let result = match outcome {
            Ok(result) => login_result(result),
            Err(error) => return Err(LoginStep::Rejected(rejection_of(error))),
        };
        match result {
            LoginResult::Scram { scram_type, text } if scram_type == expected => Ok(text),
            LoginResult::Scram { .. } => Err(unexpected()),
            LoginResult::Success { .. } => Err(untrusted(ScramError::Signature)),
            LoginResult::Redirect { .. } | LoginResult::Rejected(_) => Err(self.on_result(result)),
        }
    }
}

impl Login for TrueNasLogin {
    fn begin(&mut self, credentials: &Secret) -> LoginRequest {
        self.secret = credentials.clone();
        let Some(token) = self.memory.token.take() else {
            return self.ask_choices();
        };
        self.stage = Stage::Token;
        self.login_ex(&json!({"mechanism": "TOKEN_PLAIN", "token": token.expose()}))
    }

    fn on_response(&mut self, outcome: &Result<Bytes, ErrorObject>) -> LoginStep {
        match std::mem::take(&mut self.stage) {
            Stage::Token => self.on_token(outcome),
            Stage::Choices => self.on_choices(outcome),
            Stage::Plain { can_be_old } => self.on_plain(outcome, can_be_old),
            Stage::Legacy => self.on_legacy(outcome),
            Stage::ClientFirst { key, first } => self.on_server_first(outcome, key, first),
            Stage::ClientFinal(expected) => self.on_server_final(outcome, &expected),
            Stage::Idle | Stage::Nonce { .. } | Stage::Deriving { .. } => unexpected(),
        }
    }

    fn on_computed(&mut self, computed: Computed) -> LoginStep {
        match (std::mem::take(&mut self.stage), computed) {
            (Stage::Nonce { user, key }, Computed::Nonce(nonce)) => {
                let first = ClientFirst::new(&user, &nonce);
                let message = first.message();
                self.stage = Stage::ClientFirst { key, first };
                scram_call("CLIENT_FIRST_MESSAGE", &message)
            }
            (
                Stage::Deriving {
                    derivation,
                    first,
                    server,
                },
                Computed::Key(key),
            ) => {
                self.memory.derived = Some((derivation, key.clone()));
                self.prove(&first, &server, &key)
            }
            (_, Computed::Failed(reason)) => reject(LoginErrorKind::Other, reason, retry()),
            (_, Computed::Nonce(_) | Computed::Key(_)) => unexpected(),
        }
    }

    /// The server rejects a second login of a connection that has a session.
    fn renewal(&self) -> Renewal {
        Renewal::OtherConnection
    }

    fn boxed_clone(&self) -> Box<dyn Login> {
        Box::new(self.clone())
    }
}

fn request(method: &str, params: &Value) -> LoginRequest {
    LoginRequest {
        method: method.to_owned(),
        params: params.to_string().into(),
    }
}

fn scram_call(scram_type: &str, message: &str) -> LoginStep {
    let data = json!([{
        "mechanism": "SCRAM",
        "scram_type": scram_type,
        "rfc_str": message,
    }]);
    LoginStep::Call(request("auth.login_ex", &data))
}

fn reject(kind: LoginErrorKind, reason: impl Into<String>, advice: RetryAdvice) -> LoginStep {
    LoginStep::Rejected(rejection(kind, reason, advice))
}

/// No secret was sent: another attempt may reach the right server.
fn weaker() -> LoginStep {
    let reason =
        "the server has offered SCRAM before and does not any more: the API key is not sent to it";
    reject(LoginErrorKind::Mechanism, reason, retry())
}

fn untrusted(error: ScramError) -> LoginStep {
    reject(LoginErrorKind::Server, error.to_string(), retry())
}

fn unexpected() -> LoginStep {
    let reason = "the response does not fit the step of the login";
    reject(LoginErrorKind::Server, reason, retry())
}
