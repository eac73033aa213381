//! The host and the port in URLs of services.

/// Replaces the host and the port of a URL.
pub(crate) fn with_authority(url: &str, authority: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return authority.to_owned();
    };
    let path = rest.find('/').and_then(|start| rest.get(start..));
    format!("{scheme}://{authority}{}", path.unwrap_or_default())
}

/// The host and the port of a URL.
pub(crate) fn authority_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next().map(str::to_owned)
}

/// The port of a URL with an explicit one.
pub(crate) fn port_of(url: &str) -> Option<u16> {
    let authority = authority_of(url)?;
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_scheme_and_path_when_its_address_is_replaced() {
        let url = "ws://127.0.0.1:20001/connection/websocket";

        assert_eq!(
            with_authority(url, "198.19.3.2:20001"),
            "ws://198.19.3.2:20001/connection/websocket"
        );
        assert_eq!(with_authority("redis://a:1", "b:2"), "redis://b:2");
    }

    #[test]
    fn the_port_of_a_url_follows_its_host() {
        assert_eq!(port_of("ws://127.0.0.1:8000/path:9"), Some(8000));
        assert_eq!(port_of("http://[::1]:80"), Some(80));
        for url in ["ws://localhost/path:9", "127.0.0.1:8000", ""] {
            assert_eq!(port_of(url), None, "{url}");
        }
    }
}
