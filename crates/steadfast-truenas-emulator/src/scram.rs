//! SCRAM-SHA-512 (RFC 5802) as the side of the server: texts and proofs of one exchange, without a connection.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The length of a digest, and of everything that is derived from it.
const LEN: usize = digest::SHA512_OUTPUT_LEN;
/// The only channel binding: the hash of the server's certificate (RFC 5929).
const BINDING: &str = "tls-server-end-point";
/// The longest message of a client, which the limit before the login permits anyway.
const MESSAGE_LEN_MAX: usize = 8_192;

/// What a server keeps of a secret.
#[derive(Clone)]
pub(crate) struct Keys {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: [u8; LEN],
    server_key: [u8; LEN],
}

/// The first message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    /// The part before the message proper: flag and identity of the channel binding.
    header: String,
    /// The message without this part.
    bare: String,
    /// `USER:ID`, where the id is that of the API key.
    pub(crate) username: String,
    nonce: String,
    is_bound: bool,
}

/// An exchange between the first response of the server and the last message of the client.
#[derive(Clone)]
pub(crate) struct Exchange {
    first: ClientFirst,
    keys: Keys,
    nonce: String,
    server_first: String,
}

/// Why an exchange fails: each of them is `AUTH_ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScramError {
    /// The text is no message of this step.
    Malformed,
    /// The channel binding is unknown, or not that of this connection.
    Binding,
    /// The client does not know the secret.
    Proof,
}

impl Keys {
    /// Derives what a server keeps from a secret.
    pub(crate) fn derive(secret: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let mut salted = [0; LEN];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::derive(algorithm, iterations, &salt, secret.as_bytes(), &mut salted);
        let client_key = mac(&salted, b"Client Key");
        Self {
            salt,
            iterations,
            stored_key: hash(&client_key),
            server_key: mac(&salted, b"Server Key"),
        }
    }
}

impl ClientFirst {
    /// Reads a first message, such as `n,,n=admin:1,r=NONCE`.
    pub(crate) fn read(text: &str) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed;
        if text.len() > MESSAGE_LEN_MAX {
            return Err(malformed);
        }
        let (flag, rest) = text.split_once(',').ok_or(malformed)?;
        let (identity, bare) = rest.split_once(',').ok_or(malformed)?;
        let is_bound = match flag {
            // The client supports no binding, or believes that the server does not.
            "n" | "y" => false,
            _ if flag.strip_prefix("p=") == Some(BINDING) => true,
            _ => return Err(ScramError::Binding),
        };
        let mut attributes = bare.split(',');
        let username = attributes.next().and_then(|it| it.strip_prefix("n="));
        let nonce = attributes.next().and_then(|it| it.strip_prefix("r="));
        let (Some(username), Some(nonce)) = (username, nonce) else {
            return Err(malformed);
        };
        if nonce.is_empty() {
            return Err(malformed);
        }
        Ok(Self {
            header: format!("{flag},{identity},"),
            bare: bare.to_owned(),
            username: username.replace("=2C", ",").replace("=3D", "="),
            nonce: nonce.to_owned(),
            is_bound,
        })
    }
}

impl Exchange {
    /// Begins an exchange with the random part of the nonce that the server adds.
    pub(crate) fn new(first: ClientFirst, keys: Keys, random: &str) -> Self {
        let nonce = format!("{}{random}", first.nonce);
        let salt = STANDARD.encode(&keys.salt);
        let server_first = format!("r={nonce},s={salt},i={}", keys.iterations);
        Self {
            first,
            keys,
            nonce,
            server_first,
        }
    }

    /// The first response of the server.
    pub(crate) fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Verifies the last message of the client, and returns the last response of the server, `v=SIGNATURE`.
    ///
    /// The binding is the hash of the certificate of this connection, `None` without TLS.
    pub(crate) fn finish(&self, text: &str, binding: Option<&[u8]>) -> Result<String, ScramError> {
        if text.len() > MESSAGE_LEN_MAX {
            return Err(ScramError::Malformed);
        }
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let attributes: BTreeMap<_, _> = without_proof
            .split(',')
            .filter_map(|attribute| attribute.split_once('='))
            .collect();
        let decode = |text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_not_base64| ScramError::Malformed)
        };
        if attributes.get("r") != Some(&self.nonce.as_str()) {
            return Err(ScramError::Malformed);
        }
        let mut expected = self.first.header.clone().into_bytes();
        if self.first.is_bound {
            expected.extend_from_slice(binding.ok_or(ScramError::Binding)?);
        }
        let channel = attributes.get("c").ok_or(ScramError::Malformed)?;
        if decode(channel)? != expected {
            return Err(ScramError::Binding);
        }
        let message = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let signature = mac(&self.keys.stored_key, message.as_bytes());
        let proof = decode(proof)?;
        if proof.len() != LEN {
            return Err(ScramError::Proof);
        }
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        verify_slices_are_equal(&hash(&client_key), &self.keys.stored_key)
            .map_err(|_unequal| ScramError::Proof)?;
        let signature = mac(&self.keys.server_key, message.as_bytes());
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Keys");
        fields
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut fields = f.debug_struct("Exchange");
        fields.field("first", &self.first).finish_non_exhaustive()
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; LEN] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), message);
    fixed(tag.as_ref())
}

