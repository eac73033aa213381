//! Logins: mechanisms, their results, tokens.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use steadfast_truenas_emulator::{
    Account, AccountState, ApiVersion, AssuranceLevel, ConnectionId, Control, Policy,
};

use crate::rig::{KEY, PASSWORD, Rig, account, policy, seconds};

fn login_ex(rig: &mut Rig, connection: ConnectionId, data: Value) -> Value {
    rig.call(connection, "auth.login_ex", json!([data]))
}

fn key_login(options: Value) -> Value {
    json!({
        "mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": KEY,
        "login_options": options,
    })
}

fn password_login(password: &str) -> Value {
    json!({"mechanism": "PASSWORD_PLAIN", "username": "admin", "password": password})
}

fn token_login(token: &Value) -> Value {
    json!({"mechanism": "TOKEN_PLAIN", "token": token})
}

fn with_account(change: impl FnOnce(&mut Account)) -> Rig {
    let mut account = account();
    change(&mut account);
    Rig::with(Policy::of_release(ApiVersion::V26_0_0, vec![account]))
}

#[test]
fn each_mechanism_logs_in_and_the_result_has_the_user_by_default() {
    for data in [key_login(json!({})), password_login(PASSWORD)] {
        let mut rig = Rig::new();
        let connection = rig.open();

        let result = login_ex(&mut rig, connection, data)["result"].clone();
        let me = rig.call(connection, "auth.me", json!([]));

        assert_eq!(result["response_type"], "SUCCESS");
        assert_eq!(result["authenticator"], "LEVEL_1");
        assert_eq!(result["user_info"]["pw_name"], "admin");
        assert_eq!(result["reconnect_token"], Value::Null);
        assert_eq!(me["result"]["pw_name"], "admin");
    }
}

#[test]
fn user_info_can_be_declined() {
    let mut rig = Rig::new();
    let connection = rig.open();

    let reply = login_ex(&mut rig, connection, key_login(json!({"user_info": false})));

    assert_eq!(reply["result"]["user_info"], Value::Null);
}

#[test]
fn wrong_credentials_are_a_result_and_give_no_session() {
    let wrong_key = json!({"mechanism": "API_KEY_PLAIN", "username": "admin", "api_key": "1-x"});
    for data in [password_login("wrong"), wrong_key, token_login(&json!("x"))] {
        let mut rig = Rig::new();
        let connection = rig.open();

        let reply = login_ex(&mut rig, connection, data);
        let me = rig.call(connection, "auth.me", json!([]));

        assert_eq!(reply["result"], json!({"response_type": "AUTH_ERR"}));
        assert_eq!(me["error"]["data"]["error"], 207);
    }
}

#[test]
fn expired_credentials_and_users_without_access_have_results_of_their_own() {
    for (state, expected) in [
        (AccountState::Expired, "EXPIRED"),
        (AccountState::NoApiAccess, "DENIED"),
    ] {
        let mut rig = with_account(|account| account.state = state);
        let connection = rig.open();

        let reply = login_ex(&mut rig, connection, key_login(json!({})));

        assert_eq!(reply["result"], json!({"response_type": expected}));
    }
}

#[test]
fn a_one_time_password_is_the_second_step() {
    let mut rig = with_account(|account| account.otp = Some("123456".to_owned()));
    let connection = rig.open();
    let step = |otp| json!([{"mechanism": "OTP_TOKEN", "otp_token": otp}]);
    let early = rig.call(connection, "auth.login_ex_continue", step("123456"));

    let first = login_ex(&mut rig, connection, password_login(PASSWORD));
    let wrong = rig.call(connection, "auth.login_ex_continue", step("0"));
    login_ex(&mut rig, connection, password_login(PASSWORD));
    let right = rig.call(connection, "auth.login_ex_continue", step("123456"));

    assert!(early.get("error").is_some());
    assert_eq!(
        first["result"],
        json!({"response_type": "OTP_REQUIRED", "username": "admin"})
    );
    assert_eq!(wrong["result"]["response_type"], "AUTH_ERR");
    assert_eq!(right["result"]["response_type"], "SUCCESS");
}

#[test]
fn a_standby_redirects_each_login() {
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.redirect = vec!["wss://nas-b/api/current".to_owned()];
    let mut rig = Rig::with(policy);
    let connection = rig.open();

    let reply = login_ex(&mut rig, connection, key_login(json!({})));

    let urls = json!(["wss://nas-b/api/current"]);
    assert_eq!(
        reply["result"],
        json!({"response_type": "REDIRECT", "urls": urls})
    );
}

