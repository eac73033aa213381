//! The limits of the middleware on messages and on calls of one connection.

/// Calls of a connection that run at the same time; further ones wait.
pub(crate) const RUNNING_MAX: usize = 10;
/// Calls of a connection that run or wait; a further one is rejected.
pub(crate) const OPEN_MAX: usize = 20;

/// The longest message before the login, in characters.
const ANONYMOUS_MAX: usize = 8_192;
/// The longest message after the login, in characters.
const AUTHENTICATED_MAX: usize = 65_536;
/// The longest message of [`EXTENDED`], in characters.
const EXTENDED_MAX: usize = 2_097_152;
/// The methods whose messages may be longer.
const EXTENDED: [&str; 2] = ["filesystem.file_receive", "failover.datastore.sql"];

/// A message is too long: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
}

/// Before the login. The code is that of invalid text, although the text is valid.
const ANONYMOUS: TooLong = TooLong {
    code: 1007,
    reason: "Anonymous connection max message length is 8 kB",
};
/// After the login, also for methods with a greater limit.
const AUTHENTICATED: TooLong = TooLong {
    code: 1009,
    reason: "Max message length is 64 kB",
};

/// Checks the length of a message before it is parsed.
pub(crate) const fn check(is_authenticated: bool, characters: usize) -> Result<(), TooLong> {
    if !is_authenticated && characters > ANONYMOUS_MAX {
        return Err(ANONYMOUS);
    }
    if characters > EXTENDED_MAX {
        return Err(AUTHENTICATED);
    }
    Ok(())
}

/// Checks the length of a message whose method is known, so a longer one that is no JSON is a parse error.
pub(crate) fn check_method(characters: usize, method: Option<&str>) -> Result<(), TooLong> {
    if characters <= AUTHENTICATED_MAX || method.is_some_and(|it| EXTENDED.contains(&it)) {
        return Ok(());
    }
    Err(AUTHENTICATED)
}
