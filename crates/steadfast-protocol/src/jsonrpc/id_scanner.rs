//! The id of a response that is too long to be kept, found while it arrives.
//!
//! The scanner follows strings, escapes and the depth of the JSON. It keeps the name of the present member, as far as it can
//! be of interest, and the value of the member `id`; all else is only counted. It does not validate the JSON.

use super::ResponseId;
use super::incoming::response_id;

/// The longest id of a message that is read, in bytes of raw JSON. Ids of clients of this crate are shorter.
pub const ID_BYTES_MAX: usize = 256;
/// The longest name of a member that is compared, in bytes of raw JSON: `method` in which each letter is escaped.
const NAME_BYTES_MAX: usize = 38;

/// Finds the id of a response that arrives in parts. It takes less than 1 kB, however long the response is.
///
/// ```
/// use steadfast_protocol::jsonrpc::{IdScanner, ResponseId};
///
/// let mut scanner = IdScanner::default();
/// for part in [&br#"{"result":[{"id":1}],"i"#[..], br#"d":7}"#] {
///     scanner.add(part);
/// }
/// assert_eq!(scanner.finish(), Some(ResponseId::Number(7)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct IdScanner {
    place: Place,
    /// Where the present string is.
    string: StringState,
    /// Open objects and arrays inside the present member.
    depth: u64,
    /// The name of the present member.
    name: Kept<NAME_BYTES_MAX>,
    /// What the name says about the value.
    member: Member,
    id: Kept<ID_BYTES_MAX>,
    ids: u8,
    has_method: bool,
}

