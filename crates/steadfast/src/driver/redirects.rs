//! The servers to which logins were redirected, instead of the endpoints of the builder.
//!
//! A redirect lasts as long as its server can be dialled and accepts the login: after an attempt that fails, the endpoint is
//! dialled as it was before. It is only followed to a server that is as secure as the one that names it: never from TLS to a
//! connection without it.

use std::collections::BTreeMap;

use crate::endpoint::Endpoint;

/// The most URLs of a redirect that are considered.
const URLS_MAX: usize = 8;

/// The redirects of a session: at most one for each endpoint.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    by_endpoint: BTreeMap<usize, Redirect>,
    /// The server of the newest attempt.
    #[cfg(feature = "truenas")]
    dialled: Option<Endpoint>,
    /// The server of the present connection, or of the last one.
    #[cfg(feature = "truenas")]
    connected: Option<Endpoint>,
}

/// Another server instead of an endpoint.
#[derive(Debug)]
struct Redirect {
    to: Endpoint,
    /// It was dialled, and no connection to it has followed.
    is_tried: bool,
}

impl Redirects {
    /// Redirects an endpoint with this index to the first of these URLs that is valid and as secure. Returns it; `None` if
    /// there is none, and the endpoint stays as it is.
    pub(super) fn redirect(
        &mut self,
        index: usize,
        original: &Endpoint,
        urls: &[String],
    ) -> Option<&Endpoint> {
        let from = self.by_endpoint.get(&index).map_or(original, |it| &it.to);
        let mut urls = urls.iter().take(URLS_MAX);
        let to = urls.find_map(|url| from.redirected(url))?;
        let is_tried = false;
        self.by_endpoint.insert(index, Redirect { to, is_tried });
        self.by_endpoint.get(&index).map(|it| &it.to)
    }

    /// What the next attempt dials at the endpoint with this index.
    pub(super) fn dial(&mut self, index: usize, original: &Endpoint) -> Endpoint {
        self.by_endpoint
            .retain(|other, it| *other != index || !it.is_tried);
        let to = match self.by_endpoint.get_mut(&index) {
            Some(redirect) => {
                redirect.is_tried = true;
                redirect.to.clone()
            }
            None => original.clone(),
        };
        #[cfg(feature = "truenas")]
        {
            self.dialled = Some(to.clone());
        }
        to
    }

    /// The newest attempt, at the endpoint with this index, is the present connection: its login was accepted.
    pub(super) fn connected(&mut self, index: usize) {
        if let Some(redirect) = self.by_endpoint.get_mut(&index) {
            redirect.is_tried = false;
        }
        #[cfg(feature = "truenas")]
        {
            self.connected = self.dialled.clone();
        }
    }

    /// The host of the present connection, or of the last one; `None` before the first.
    #[cfg(feature = "truenas")]
    pub(super) fn connected_host(&self) -> Option<&str> {
        self.connected.as_ref().map(Endpoint::host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::with_default_path(url, "/api/current").unwrap()
    }

    fn redirected(from: &str, urls: &[&str]) -> Option<String> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        let mut redirects = Redirects::default();
        let to = redirects.redirect(0, &endpoint(from), &urls)?;
        Some(to.to_string())
    }

    #[test]
    fn a_redirect_is_never_less_secure_and_keeps_the_path() {
        let cases: [(&str, &[&str], Option<&str>); 7] = [
            ("wss://a", &["https://b"], Some("wss://b/api/current")),
            ("wss://a", &["ws://b"], None),
            ("wss://a", &["http://b", "wss://c/x"], Some("wss://c/x")),
            ("wss://a", &["b"], Some("wss://b/api/current")),
            ("wss://a", &["localhost"], None),
            ("ws://a:1", &["ws://b:2"], Some("ws://b:2/api/current")),
            (
                "ws://a:1",
                &["wss://b", "ws://c"],
                Some("wss://b/api/current"),
            ),
        ];
        for (from, urls, expected) in cases {
            assert_eq!(
                redirected(from, urls).as_deref(),
                expected,
                "{from} {urls:?}"
            );
        }
    }

    #[test]
    fn only_the_first_urls_of_a_redirect_are_considered() {
        let mut urls = vec![""; URLS_MAX];
        urls.push("wss://b");

        assert_eq!(redirected("wss://a", &urls), None);
    }

    fn to(url: &str) -> [String; 1] {
        [url.to_owned()]
    }

    #[test]
    fn an_endpoint_is_tried_again_when_an_attempt_at_the_server_of_its_redirect_fails() {
        let (a, b) = (endpoint("ws://a"), endpoint("ws://b"));
        let mut redirects = Redirects::default();
        redirects.redirect(0, &a, &to("ws://b"));
        assert_eq!(redirects.dial(0, &a), b);
        redirects.connected(0);
        assert_eq!(redirects.dial(0, &a), b, "its login was accepted");
        assert_eq!(redirects.dial(1, &b), b, "another endpoint");

        assert_eq!(redirects.dial(0, &a), a);

        assert_eq!(redirects.dial(0, &a), a);
    }

    #[test]
    fn a_server_with_tls_that_was_named_by_one_without_cannot_name_one_without() {
        let (a, b) = (endpoint("ws://a:1"), endpoint("wss://b"));
        let mut redirects = Redirects::default();
        redirects.redirect(0, &a, &to("wss://b"));
        assert_eq!(redirects.dial(0, &a), b);

        assert_eq!(redirects.redirect(0, &a, &to("ws://c")), None);

        assert_eq!(redirects.dial(0, &a), a);
    }

    #[cfg(feature = "truenas")]
    #[test]
    fn the_host_of_a_connection_is_the_one_that_was_dialled_for_it() {
        let a = endpoint("ws://a");
        let mut redirects = Redirects::default();
        redirects.dial(0, &a);
        redirects.redirect(0, &a, &to("ws://b"));
        redirects.dial(0, &a);
        redirects.connected(0);
        redirects.dial(0, &a);
        redirects.dial(0, &a);

        assert_eq!(redirects.connected_host(), Some("b"));
    }
}
