//! SCRAM-SHA-512 (RFC 5802 with the hash of its successors) as a client, without channel binding.
//!
//! What the server sends is limited before anything is computed. Signatures are compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha512};

use crate::io::{DerivedKey, KEY_BYTES, NONCE_BYTES};

/// The header of a client without channel binding.
const GS2_HEADER: &str = "n,,";

/// The longest message that is accepted from the server, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_024;
/// The lengths of a salt in bytes.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
/// The number of iterations: fewer protect no secret, and more would occupy a processor for many seconds.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=10_000_000;

/// Why the exchange with the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    #[error("a message of the server is malformed or too long")]
    Malformed,
    #[error("the server did not repeat the client's nonce")]
    Nonce,
    #[error("the salt has an invalid length")]
    Salt,
    #[error("the number of iterations is outside of 4096 to 10000000")]
    Iterations,
    #[error("the server did not prove that it knows the key")]
    Signature,
}

/// The first message of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFirst {
    nonce: String,
    /// Without the header.
    bare: String,
}

/// The first message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerFirst {
    text: String,
    nonce: String,
    pub(super) salt: Bytes,
    pub(super) iterations: u32,
}

/// What the last message of the server is compared with.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Expected {
    server_key: [u8; KEY_BYTES],
    signed: String,
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expected")
    }
}

impl ClientFirst {
    pub(super) fn new(user: &str, nonce: &[u8; NONCE_BYTES]) -> Self {
        let nonce = STANDARD.encode(nonce);
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}");
        Self { nonce, bare }
    }

    /// The message as it is sent.
    pub(super) fn message(&self) -> String {
        format!("{GS2_HEADER}{}", self.bare)
    }

    /// Reads the first message of the server.
    pub(super) fn read(&self, text: &str) -> Result<ServerFirst, ScramError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(ScramError::Malformed);
        }
        let mut attributes = text.split(',');
        let mut attribute = |name: &str| {
            let value = attributes.next().and_then(|it| it.strip_prefix(name));
            value.ok_or(ScramError::Malformed)
        };
        let nonce = attribute("r=")?;
        let salt = attribute("s=")?;
        let iterations = attribute("i=")?;
        let own = nonce.strip_prefix(self.nonce.as_str());
        if own.is_none_or(str::is_empty) {
            return Err(ScramError::Nonce);
        }
        let salt = STANDARD.decode(salt).map_err(|_error| ScramError::Salt)?;
        if !SALT_BYTES.contains(&salt.len()) {
            return Err(ScramError::Salt);
        }
        let iterations: u32 = iterations
            .parse()
            .map_err(|_error| ScramError::Iterations)?;
        if !ITERATIONS.contains(&iterations) {
            return Err(ScramError::Iterations);
        }
        Ok(ServerFirst {
            text: text.to_owned(),
            nonce: nonce.to_owned(),
            salt: salt.into(),
            iterations,
        })
    }

    /// The last message of the client, with its proof, and what the server has to prove.
    pub(super) fn prove(&self, server: &ServerFirst, key: &DerivedKey) -> (String, Expected) {
        let binding = STANDARD.encode(GS2_HEADER);
        let without_proof = format!("c={binding},r={}", server.nonce);
        let signed = format!("{},{},{without_proof}", self.bare, server.text);
        let client_key = sign(&key.0, b"Client Key");
        let stored_key: [u8; KEY_BYTES] = Sha512::digest(client_key).into();
        let signature = sign(&stored_key, signed.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(key, signature)| key ^ signature)
            .collect();
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        let server_key = sign(&key.0, b"Server Key");
        (message, Expected { server_key, signed })
    }
}

