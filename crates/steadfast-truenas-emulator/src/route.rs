//! Which request is for what: the paths of the middleware, and those with which tests control the emulator.

use crate::control::Control;
use crate::version::ApiVersion;

/// Where tests control the emulator; no path of the middleware begins with it.
const CONTROL: &str = "/_emulator/";

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A WebSocket with the API of this version.
    Api(ApiVersion),
    /// The names of the versions.
    Versions,
    /// The identity of the boot.
    BootId,
    /// The journal of executed calls.
    Journal,
    /// A request of a test.
    Control(Control),
    /// There is no such path.
    NotFound,
    /// The path exists, with another method.
    WrongMethod,
}

/// Finds out what a request to a server of this release is for. The path is without its query.
pub fn route(method: &str, path: &str, release: ApiVersion) -> Route {
    let found = if let Some(name) = path.strip_prefix(CONTROL) {
        control(name)
    } else {
        (public(path, release), "GET")
    };
    match found {
        (Route::NotFound, _) => Route::NotFound,
        (_, expected) if expected != method => Route::WrongMethod,
        (route, _) => route,
    }
}

fn public(path: &str, release: ApiVersion) -> Route {
    match path {
        "/api/current" => Route::Api(release),
        "/api/versions" => Route::Versions,
        "/api/boot_id" => Route::BootId,
        _ => path
            .strip_prefix("/api/")
            .and_then(ApiVersion::from_name)
            .filter(|version| *version <= release)
            .map_or(Route::NotFound, Route::Api),
    }
}

fn control(name: &str) -> (Route, &'static str) {
    let (action, argument) = name.split_once('/').unwrap_or((name, ""));
    let control = match (action, argument) {
        ("journal", "") => return (Route::Journal, "GET"),
        ("restart", "") => Control::Restart,
        ("expire-sessions", "") => Control::ExpireSessions,
        ("terminate-sessions", "") => Control::TerminateSessions,
        ("cut-connections", "") => Control::CutConnections,
        ("hold-calls", "") => Control::HoldCalls,
        ("release-calls", "") => Control::ReleaseCalls,
        ("lose-reply", method) if !method.is_empty() => Control::LoseReply {
            method: method.to_owned(),
        },
        ("fail-job", method) if !method.is_empty() => Control::FailJob {
            method: method.to_owned(),
        },
        ("become-standby", url) if !url.is_empty() => Control::BecomeStandby {
            url: url.to_owned(),
        },
        ("become-active", "") => Control::BecomeActive,
        ("end-subscriptions", collection) if !collection.is_empty() => Control::EndSubscriptions {
            collection: collection.to_owned(),
        },
        _ => return (Route::NotFound, "POST"),
    };
    (Route::Control(control), "POST")
}
