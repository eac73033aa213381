//! What a client writes.

/// How the number of a request is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdForm {
    /// As a number: `7`.
    #[default]
    Number,
    /// As a string: `"7"`.
    String,
}

/// Appends a request; a notification if it has no id. `params` is JSON, an array or an object, and is omitted if it is
/// empty.
pub fn append_request(out: &mut Vec<u8>, id: Option<(u32, IdForm)>, method: &str, params: &[u8]) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","#);
    if let Some((id, form)) = id {
        out.extend_from_slice(br#""id":"#);
        append_id(out, id, form);
        out.push(b',');
    }
    out.extend_from_slice(br#""method":"#);
    append_string(out, method);
    if !params.is_empty() {
        out.extend_from_slice(br#","params":"#);
        out.extend_from_slice(params);
    }
    out.push(b'}');
}

/// Appends the error response to a request of the peer; `id` is its id as it was received.
pub fn append_error(out: &mut Vec<u8>, id: &str, code: i64, message: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(br#","error":{"code":"#);
    out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
    out.extend_from_slice(br#","message":"#);
    append_string(out, message);
    out.extend_from_slice(b"}}");
}

fn append_id(out: &mut Vec<u8>, id: u32, form: IdForm) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(id).as_bytes();
    match form {
        IdForm::Number => out.extend_from_slice(digits),
        IdForm::String => {
            out.push(b'"');
            out.extend_from_slice(digits);
            out.push(b'"');
        }
    }
}

/// Appends a text as JSON.
pub fn append_string(out: &mut Vec<u8>, text: &str) {
    // A `str` is always valid, and a `Vec` accepts every byte.
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok(), "a text is valid JSON");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(id: Option<(u32, IdForm)>, method: &str, params: &str) -> String {
        let mut out = Vec::new();
        append_request(&mut out, id, method, params.as_bytes());
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn requests_and_notifications_have_the_form_of_the_specification() {
        assert_eq!(
            request(Some((7, IdForm::Number)), "subtract", "[42,23]"),
            r#"{"jsonrpc":"2.0","id":7,"method":"subtract","params":[42,23]}"#
        );
        assert_eq!(
            request(Some((7, IdForm::String)), "a\"b", ""),
            r#"{"jsonrpc":"2.0","id":"7","method":"a\"b"}"#
        );
        assert_eq!(
            request(None, "update", r#"{"a":1}"#),
            r#"{"jsonrpc":"2.0","method":"update","params":{"a":1}}"#
        );
    }

    #[test]
    fn an_error_response_repeats_the_id_as_it_was() {
        let mut out = Vec::new();
        append_error(&mut out, r#""x-1""#, -32_601, "no such method");
        assert_eq!(
            out,
            br#"{"jsonrpc":"2.0","id":"x-1","error":{"code":-32601,"message":"no such method"}}"#
        );
    }
}