fn hash(bytes: &[u8]) -> [u8; LEN] {
    fixed(digest::digest(&digest::SHA512, bytes).as_ref())
}

fn fixed(bytes: &[u8]) -> [u8; LEN] {
    bytes.try_into().expect("SHA-512 has 64 bytes")
}

#[cfg(test)]
mod tests {
    //! The values were computed with `hashlib` and `hmac` of Python 3.11, in which nothing of this file takes part.

    use super::*;

    const SECRET: &str = "key0of0the0tests";
    const SALT: &[u8] = b"0123456789abcdef";
    const FIRST: &str = "n,,n=admin:1,r=clientnonce";

    fn exchange(first: &str) -> Exchange {
        let iterations = NonZeroU32::new(5_000).unwrap();
        let keys = Keys::derive(SECRET, SALT.to_vec(), iterations);
        Exchange::new(ClientFirst::read(first).unwrap(), keys, "servernonce")
    }

    #[test]
    fn the_first_response_has_the_nonces_the_salt_and_the_iterations() {
        let text = exchange(FIRST).server_first().to_owned();

        let expected = "r=clientnonceservernonce,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=5000";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_client_with_the_secret_is_accepted_and_the_server_proves_that_it_knows_it_too() {
        let last = "c=biws,r=clientnonceservernonce,p=GA/rMEbTupjYO1DatK6ZwCsGYiR4t6AXK46Kx0pPRkI9sS\
                    02qOijR9GRM8Xs4h6apZipVkpbtaMRcNeiV/AFCA==";

        let response = exchange(FIRST).finish(last, None);

        let expected = "v=NxfkOOSzYBlBBrZBG4cut1C/RUGNvDvghUEtUKVQnY+oOU/ckBSuAE1Hb+JRJV1M+kkPgtCdhwlz1\
                        zgaLCtzsA==";
        assert_eq!(response.as_deref(), Ok(expected));
    }

    #[test]
    fn the_proof_of_another_secret_is_rejected() {
        let last = "c=biws,r=clientnonceservernonce,p=Uvfvz0ETI0fNjWV7DKc9csyTQf4UahgeAdZ4ZeLaEX2c3H\
                    vHMgJnaRrzcZhXJfUgdwoAbXb0B1qAKwOCiQV/Qg==";

        assert_eq!(exchange(FIRST).finish(last, None), Err(ScramError::Proof));
    }

    const BOUND: &str = "p=tls-server-end-point,,n=admin:1,r=clientnonce";
    const BOUND_LAST: &str = "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaG\
                              xwdHh8=,r=clientnonceservernonce,p=Q2QxtzTgsZtOP/l+DS8WqDx8ckVpRIhuXXBWbkz\
                              r1WIPSfBq7ByZjRCDRFCElGpRMl3Jxgun6z7EGIOOnQll+g==";

    fn certificate_hash() -> Vec<u8> {
        (0..32).collect()
    }

    #[test]
    fn a_client_can_bind_the_exchange_to_the_certificate() {
        let response = exchange(BOUND).finish(BOUND_LAST, Some(&certificate_hash()));

        let expected = "v=x0Yktx+eodgsLXdl+uiaDXK1gnJCeMJss605VJtyU5rtc2ScK+vmu2DWPV63uQE2aDkhtxSQJT6nn\
                        jsL2fhbfg==";
        assert_eq!(response.as_deref(), Ok(expected));
    }

    #[test]
    fn a_binding_to_another_certificate_is_rejected_and_so_is_one_without_tls() {
        let other = exchange(BOUND).finish(BOUND_LAST, Some(&[0; 32]));
        let none = exchange(BOUND).finish(BOUND_LAST, None);

        assert_eq!(other, Err(ScramError::Binding));
        assert_eq!(none, Err(ScramError::Binding));
    }

    #[test]
    fn texts_that_are_no_messages_are_malformed() {
        for text in [
            "",
            "n,,",
            "n,,n=admin:1",
            "n,,n=admin:1,r=",
            "n,,r=x,n=admin:1",
        ] {
            assert_eq!(
                ClientFirst::read(text),
                Err(ScramError::Malformed),
                "{text}"
            );
        }
        for text in [
            "",
            "c=biws,p=AA==",
            "c=biws,r=other,p=AA==",
            "r=clientnonceservernonce,p=AA==",
        ] {
            let result = exchange(FIRST).finish(text, None);
            assert_eq!(result, Err(ScramError::Malformed), "{text}");
        }
    }

    #[test]
    fn an_unknown_channel_binding_is_rejected() {
        let first = ClientFirst::read("p=tls-unique,,n=admin:1,r=x");

        assert_eq!(first, Err(ScramError::Binding));
    }

    #[test]
    fn debug_output_has_no_key() {
        let text = format!("{:?}", exchange(FIRST));

        assert!(
            !text.contains("stored_key") && !text.contains("server_key"),
            "{text}"
        );
    }
}
