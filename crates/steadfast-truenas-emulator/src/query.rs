//! The filters and options that all `query` methods share, as far as they are emulated.

use std::cmp::Ordering;

use serde_json::Value;
use steadfast_machine::convert;

use crate::errors::{CallError, Errno};

/// Applies the filters and options of a query to rows.
///
/// Filters are lists of `[field, operator, value]`, all of which must hold; the operators are `=`, `!=`, `>`, `>=`, `<`,
/// `<=`, `in`, `nin`, `^` (begins with) and `$` (ends with). The options are `get`, `count`, `limit` and `offset`.
pub(crate) fn apply(rows: Vec<Value>, params: &[Value]) -> Result<Value, CallError> {
    let empty = Vec::new();
    let filters = params.first().and_then(Value::as_array).unwrap_or(&empty);
    let mut selected = Vec::new();
    for row in rows {
        if matches_all(&row, filters)? {
            selected.push(row);
        }
    }
    let option = |name: &str| params.get(1).and_then(|options| options.get(name));
    let is_set = |name: &str| option(name).and_then(Value::as_bool) == Some(true);
    let number = |name: &str| {
        let number = option(name).and_then(Value::as_u64).unwrap_or_default();
        convert::saturating::<usize>(number)
    };
    if is_set("count") {
        return Ok(selected.len().into());
    }
    if is_set("get") {
        let first = selected.into_iter().next();
        return first.ok_or_else(|| {
            CallError::invalid("query-filters", "does not match anything", Errno::NoEntry)
        });
    }
    let limit = match number("limit") {
        0 => usize::MAX,
        limit => limit,
    };
    let page = selected.into_iter().skip(number("offset")).take(limit);
    Ok(page.collect())
}

fn matches_all(row: &Value, filters: &[Value]) -> Result<bool, CallError> {
    for filter in filters {
        if !matches(row, filter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn matches(row: &Value, filter: &Value) -> Result<bool, CallError> {
    let invalid = |text: String| Err(CallError::invalid("query-filters", text, Errno::Invalid));
    let Some([Value::String(field), Value::String(operator), expected]) =
        filter.as_array().map(Vec::as_slice)
    else {
        return invalid(format!("Invalid filter {filter}"));
    };
    let actual = field
        .split('.')
        .try_fold(row, |value, name| value.get(name))
        .unwrap_or(&Value::Null);
    let order = order(actual, expected);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_listed = || {
        expected
            .as_array()
            .is_some_and(|list| list.contains(actual))
    };
    Ok(match operator.as_str() {
        "=" => actual == expected,
        "!=" => actual != expected,
        ">" => order == Some(Ordering::Greater),
        ">=" => order.is_some_and(Ordering::is_ge),
        "<" => order == Some(Ordering::Less),
        "<=" => order.is_some_and(Ordering::is_le),
        "in" => is_listed(),
        "nin" => !is_listed(),
        "^" => text(actual).starts_with(&text(expected)),
        "$" => text(actual).ends_with(&text(expected)),
        _ => return invalid(format!("Invalid operation: {operator}")),
    })
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
