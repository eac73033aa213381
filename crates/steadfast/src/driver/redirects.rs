//! The servers to which logins were redirected, instead of the endpoints of the builder.
//!
//! A redirect lasts as long as its server can be dialled. It is only followed to a server that is as secure: never from TLS
//! to a connection without it.

use std::collections::BTreeMap;

use steadfast_core::io::Attempt;

use crate::endpoint::Endpoint;

/// The most URLs of a redirect that are considered.
const URLS_MAX: usize = 8;

/// The redirects of a session: at most one for each endpoint.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    by_endpoint: BTreeMap<usize, Endpoint>,
    /// The newest attempt at a redirected endpoint, and the index of that.
    dialled: Option<(Attempt, usize)>,
}

impl Redirects {
    /// Redirects an endpoint with this index to the first of these URLs that is valid and as secure. Returns it; `None` if
    /// there is none, and the endpoint stays as it is.
    pub(super) fn redirect(
        &mut self,
        index: usize,
        from: &Endpoint,
        urls: &[String],
    ) -> Option<&Endpoint> {
        let mut urls = urls.iter().take(URLS_MAX);
        let to = urls.find_map(|url| from.redirected(url))?;
        self.by_endpoint.insert(index, to);
        self.by_endpoint.get(&index)
    }

    /// What an attempt dials instead of the endpoint with this index.
    pub(super) fn target(&mut self, attempt: Attempt, index: usize) -> Option<&Endpoint> {
        let target = self.by_endpoint.get(&index)?;
        self.dialled = Some((attempt, index));
        Some(target)
    }

    /// An attempt could not be dialled: its endpoint is tried as it was before the redirect.
    pub(super) fn dial_failed(&mut self, attempt: Attempt) {
        if let Some((_, index)) = self.dialled.take_if(|(dialled, _)| *dialled == attempt) {
            self.by_endpoint.remove(&index);
        }
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

    #[test]
    fn an_endpoint_is_tried_again_when_the_server_of_its_redirect_cannot_be_dialled() {
        let mut redirects = Redirects::default();
        redirects.redirect(0, &endpoint("ws://a"), &["ws://b".to_owned()]);
        assert!(redirects.target(Attempt(1), 0).is_some());

        redirects.dial_failed(Attempt(7));
        assert!(redirects.target(Attempt(2), 0).is_some(), "another attempt");
        redirects.dial_failed(Attempt(2));

        assert_eq!(redirects.target(Attempt(3), 0), None);
    }
}
