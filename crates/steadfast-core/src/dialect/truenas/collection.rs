//! Changes of a collection, such as `pool.query` or `core.get_jobs`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A change of a collection: an item of [`Feed::collection`](crate::dialect::jsonrpc::Feed::collection).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Whether the entry is new, other or gone.
    pub kind: ChangeKind,
    /// The id of the entry, as raw JSON; empty if the event has none.
    pub id: Bytes,
    /// The entry, or those of its fields that changed, as raw JSON; `None` for a removed one.
    pub fields: Option<Bytes>,
}

/// What happened to an entry of a collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It has other fields.
    Changed,
    /// It does not exist any more.
    Removed,
}

#[derive(Deserialize)]
struct Params<'a> {
    msg: Msg,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Msg {
    Added,
    Changed,
    Removed,
}

impl Change {
    /// The change with these params of `collection_update`, whose memory it shares; `None` if they have another form.
    pub fn parse(params: &Bytes) -> Option<Self> {
        let parsed: Params<'_> = serde_json::from_slice(params).ok()?;
        let share = |raw: &RawValue| params.slice_ref(raw.get().as_bytes());
        Some(Self {
            kind: match parsed.msg {
                Msg::Added => ChangeKind::Added,
                Msg::Changed => ChangeKind::Changed,
                Msg::Removed => ChangeKind::Removed,
            },
            id: parsed.id.map(share).unwrap_or_default(),
            fields: parsed.fields.map(share),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_its_kind_its_id_and_its_fields() {
        let params = Bytes::from_static(
            br#"{"msg":"changed","collection":"pool.query","id":"a","fields":{"x":1}}"#,
        );
        let change = Change::parse(&params).expect("a change");
        assert_eq!(change.kind, ChangeKind::Changed);
        assert_eq!(change.id, br#""a""#.as_slice());
        assert_eq!(change.fields.as_deref(), Some(br#"{"x":1}"#.as_slice()));

        let removed = Change::parse(&Bytes::from_static(br#"{"msg":"removed","id":7}"#));
        let removed = removed.expect("a change");
        assert_eq!((removed.kind, removed.fields), (ChangeKind::Removed, None));
        let added = Change::parse(&Bytes::from_static(br#"{"msg":"added"}"#));
        assert_eq!(added.map(|it| it.kind), Some(ChangeKind::Added));
        for params in ["1", "{}", r#"{"msg":"other","id":1}"#] {
            assert_eq!(Change::parse(&Bytes::from_static(params.as_bytes())), None);
        }
    }
}