/// What is expected next, outside of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    BeforeObject,
    BeforeName,
    InName,
    AfterName,
    InValue,
    AfterObject,
    /// It is no object: a batch, or no JSON.
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum StringState {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Member {
    Id,
    #[default]
    Other,
}

/// The first bytes of a text.
#[derive(Clone, Debug, Default)]
struct Kept<const MAX: usize> {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl<const MAX: usize> Kept<MAX> {
    fn push(&mut self, byte: u8) {
        if self.bytes.len() < MAX {
            self.bytes.push(byte);
        } else {
            self.is_too_long = true;
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.is_too_long = false;
    }

    /// The text if it was kept as a whole.
    fn whole(&self) -> Option<&[u8]> {
        (!self.is_too_long).then_some(self.bytes.as_slice())
    }
}

impl IdScanner {
    /// Scans the next part of the response.
    pub fn add(&mut self, part: &[u8]) {
        let mut rest = part;
        while let Some((byte, after)) = rest.split_first() {
            self.step(*byte);
            rest = after;
            // Most of a long response is inside of strings and values of no interest.
            if self.place == Place::InValue && self.member == Member::Other {
                rest = self.skip(rest);
            }
        }
    }

    /// The id, if the text was one object with at most one id, and without a method, which makes it a request of the peer.
    pub fn finish(self) -> Option<ResponseId> {
        if self.place != Place::AfterObject || self.has_method {
            return None;
        }
        match self.ids {
            0 => Some(ResponseId::Null),
            1 => {
                let raw = self.id.whole()?.trim_ascii();
                serde_json::from_slice(raw).ok().map(response_id)
            }
            _ => None,
        }
    }

    /// Skips what changes neither the depth nor the state of strings; returns the rest.
    fn skip<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        let is_plain = |byte: &u8| match self.string {
            StringState::Outside => !matches!(byte, b'"' | b'{' | b'}' | b'[' | b']' | b','),
            StringState::Inside => !matches!(byte, b'"' | b'\\'),
            StringState::Escaped => false,
        };
        let plain = rest.iter().take_while(|byte| is_plain(byte)).count();
        rest.get(plain..).unwrap_or_default()
    }

    fn step(&mut self, byte: u8) {
        match self.place {
            Place::Other => {}
            Place::InName => self.step_in_name(byte),
            Place::InValue => self.step_in_value(byte),
            Place::BeforeObject | Place::BeforeName | Place::AfterName | Place::AfterObject
                if byte.is_ascii_whitespace() => {}
            Place::BeforeObject => self.expect(byte, b'{', Place::BeforeName),
            Place::BeforeName if byte == b'}' => self.place = Place::AfterObject,
            Place::BeforeName => {
                self.name.clear();
                self.name.push(byte);
                self.string = StringState::Inside;
                self.expect(byte, b'"', Place::InName);
            }
            Place::AfterName => self.expect(byte, b':', Place::InValue),
            Place::AfterObject => self.place = Place::Other,
        }
    }

    fn expect(&mut self, byte: u8, expected: u8, next: Place) {
        self.place = if byte == expected { next } else { Place::Other };
    }

    fn step_in_name(&mut self, byte: u8) {
        self.name.push(byte);
        self.step_in_string(byte);
        if self.string == StringState::Outside {
            self.place = Place::AfterName;
            self.on_name();
        }
    }

    /// The name of a member is complete.
    fn on_name(&mut self) {
        let raw = self.name.whole();
        let name: Option<String> = raw.and_then(|raw| serde_json::from_slice(raw).ok());
        self.member = Member::Other;
        match name.as_deref() {
            Some("id") => {
                self.member = Member::Id;
                self.ids = self.ids.saturating_add(1);
                self.id.clear();
            }
            Some("method") => self.has_method = true,
            Some(_) | None => {}
        }
    }

    fn step_in_value(&mut self, byte: u8) {
        let is_end = self.depth == 0
            && self.string == StringState::Outside
            && matches!(byte, b',' | b'}' | b']');
        if is_end {
            self.place = match byte {
                b',' => Place::BeforeName,
                b'}' => Place::AfterObject,
                _ => Place::Other,
            };
            return;
        }
        if self.member == Member::Id {
            self.id.push(byte);
        }
        if self.string != StringState::Outside {
            return self.step_in_string(byte);
        }
        match byte {
            b'"' => self.string = StringState::Inside,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth -= 1,
            _ => {}
        }
    }

    const fn step_in_string(&mut self, byte: u8) {
        self.string = match (self.string, byte) {
            (StringState::Escaped, _) => StringState::Inside,
            (StringState::Inside, b'\\') => StringState::Escaped,
            (StringState::Inside, b'"') => StringState::Outside,
            (state, _) => state,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    /// What the scanner finds in a text that arrives in parts of this length.
    fn scan(text: &[u8], part: usize) -> Option<ResponseId> {
        let mut scanner = IdScanner::default();
        text.chunks(part.max(1)).for_each(|part| scanner.add(part));
        scanner.finish()
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&ResponseId>) {
        for part in 1..=text.len() {
            let found = scan(text.as_bytes(), part);
            assert_eq!(found.as_ref(), expected, "{text} in parts of {part} bytes");
        }
    }

    #[test]
    fn the_id_is_found_before_and_after_the_result_in_any_form() {
        for id in ["7", r#""7""#, "7.0", " 7 "] {
            for text in [
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":[1,{{"id":8}}]}}"#),
                format!(r#"{{"result":{{"id":8,"a":[{{"id":9}}]}},"id":{id}}}"#),
                format!(" {{ \"result\" : \"\\\"id\\\":8,}}\\\\\" ,\n\"id\"\t:{id}}} "),
                format!(r#"{{"result":1,"\u0069d":{id},"\u0072esult":2}}"#),
                format!(r#"{{"error":{{"code":1,"data":"]}}"}},"id":{id}}}"#),
            ] {
                check(&text, Some(&ResponseId::Number(7)));
            }
        }
    }

    #[test]
    fn a_response_without_an_id_of_this_client_is_recognized() {
        check(r#"{"result":[1,2]}"#, Some(&ResponseId::Null));
        check(r#"{"id":null,"result":1}"#, Some(&ResponseId::Null));
        check("{}", Some(&ResponseId::Null));
        let unknown = ResponseId::Unknown(r#""a\"b""#.to_owned());
        check(r#"{"result":1,"id":"a\"b"}"#, Some(&unknown));
    }

    #[test]
    fn requests_batches_and_what_is_no_object_have_no_id() {
        for text in [
            r#"{"method":"m","id":7,"params":[]}"#,
            r#"{"id":7,"meth\u006fd":"m"}"#,
            r#"[{"id":7,"result":1}]"#,
            r#"{"id":7,"result":1,"id":8}"#,
            r#"{"id":7,"result":1"#,
            r#"{"id":7,"result":[1}"#,
            r#"{"id":7,"result":1}]"#,
            r#"{"id":7]"#,
            r#"{"id" 7}"#,
            r#"{"id":}"#,
            r#"{"id":7x}"#,
            "{id:7}",
            "",
            "7",
        ] {
            check(text, None);
        }
        let long = format!(r#"{{"id":"{}","result":1}}"#, "a".repeat(ID_BYTES_MAX));
        assert_eq!(scan(long.as_bytes(), 1), None);
    }

    #[test]
    fn a_long_response_takes_no_memory() {
        let mut scanner = IdScanner::default();
        scanner.add(br#"{""#);
        for _ in 0..1_000 {
            scanner.add(&[b'a'; 1_000]);
        }
        scanner.add(br#"":[["#);
        for _ in 0..1_000 {
            scanner.add(br#"{"id":[1,"]}"]},["#);
        }

        let kept = scanner.name.bytes.capacity() + scanner.id.bytes.capacity();
        assert!(kept < 512, "{kept}");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],:é ]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            let name = prop_oneof![Just("id".to_owned()), "[a-z\"\\\\]{0,4}".boxed()];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(name, inner, 0..4)
                    .prop_map(|it| Value::from(it.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn the_id_is_that_which_a_parser_finds(
            members in proptest::collection::btree_map("[a-z\"\\\\]{0,3}", value(), 0..5),
            id in any::<u32>(),
            part in 1..40_usize,
        ) {
            let mut object: Map<_, _> = members.into_iter().collect();
            object.remove("id");
            object.insert("id".to_owned(), Value::from(id));
            let text = Value::from(object).to_string();

            prop_assert_eq!(scan(text.as_bytes(), part), Some(ResponseId::Number(id)));
        }

        #[test]
        fn any_bytes_give_the_same_outcome_however_they_are_split(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(br#"{}[]":,\id7 "#.to_vec())],
                0..60,
            ),
            part in 1..20_usize,
        ) {
            prop_assert_eq!(scan(&bytes, part), scan(&bytes, usize::MAX));
        }
    }
}