impl Expected {
    /// Checks the last message of the server.
    pub(super) fn verify(&self, text: &str) -> Result<(), ScramError> {
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(ScramError::Malformed);
        }
        let signature = text.split(',').next().and_then(|it| it.strip_prefix("v="));
        let signature = signature.ok_or(ScramError::Signature)?;
        let signature = STANDARD.decode(signature);
        let signature = signature.map_err(|_error| ScramError::Signature)?;
        let mac = keyed(&self.server_key).chain_update(self.signed.as_bytes());
        mac.verify_slice(&signature)
            .map_err(|_error| ScramError::Signature)
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha512> {
    Hmac::new_from_slice(key).expect("a key may have any length")
}

fn sign(key: &[u8], text: &[u8]) -> [u8; KEY_BYTES] {
    keyed(key).chain_update(text).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::KeyDerivation;
    use crate::secret::Secret;

    /// An exchange, computed by the modules `hashlib` and `hmac` of Python.
    struct Exchange {
        user: &'static str,
        secret: &'static str,
        nonce: [u8; NONCE_BYTES],
        first: &'static str,
        server_first: &'static str,
        last: &'static str,
        server_last: &'static str,
    }

    fn exchanges() -> [Exchange; 2] {
        [
            Exchange {
                user: "root:7",
                secret: "Zm9vYmFyS2V5",
                nonce: [1; NONCE_BYTES],
                first: "n,,n=root:7,r=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
                server_first: "r=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=Sx3rv,s=AAECAwQFBgcICQoLDA0ODw==,i=4096",
                last: "c=biws,r=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=Sx3rv,p=Y20AU6jAWiau5JZjzfeR/Mk35E02S220yhEzPq9ihyDgs6WYXhSIrpUwqtx6DQKaptofHHdAZK3edGWAhR8VTg==",
                server_last: "v=wqM9rbdiPt4pqE6HapE5buI6dnkZEymjCc3OJyRR/fFmgfRpHxaCCq7RHnjx0Xp3fQ78HEjnpY73yDFcsPthHA==",
            },
            Exchange {
                user: "a,b=:12",
                secret: "k",
                nonce: std::array::from_fn(|at| u8::try_from(at).unwrap()),
                first: "n,,n=a=2Cb=3D:12,r=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
                server_first: "r=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=xyz,s=c2FsdHNhbHQ=,i=5000",
                last: "c=biws,r=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=xyz,p=wM0UsLngdwEgmlHjEp9BfHe9CWMPgoGz3l2QhGxUp7N1oKBbHhkum0+V/JMUG6ue/geN0gxX7QSTYuzz939pQw==",
                server_last: "v=76poVsg8l+0p24VKG1llkcNfyqQ1hxwkHmOUscxib3PCHcLVbVl1p6v4BnnV1SciVBilTFu/9Ms1b3dDVK5FPA==",
            },
        ]
    }

    fn first() -> ClientFirst {
        ClientFirst::new("root:7", &[1; NONCE_BYTES])
    }

    /// What the second part of the exchange depends on.
    fn proven(exchange: &Exchange) -> (String, Expected) {
        let first = ClientFirst::new(exchange.user, &exchange.nonce);
        let server = first.read(exchange.server_first).unwrap();
        let secret = Secret::new(exchange.secret.to_owned());
        let key = KeyDerivation::new(secret, server.salt.clone(), server.iterations).derive();
        first.prove(&server, &key)
    }

    #[test]
    fn the_messages_are_those_of_an_independent_implementation() {
        for exchange in exchanges() {
            let first = ClientFirst::new(exchange.user, &exchange.nonce);
            let (last, expected) = proven(&exchange);

            assert_eq!(first.message(), exchange.first);
            assert_eq!(last, exchange.last);
            assert_eq!(expected.verify(exchange.server_last), Ok(()));
        }
    }

    #[test]
    fn a_server_without_the_key_is_recognized() {
        let [exchange, other] = exchanges();
        let (_, expected) = proven(&exchange);
        let (start, end) = exchange.server_last.split_at(10);
        for text in [
            other.server_last.to_owned(),
            format!("{start}{}", end.replacen('Y', "Z", 1)),
            start.to_owned(),
            "v=".to_owned(),
            "v=%%%".to_owned(),
            "e=invalid-proof".to_owned(),
            String::new(),
        ] {
            assert_eq!(expected.verify(&text), Err(ScramError::Signature), "{text}");
        }
        let long = format!("{},{}", exchange.server_last, "x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(expected.verify(&long), Err(ScramError::Malformed));
    }

    #[test]
    fn the_first_message_of_a_server_is_limited_before_anything_is_computed() {
        let own = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let read = |nonce: &str, salt: &str, iterations: &str| {
            let text = format!("r={nonce},s={salt},i={iterations}");
            first().read(&text).map(|server| server.iterations)
        };
        let nonce = format!("{own}x");
        let salt = "AAECAwQFBgcICQoLDA0ODw==";
        assert_eq!(read(&nonce, salt, "4096"), Ok(4_096));
        assert_eq!(read(&nonce, salt, "10000000"), Ok(10_000_000));
        for iterations in ["4095", "10000001", "0", "-1", "", "4096x", "99999999999"] {
            let read = read(&nonce, salt, iterations);
            assert_eq!(read, Err(ScramError::Iterations), "{iterations}");
        }
        for nonce in [
            own,
            "",
            "other",
            "xAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        ] {
            assert_eq!(read(nonce, salt, "4096"), Err(ScramError::Nonce), "{nonce}");
        }
        let long_salt = STANDARD.encode([0; 65]);
        for salt in ["", "AAEC", "*", long_salt.as_str()] {
            assert_eq!(read(&nonce, salt, "4096"), Err(ScramError::Salt), "{salt}");
        }
    }

    #[test]
    fn a_malformed_first_message_is_rejected() {
        let long = format!("r={},s=AA==,i=4096", "x".repeat(MESSAGE_BYTES_MAX));
        for text in [
            "",
            "e=other-error",
            "s=AA==,r=x,i=4096",
            "m=x,r=x,s=AA==,i=1",
            "r=x",
            &long,
        ] {
            assert_eq!(first().read(text), Err(ScramError::Malformed), "{text}");
        }
    }
}
