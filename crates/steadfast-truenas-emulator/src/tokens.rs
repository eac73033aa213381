//! Tokens for logins: those of `auth.generate_token`, and reconnect tokens. They exist in memory only.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use steadfast_machine::{Generator, Instant};

/// The most tokens; a new one replaces the one that expires first.
const TOKENS_MAX: usize = 10_000;
/// The characters of a token.
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// The length of a token.
const LENGTH: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    tokens: BTreeMap<String, Stored>,
}

/// What a token is good for.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) username: String,
    /// Only clients at this address may use it.
    pub(crate) address: Option<IpAddr>,
    pub(crate) is_single_use: bool,
    pub(crate) lifetime: Duration,
}

/// A token with its end, which each use moves.
#[derive(Debug)]
struct Stored {
    token: Token,
    expires_at: Instant,
}

impl Tokens {
    /// Creates a token.
    pub(crate) fn create(&mut self, token: Token, now: Instant, random: &mut Generator) -> String {
        if self.tokens.len() >= TOKENS_MAX {
            let mut by_end: Vec<_> = self.tokens.iter().map(|(k, v)| (v.expires_at, k)).collect();
            by_end.sort();
            let first = by_end.first().map(|(_, name)| (*name).clone());
            first.and_then(|name| self.tokens.remove(&name));
        }
        let text = random_text(random, LENGTH);
        let expires_at = now + token.lifetime;
        self.tokens
            .insert(text.clone(), Stored { token, expires_at });
        text
    }

    /// Uses a token from this address, and returns its user.
    pub(crate) fn redeem(&mut self, text: &str, address: IpAddr, now: Instant) -> Option<String> {
        self.tokens.retain(|_, stored| stored.expires_at > now);
        let stored = self.tokens.get_mut(text)?;
        if stored.token.address.is_some_and(|only| only != address) {
            return None;
        }
        stored.expires_at = now + stored.token.lifetime;
        let username = stored.token.username.clone();
        if stored.token.is_single_use {
            self.tokens.remove(text);
        }
        Some(username)
    }
}

/// A random text of letters and digits.
pub(crate) fn random_text(random: &mut Generator, len: usize) -> String {
    (0..len)
        .filter_map(|_| ALPHABET.get(random.below_len(ALPHABET.len())))
        .map(|byte| char::from(*byte))
        .collect()
}
