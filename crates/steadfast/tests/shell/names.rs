//! Tests of the public API itself: types that a user meets can be named.

const fn is_send<T: Send>() {}

#[test]
fn every_type_that_a_user_meets_has_a_name() {
    is_send::<steadfast::Instant>();
    is_send::<steadfast::centrifuge::ReplyError>();
    is_send::<steadfast::DialErrorKind>();
    is_send::<steadfast::DialStage>();
    is_send::<steadfast::Endpoint>();
    is_send::<steadfast::ReadinessCheck>();
    is_send::<steadfast::StageTimeouts>();
    is_send::<steadfast::error::EndpointError>();
    is_send::<steadfast::error::HeaderError>();
    is_send::<steadfast::error::ProxyError>();
    is_send::<steadfast::error::PolicyError>();
    is_send::<steadfast::error::SessionSetting>();
}
