//! Which operation a request is for, by its method and path.

/// What a request asks for. Names are decoded, and need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    ListProxies,
    CreateProxy,
    ShowProxy { proxy: String },
    UpdateProxy { proxy: String },
    DeleteProxy { proxy: String },
    ListToxics { proxy: String },
    AddToxic { proxy: String },
    ShowToxic { proxy: String, toxic: String },
    UpdateToxic { proxy: String, toxic: String },
    RemoveToxic { proxy: String, toxic: String },
    Populate,
    Reset,
    Version,
    Metrics,
    ListConnections,
    CloseConnection { id: String },
    Events,
    Batch,
}

/// Why a request has no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unroutable {
    /// No operation has this path.
    Path,
    /// An operation has this path, but with another method.
    Method,
}

/// Finds the operation of a method and a path without its query. A slash at the end makes another path.
pub(super) fn operation(method: &str, path: &str) -> Result<Operation, Unroutable> {
    let path = path.strip_prefix('/').ok_or(Unroutable::Path)?;
    let segments: Option<Vec<String>> = path.split('/').map(decoded).collect();
    let segments = segments.ok_or(Unroutable::Path)?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    if segments.contains(&"") {
        return Err(Unroutable::Path);
    }
    find(method, &segments).ok_or_else(|| {
        if is_known(&segments) {
            Unroutable::Method
        } else {
            Unroutable::Path
        }
    })
}

fn find(method: &str, path: &[&str]) -> Option<Operation> {
    let proxy = || path.get(1).copied().unwrap_or_default().to_owned();
    let toxic = || path.get(3).copied().unwrap_or_default().to_owned();
    Some(match (path, method) {
        (["proxies"], "GET") => Operation::ListProxies,
        (["proxies"], "POST") => Operation::CreateProxy,
        (["proxies", _], "GET") => Operation::ShowProxy { proxy: proxy() },
        (["proxies", _], "POST" | "PATCH") => Operation::UpdateProxy { proxy: proxy() },
        (["proxies", _], "DELETE") => Operation::DeleteProxy { proxy: proxy() },
        (["proxies", _, "toxics"], "GET") => Operation::ListToxics { proxy: proxy() },
        (["proxies", _, "toxics"], "POST") => Operation::AddToxic { proxy: proxy() },
        (["proxies", _, "toxics", _], "GET") => Operation::ShowToxic {
            proxy: proxy(),
            toxic: toxic(),
        },
        (["proxies", _, "toxics", _], "POST" | "PATCH") => Operation::UpdateToxic {
            proxy: proxy(),
            toxic: toxic(),
        },
        (["proxies", _, "toxics", _], "DELETE") => Operation::RemoveToxic {
            proxy: proxy(),
            toxic: toxic(),
        },
        (["populate"], "POST") => Operation::Populate,
        (["reset"], "POST") => Operation::Reset,
        (["version"], "GET") => Operation::Version,
        (["metrics"], "GET") => Operation::Metrics,
        (["lab", "connections"], "GET") => Operation::ListConnections,
        (["lab", "connections", id], "DELETE") => Operation::CloseConnection {
            id: (*id).to_owned(),
        },
        (["lab", "events"], "GET") => Operation::Events,
        (["lab", "batch"], "POST") => Operation::Batch,
        _ => return None,
    })
}

/// Whether an operation has this path, with any method.
fn is_known(path: &[&str]) -> bool {
    ["GET", "POST", "DELETE"]
        .iter()
        .any(|method| find(method, path).is_some())
}

/// A segment without percent-encoding; `None` if it is invalid.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_and_an_encoded_slash_is_part_of_a_name() {
        let operation = operation("PATCH", "/proxies/a%2fb/toxics/%C3%BC");

        let expected = Operation::UpdateToxic {
            proxy: "a/b".to_owned(),
            toxic: "ü".to_owned(),
        };
        assert_eq!(operation, Ok(expected));
    }

    #[test]
    fn an_unknown_path_and_a_wrong_method_are_different() {
        for (method, path, expected) in [
            ("GET", "/", Unroutable::Path),
            ("GET", "/proxies/", Unroutable::Path),
            ("GET", "/proxies//toxics", Unroutable::Path),
            ("GET", "/proxies/%zz", Unroutable::Path),
            ("GET", "/proxies/%ff", Unroutable::Path),
            ("GET", "/proxies/%f", Unroutable::Path),
            ("GET", "/proxies/a/toxics/b/c", Unroutable::Path),
            ("PUT", "/proxies", Unroutable::Method),
            ("HEAD", "/version", Unroutable::Method),
            ("GET", "/populate", Unroutable::Method),
            ("DELETE", "/proxies/a/toxics", Unroutable::Method),
            ("GET", "/lab/connections/1", Unroutable::Method),
        ] {
            assert_eq!(operation(method, path), Err(expected), "{method} {path}");
        }
    }
}
