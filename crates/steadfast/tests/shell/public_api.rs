//! The types and futures of the public API, so that a test notices one that it does not cover.

use std::collections::BTreeSet;

/// The list of the public API, which `cargo xtask api` compares with the sources.
const API: &str = include_str!("../../api.txt");

/// The paths of the types, without generics.
pub(crate) fn types() -> BTreeSet<String> {
    let path = |line: &str| {
        let (_, item) = line
            .split_once("pub struct ")
            .or_else(|| line.split_once("pub enum "))?;
        // A struct without named fields is listed with them.
        let item = item.split('(').next().unwrap_or_default();
        Some(without_generics(item))
    };
    API.lines().filter_map(path).collect()
}

/// The names of the constants in `steadfast::defaults`.
pub(crate) fn defaults() -> BTreeSet<String> {
    let constants = API.lines().filter_map(|line| {
        let (name, _) = line
            .strip_prefix("pub const steadfast::defaults::")?
            .split_once(':')?;
        Some(name.to_owned())
    });
    constants.collect()
}

/// The async methods by their paths, and the types that are polled as `Future for PATH` and `Stream for PATH`.
pub(crate) fn futures() -> BTreeSet<String> {
    let is_future = |line: &&str| {
        let declared = [
            " async fn ",
            "core::future::future::Future for ",
            "futures_core::stream::Stream for ",
        ];
        // The parameters of a function and their bounds may be futures of the application.
        let returned = line.split_once(") -> ").map_or("", |(_, result)| result);
        let returned = returned.split(" where ").next().unwrap_or_default();
        declared.iter().any(|it| line.contains(it)) || returned.contains("::Future")
    };
    let name = |line: &str| {
        let line = without_generics(line);
        if let Some((_, function)) = line.split_once(" async fn ") {
            return function.split('(').next().unwrap_or_default().to_owned();
        }
        let (first, of) = line.split_once(" for ").unwrap_or((&line, ""));
        let of = of.split(' ').next().unwrap_or_default();
        let name = first.rsplit(':').next().unwrap_or_default();
        format!("{name} for {of}")
    };
    API.lines().filter(is_future).map(name).collect()
}

/// An item without what is between angle brackets; the arrow of a function is not one.
pub(crate) fn without_generics(item: &str) -> String {
    let mut depth = 0_usize;
    let mut before = ' ';
    let mut text = String::new();
    for letter in item.chars() {
        let is_end = letter == '>' && before != '-';
        if letter == '<' {
            depth += 1;
        } else if is_end {
            depth = depth.saturating_sub(1);
        } else if depth == 0 {
            text.push(letter);
        }
        before = letter;
    }
    text
}
