//! The target of a redirect, for the error that names it. Redirects are not followed: the token and the header fields of
//! the client are for the configured server, and a redirect can lead to any other.

use httparse::Response;

use super::response::field;

/// Longest target that is reported, in bytes.
const LOCATION_BYTES_MAX: usize = 256;

/// Returns the `Location` without user name, password, query and fragment, which may contain secrets; `None` if it is
/// missing, too long, or has other characters than those of a URL.
pub(super) fn location(response: &Response<'_, '_>) -> Option<String> {
    let location = str::from_utf8(field(response, "location")?).ok()?.trim();
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let (location, _) = location.split_at(end);
    let is_printable = location.bytes().all(|byte| byte.is_ascii_graphic());
    if location.is_empty() || location.len() > LOCATION_BYTES_MAX || !is_printable {
        return None;
    }
    Some(without_credentials(location))
}

fn without_credentials(location: &str) -> String {
    let Some((scheme, rest)) = location.split_once("//") else {
        return location.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}//{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::super::response::parse;
    use super::*;

    #[test]
    fn the_target_of_a_redirect_is_shown_without_what_may_be_secret() {
        for (field, expected) in [
            (
                "Location: https://a.example/ws?token=SECRET\r\n",
                Some("https://a.example/ws"),
            ),
            ("location: /login#SECRET\r\n", Some("/login")),
            (
                "Location: wss://me:SECRET@a.example:8443/ws@2\r\n",
                Some("wss://a.example:8443/ws@2"),
            ),
            ("Location: //b.example\r\n", Some("//b.example")),
            ("Location: ?token=SECRET\r\n", None),
            ("Location: https://a b\r\n", None),
            ("", None),
        ] {
            let response = format!("HTTP/1.1 307 Moved\r\n{field}\r\n");

            let (_, location) = parse(response.as_bytes(), |response| Ok(location(response)))
                .unwrap()
                .unwrap();

            assert_eq!(location.as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn a_long_target_is_not_shown() {
        let path = "x".repeat(LOCATION_BYTES_MAX);
        let response = format!("HTTP/1.1 307 Moved\r\nLocation: /{path}\r\n\r\n");

        let parsed = parse(response.as_bytes(), |response| Ok(location(response)));

        assert_eq!(parsed.unwrap().unwrap().1, None);
    }
}
