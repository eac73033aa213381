//! Fields of which an object is expected to have one: the kinds of a message.

/// One of several fields, of which an object is expected to have one.
pub(crate) trait Alternative {
    /// The names of all fields, the first one first.
    const FIELDS: &'static [&'static str];

    /// Returns the name of this field.
    fn field(&self) -> &'static str;
}

/// Keeps the alternative that is the first in the order of the fields.
#[inline]
pub(crate) fn keep_first<T: Alternative>(kept: &mut Option<T>, new: T) {
    if kept.as_ref().is_none_or(|kept| precedes(&new, kept)) {
        *kept = Some(new);
    }
}

#[cold]
fn precedes<T: Alternative>(new: &T, kept: &T) -> bool {
    let place = |field| T::FIELDS.iter().position(|it| *it == field);
    place(new.field()) < place(kept.field())
}