#[test]
fn an_api_key_needs_its_user_name() {
    let data = json!({"mechanism": "API_KEY_PLAIN", "api_key": KEY});
    let error = |release| {
        let mut rig = Rig::of_release(release);
        let connection = rig.open();
        login_ex(&mut rig, connection, data.clone())["error"].clone()
    };

    let old = error(ApiVersion::V25_04_0);
    let new = error(ApiVersion::V26_0_0);

    let reason = old["data"]["reason"].as_str().unwrap();
    assert!(reason.contains("unexpected authenticator run state. Expected: START"));
    assert_eq!(new["code"], -32_602);
}

#[test]
fn a_connection_with_a_session_rejects_a_second_login() {
    let mut rig = Rig::new();
    let connection = rig.logged_in();

    let second = login_ex(&mut rig, connection, key_login(json!({})));
    rig.call(connection, "auth.logout", json!([]));
    let third = login_ex(&mut rig, connection, key_login(json!({})));

    assert_eq!(second["error"]["code"], -32_001);
    assert_eq!(third["result"]["response_type"], "SUCCESS");
}

#[test]
fn login_with_api_key_returns_whether_it_succeeded_and_a_failure_takes_1_to_2_s() {
    let mut rig = Rig::new();
    let connection = rig.open();

    let id = rig.request(connection, "auth.login_with_api_key", json!(["1-wrong"]));
    rig.advance(Duration::from_millis(999));
    let early = rig.messages(connection);
    rig.advance(Duration::from_millis(1_001));
    let failure = rig.reply(connection, id);
    let success = rig.call(connection, "auth.login_with_api_key", json!([KEY]));

    assert_eq!(early, Vec::<Value>::new());
    assert_eq!(
        (&failure["result"], &success["result"]),
        (&json!(false), &json!(true))
    );
}

#[test]
fn release_27_removed_login_with_api_key_from_its_newest_version_only() {
    let mut rig = Rig::of_release(ApiVersion::V27_0_0);
    let current = rig.open();
    let pinned = rig.open_at(Ipv4Addr::LOCALHOST.into(), ApiVersion::V25_10_0);

    let removed = rig.call(current, "auth.login_with_api_key", json!([KEY]));
    let kept = rig.call(pinned, "auth.login_with_api_key", json!([KEY]));

    assert_eq!(removed["error"]["code"], -32_601);
    assert_eq!(kept["result"], true);
}

#[test]
fn mechanisms_are_listed_without_a_login() {
    let mut rig = Rig::new();
    let connection = rig.open();

    let reply = rig.call(connection, "auth.mechanism_choices", json!([]));

    let names = json!(["API_KEY_PLAIN", "PASSWORD_PLAIN", "TOKEN_PLAIN", "SCRAM"]);
    assert_eq!(reply["result"], names);
}

fn reconnect_token(rig: &mut Rig) -> Value {
    let connection = rig.open();
    let login = key_login(json!({"reconnect_token": true}));
    login_ex(rig, connection, login)["result"]["reconnect_token"].clone()
}

#[test]
fn tokens_cannot_be_requested_before_26_and_no_unknown_option_is_accepted() {
    let mut rig = Rig::new();
    let pinned = rig.open_at(Ipv4Addr::LOCALHOST.into(), ApiVersion::V25_10_5);
    let newest = rig.open();

    let old = login_ex(
        &mut rig,
        pinned,
        key_login(json!({"reconnect_token": false})),
    );
    let unknown = login_ex(&mut rig, newest, key_login(json!({"ttl": 1})));
    let known = login_ex(&mut rig, pinned, key_login(json!({"user_info": false})));

    for reply in [old, unknown] {
        assert_eq!(reply["error"]["code"], -32_602, "{reply}");
    }
    assert_eq!(known["result"]["response_type"], "SUCCESS");
}

fn response_type(rig: &mut Rig, connection: ConnectionId, token: &Value) -> Value {
    login_ex(rig, connection, token_login(token))["result"]["response_type"].clone()
}

#[test]
fn a_reconnect_token_logs_in_once_and_may_return_the_next() {
    let mut rig = Rig::new();
    let token = reconnect_token(&mut rig);
    let (first, second) = (rig.open(), rig.open());

    let mut login = token_login(&token);
    login["login_options"] = json!({"reconnect_token": true});
    let chained = login_ex(&mut rig, first, login)["result"].clone();
    let again = response_type(&mut rig, second, &token);

    assert_eq!(
        (&chained["response_type"], &again),
        (&json!("SUCCESS"), &json!("AUTH_ERR"))
    );
    assert!(chained["reconnect_token"].is_string() && chained["reconnect_token"] != token);
}

