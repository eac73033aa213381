//! The paths of the middleware and of the emulator.

use steadfast_truenas_emulator::{ApiVersion, Control, Route, route};

const RELEASE: ApiVersion = ApiVersion::V25_10_5;

#[test]
fn the_current_version_is_that_of_the_release_and_older_ones_can_be_pinned() {
    let at = |path| route("GET", path, RELEASE);

    assert_eq!(at("/api/current"), Route::Api(RELEASE));
    assert_eq!(at("/api/v25.04.0"), Route::Api(ApiVersion::V25_04_0));
    assert_eq!(
        at("/api/v26.0.0"),
        Route::NotFound,
        "newer than the release"
    );
    assert_eq!(at("/api/v24.10"), Route::NotFound);
    assert_eq!(at("/api"), Route::NotFound);
}

#[test]
fn versions_and_the_identity_of_the_boot_are_read() {
    assert_eq!(route("GET", "/api/versions", RELEASE), Route::Versions);
    assert_eq!(route("GET", "/api/boot_id", RELEASE), Route::BootId);
    assert_eq!(route("POST", "/api/versions", RELEASE), Route::WrongMethod);
}

#[test]
fn a_server_offers_the_versions_up_to_its_release() {
    let names: Vec<&str> = ApiVersion::V25_10_0
        .offered()
        .map(ApiVersion::name)
        .collect();

    assert_eq!(names, ["v25.04.0", "v25.04.1", "v25.04.2", "v25.10.0"]);
}

#[test]
fn tests_control_the_emulator_by_post() {
    let at = |path| route("POST", path, RELEASE);
    let lose = Control::LoseReply {
        method: "pool.query".to_owned(),
    };

    assert_eq!(at("/_emulator/restart"), Route::Control(Control::Restart));
    assert_eq!(at("/_emulator/lose-reply/pool.query"), Route::Control(lose));
    let standby = Control::BecomeStandby {
        url: "wss://nas-b/api/current".to_owned(),
    };
    assert_eq!(
        at("/_emulator/become-standby/wss://nas-b/api/current"),
        Route::Control(standby)
    );
    let active = Route::Control(Control::BecomeActive);
    assert_eq!(at("/_emulator/become-active"), active);
    assert_eq!(at("/_emulator/become-standby"), Route::NotFound);
    assert_eq!(at("/_emulator/lose-reply"), Route::NotFound);
    assert_eq!(at("/_emulator/journal"), Route::WrongMethod);
    assert_eq!(route("GET", "/_emulator/journal", RELEASE), Route::Journal);
    assert_eq!(
        route("GET", "/_emulator/restart", RELEASE),
        Route::WrongMethod
    );
}
