//! Logins with SCRAM, by a client that shares no code with the emulator except for the digests.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use steadfast_truenas_emulator::{Account, AccountState, ApiVersion, ConnectionId, Policy};

use crate::rig::{Rig, account, policy};

const FIRST: &str = "n,,n=admin:1,r=clientnonce";
pub(crate) const SECRET: &str = "key";

pub(crate) fn message(kind: &str, text: &str) -> Value {
    json!([{"mechanism": "SCRAM", "scram_type": kind, "rfc_str": text}])
}

fn first(rig: &mut Rig, connection: ConnectionId, text: &str) -> Value {
    let message = message("CLIENT_FIRST_MESSAGE", text);
    rig.call(connection, "auth.login_ex", message)["result"].clone()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA512, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// The last message of the client, and the response that proves that the server knows the secret.
pub(crate) fn last(
    client_first: &str,
    server_first: &str,
    secret: &str,
    bound_to: &[u8],
) -> (String, String) {
    let part = |name: &str| {
        let mut parts = server_first.split(',');
        parts.find_map(|it| it.strip_prefix(name)).unwrap()
    };
    let (nonce, salt) = (part("r="), STANDARD.decode(part("s=")).unwrap());
    let iterations: NonZeroU32 = part("i=").parse().unwrap();
    let mut salted = [0; 64];
    let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
    pbkdf2::derive(algorithm, iterations, &salt, secret.as_bytes(), &mut salted);
    let client_key = mac(&salted, "Client Key");
    let stored_key = digest::digest(&digest::SHA512, &client_key);
    let (flag, bare) = client_first.split_once(",n=").unwrap();
    let mut binding = format!("{flag},").into_bytes();
    binding.extend_from_slice(bound_to);
    let without_proof = format!("c={},r={nonce}", STANDARD.encode(binding));
    let all = format!("n={bare},{server_first},{without_proof}");
    let signature = mac(stored_key.as_ref(), &all);
    let proof: Vec<u8> = client_key
        .iter()
        .zip(signature)
        .map(|(a, b)| a ^ b)
        .collect();
    let server_signature = mac(&mac(&salted, "Server Key"), &all);
    (
        format!("{without_proof},p={}", STANDARD.encode(proof)),
        format!("v={}", STANDARD.encode(server_signature)),
    )
}

/// Logs in, and returns the last result with the expected signature of the server.
fn log_in(rig: &mut Rig, connection: ConnectionId, secret: &str, method: &str) -> (Value, String) {
    let response = first(rig, connection, FIRST);
    let server_first = response["rfc_str"].as_str().unwrap().to_owned();
    let (text, signature) = last(FIRST, &server_first, secret, b"");
    let reply = rig.call(connection, method, message("CLIENT_FINAL_MESSAGE", &text));
    (reply["result"].clone(), signature)
}

#[test]
fn a_client_and_the_server_prove_to_each_other_that_they_know_the_key() {
    for method in ["auth.login_ex_continue", "auth.login_ex"] {
        let mut rig = Rig::new();
        let connection = rig.open();

        let (result, signature) = log_in(&mut rig, connection, SECRET, method);
        let me = rig.call(connection, "auth.me", json!([]));

        assert_eq!(result["response_type"], "SCRAM_RESPONSE", "{result}");
        assert_eq!(result["scram_type"], "SERVER_FINAL_RESPONSE");
        assert_eq!(result["rfc_str"], signature.as_str());
        assert_eq!(result["user_info"]["pw_name"], "admin");
        assert_eq!(me["result"]["pw_name"], "admin");
    }
}

#[test]
fn the_first_response_has_a_longer_nonce_a_salt_and_500000_iterations() {
    let policy = Policy::of_release(ApiVersion::V26_0_0, vec![account()]);
    let mut rig = Rig::with(policy);
    let connection = rig.open();

    let response = first(&mut rig, connection, FIRST);

    assert_eq!(response["response_type"], "SCRAM_RESPONSE");
    assert_eq!(response["scram_type"], "SERVER_FIRST_RESPONSE");
    let text = response["rfc_str"].as_str().unwrap();
    let parts: Vec<&str> = text.split(',').collect();
    assert!(parts[0].starts_with("r=clientnonce") && parts[0].len() > "r=clientnonce".len());
    assert!(parts[1].starts_with("s=") && parts[1].len() > 10);
    assert_eq!(parts[2..], ["i=500000"]);
}

#[test]
fn each_login_has_another_nonce_and_the_same_salt() {
    let mut rig = Rig::new();
    let (one, two) = (rig.open(), rig.open());

    let texts = [one, two].map(|it| {
        first(&mut rig, it, FIRST)["rfc_str"]
            .as_str()
            .unwrap()
            .to_owned()
    });

    let [first, second] = texts.map(|text| {
        text.split_once(',')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap()
    });
    assert_ne!(first.0, second.0);
    assert_eq!(first.1, second.1);
}

#[test]
fn a_wrong_key_an_unknown_key_and_what_is_no_message_are_auth_err_and_give_no_session() {
    let mut rig = Rig::new();
    let wrong = rig.open();
    let (result, _) = log_in(&mut rig, wrong, "another", "auth.login_ex_continue");
    let mut results = vec![result];
    for text in [
        "n,,n=admin:2,r=x",
        "n,,n=root:1,r=x",
        "n,,n=admin,r=x",
        "no message",
    ] {
        let connection = rig.open();
        results.push(first(&mut rig, connection, text));
    }

    let me = rig.call(wrong, "auth.me", json!([]));

    for result in results {
        assert_eq!(result, json!({"response_type": "AUTH_ERR"}));
    }
    assert_eq!(me["error"]["data"]["error"], 207);
}

#[test]
fn an_exchange_has_one_last_message() {
    let mut rig = Rig::new();
    let connection = rig.open();
    let response = first(&mut rig, connection, FIRST);
    let server_first = response["rfc_str"].as_str().unwrap().to_owned();
    let (wrong, _) = last(FIRST, &server_first, "another", b"");
    let (right, _) = last(FIRST, &server_first, SECRET, b"");
    let mut continued = |text: &str| {
        let message = message("CLIENT_FINAL_MESSAGE", text);
        rig.call(connection, "auth.login_ex_continue", message)
    };

    let first = continued(&wrong);
    let second = continued(&right);

    assert_eq!(first["result"], json!({"response_type": "AUTH_ERR"}));
    assert_eq!(second["error"]["code"], -32_001, "{second}");
}

#[test]
fn scram_can_be_bound_to_the_certificate_and_not_without_tls() {
    let bound_first = "p=tls-server-end-point,,n=admin:1,r=clientnonce";
    let response_type = |certificate: Option<Vec<u8>>| {
        let mut policy = policy(ApiVersion::V26_0_0);
        policy.certificate_hash = certificate;
        let mut rig = Rig::with(policy);
        let connection = rig.open();
        let response = first(&mut rig, connection, bound_first);
        let server_first = response["rfc_str"].as_str().unwrap().to_owned();
        let (text, _) = last(bound_first, &server_first, SECRET, &[7; 32]);
        let message = message("CLIENT_FINAL_MESSAGE", &text);
        let reply = rig.call(connection, "auth.login_ex_continue", message);
        reply["result"]["response_type"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    assert_eq!(response_type(Some(vec![7; 32])), "SCRAM_RESPONSE");
    assert_eq!(response_type(Some(vec![8; 32])), "AUTH_ERR");
    assert_eq!(response_type(None), "AUTH_ERR");
}

#[test]
fn versions_before_26_and_a_server_without_scram_do_not_offer_it() {
    let mut without = policy(ApiVersion::V26_0_0);
    without.offers_scram = false;
    for policy in [policy(ApiVersion::V25_10_5), without] {
        let mut rig = Rig::with(policy);
        let connection = rig.open();

        let choices = rig.call(connection, "auth.mechanism_choices", json!([]));
        let message = message("CLIENT_FIRST_MESSAGE", FIRST);
        let reply = rig.call(connection, "auth.login_ex", message);

        let names = json!(["API_KEY_PLAIN", "PASSWORD_PLAIN", "TOKEN_PLAIN"]);
        assert_eq!(choices["result"], names);
        assert_eq!(reply["error"]["code"], -32_602, "{reply}");
    }
}

#[test]
fn an_expired_key_has_its_own_result_after_the_proof() {
    let account = Account {
        state: AccountState::Expired,
        ..account()
    };
    let mut policy = policy(ApiVersion::V26_0_0);
    policy.accounts = vec![account];
    let mut rig = Rig::with(policy);
    let connection = rig.open();

    let (result, _) = log_in(&mut rig, connection, SECRET, "auth.login_ex_continue");

    assert_eq!(result, json!({"response_type": "EXPIRED"}));
}