#[test]
fn a_reconnect_token_is_bound_to_its_address_its_lifetime_and_its_start_of_the_middleware() {
    let mut rig = Rig::new();
    let token = reconnect_token(&mut rig);
    let elsewhere = rig.open_from(Ipv4Addr::new(10, 0, 0, 1).into());
    assert_eq!(response_type(&mut rig, elsewhere, &token), "AUTH_ERR");

    let token = reconnect_token(&mut rig);
    rig.advance(seconds(600));
    let late = rig.open();
    assert_eq!(response_type(&mut rig, late, &token), "AUTH_ERR");

    let token = reconnect_token(&mut rig);
    rig.control(Control::Restart);
    let after = rig.open();
    assert_eq!(response_type(&mut rig, after, &token), "AUTH_ERR");
}

#[test]
fn a_generated_token_logs_in_until_it_was_unused_for_its_lifetime() {
    // A call takes 10 ms, as the policy says.
    let call = Duration::from_millis(10);
    let mut rig = Rig::new();
    let connection = rig.logged_in();
    let id = rig.request(connection, "auth.generate_token", json!([60]));
    rig.advance(call);
    let token = rig.reply(connection, id)["result"].clone();
    let mut logs_in_after = |time: Duration| {
        rig.advance(time.saturating_sub(call));
        let connection = rig.open();
        let id = rig.request(connection, "auth.login_ex", json!([token_login(&token)]));
        rig.advance(call);
        rig.reply(connection, id)["result"]["response_type"] == "SUCCESS"
    };

    assert!(logs_in_after(seconds(59)));
    assert!(
        logs_in_after(seconds(59)),
        "a use begins the lifetime again"
    );
    assert!(!logs_in_after(seconds(60)));
}

#[test]
fn a_test_can_make_a_controller_the_standby_and_active_again_and_sessions_stay() {
    let mut rig = Rig::new();
    let before = rig.logged_in();

    let url = "wss://nas-b/api/current".to_owned();
    rig.control(Control::BecomeStandby { url: url.clone() });
    let during = rig.open();
    let redirect = login_ex(&mut rig, during, key_login(json!({})))["result"].clone();
    rig.control(Control::BecomeActive);
    let login = login_ex(&mut rig, during, key_login(json!({})))["result"].clone();
    let me = rig.call(before, "auth.me", json!([]));

    let expected = json!({"response_type": "REDIRECT", "urls": [url]});
    assert_eq!(redirect, expected);
    assert_eq!(login["response_type"], "SUCCESS");
    assert_eq!(me["result"]["pw_name"], "admin");
}

fn at_level_2() -> Rig {
    let account = Account {
        otp: Some("123456".to_owned()),
        ..account()
    };
    let policy = Policy::of_release(ApiVersion::V26_0_0, vec![account]);
    Rig::with(policy.at_assurance(AssuranceLevel::Level2))
}

#[test]
fn level_2_accepts_only_a_password_with_a_one_time_password() {
    let mut rig = at_level_2();
    let connection = rig.open();
    let choices = rig.call(connection, "auth.mechanism_choices", json!([]));
    let scram = json!({"mechanism": "SCRAM", "scram_type": "CLIENT_FIRST_MESSAGE", "rfc_str": "n,,n=admin:1,r=x"});
    let refused = [
        key_login(json!({})),
        token_login(&json!("x")),
        scram.clone(),
    ];
    let mut replies: Vec<Value> = Vec::new();
    for data in refused {
        replies.push(login_ex(&mut rig, connection, data));
    }
    replies.push(rig.call(connection, "auth.login_with_api_key", json!([KEY])));
    replies.push(rig.call(connection, "auth.login_with_token", json!(["x"])));
    replies.push(rig.call(connection, "auth.login_ex_continue", json!([scram])));

    let first = login_ex(&mut rig, connection, password_login(PASSWORD));
    let otp = json!([{"mechanism": "OTP_TOKEN", "otp_token": "123456"}]);
    let second = rig.call(connection, "auth.login_ex_continue", otp);

    assert_eq!(choices["result"], json!(["PASSWORD_PLAIN"]));
    for reply in replies {
        let data = &reply["error"]["data"];
        assert_eq!(data["errname"], "EOPNOTSUPP", "{reply}");
    }
    assert_eq!(first["result"]["response_type"], "OTP_REQUIRED");
    assert_eq!(second["result"]["response_type"], "SUCCESS");
    assert_eq!(second["result"]["authenticator"], "LEVEL_2");
}

#[test]
fn level_2_refuses_a_user_without_a_one_time_password() {
    let policy = policy(ApiVersion::V26_0_0).at_assurance(AssuranceLevel::Level2);
    let mut rig = Rig::with(policy);
    let connection = rig.open();

    let reply = login_ex(&mut rig, connection, password_login(PASSWORD));

    assert_eq!(reply["result"], json!({"response_type": "AUTH_ERR"}));
}
