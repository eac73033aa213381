//! Values that JSON has no form for, as the API writes and reads them: objects with one member whose name begins with `$`.
//!
//! They are types for the params and the results of calls, in both directions. A value of another form is an error.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An instant, in milliseconds since the beginning of 1970 in UTC; negative before: `{"$date": 1767225600000}`.
///
/// ```
/// use steadfast_core::dialect::truenas::extended_json::DateTime;
///
/// let text = r#"{"$date":1767225600000}"#;
/// let at: DateTime = serde_json::from_str(text)?;
/// assert_eq!(at, DateTime { millis: 1_767_225_600_000 });
/// assert_eq!(serde_json::to_string(&at)?, text);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "DateTimeForm", into = "DateTimeForm")]
pub struct DateTime {
    /// Milliseconds since the beginning of 1970 in UTC.
    pub millis: i64,
}

/// A time of day: `{"$time": "23:59:59"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "TimeForm", into = "TimeForm")]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
    second: u8,
}

/// A day of the calendar: `{"$type": "date", "$value": "2026-01-31"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "DateForm", into = "DateForm")]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// A set, in the order of the server: `{"$set": [1, 2]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set<T> {
    /// The elements; the server sends none twice.
    #[serde(rename = "$set")]
    pub elements: Vec<T>,
}

/// An IPv4 address with the length of its network's prefix in bits: `{"$ipv4_interface": "192.0.2.1/24"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ipv4Form", into = "Ipv4Form")]
pub struct Ipv4Interface {
    address: Ipv4Addr,
    prefix: u8,
}

/// An IPv6 address with the length of its network's prefix in bits: `{"$ipv6_interface": "2001:db8::1/64"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Ipv6Form", into = "Ipv6Form")]
pub struct Ipv6Interface {
    address: Ipv6Addr,
    prefix: u8,
}

/// Why a value is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// It is no time of a day in the form `HH:MM:SS`.
    #[error("no time of a day in the form HH:MM:SS")]
    TimeOfDay,
    /// It is no day of the calendar in the form `YYYY-MM-DD`.
    #[error("no date in the form YYYY-MM-DD")]
    Date,
    /// It is no address with the length of a prefix.
    #[error("no address with the length of a prefix, such as 192.0.2.1/24")]
    Interface,
}

impl TimeOfDay {
    /// The time with this hour below 24, and this minute and second below 60.
    ///
    /// # Errors
    ///
    /// There is no such time.
    pub const fn new(hour: u8, minute: u8, second: u8) -> Result<Self, ValueError> {
        if hour < 24 && minute < 60 && second < 60 {
            Ok(Self {
                hour,
                minute,
                second,
            })
        } else {
            Err(ValueError::TimeOfDay)
        }
    }

    /// The hour, below 24.
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// The minute, below 60.
    pub const fn minute(self) -> u8 {
        self.minute
    }

    /// The second, below 60.
    pub const fn second(self) -> u8 {
        self.second
    }
}

impl Date {
    /// The day of this year from 1 to 9999, this month from 1, and this day of the month from 1.
    ///
    /// # Errors
    ///
    /// There is no such day.
    pub const fn new(year: u16, month: u8, day: u8) -> Result<Self, ValueError> {
        let is_valid = year >= 1 && year <= 9_999 && day >= 1 && day <= days_of(year, month);
        if is_valid {
            Ok(Self { year, month, day })
        } else {
            Err(ValueError::Date)
        }
    }

    /// The year, from 1 to 9999.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, from 1.
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, from 1.
    pub const fn day(self) -> u8 {
        self.day
    }
}

/// The number of days of a month; 0 if there is no such month.
const fn days_of(year: u16, month: u8) -> u8 {
    let is_leap_year =
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap_year => 29,
        2 => 28,
        _ => 0,
    }
}

impl Ipv4Interface {
    /// An address in a network with this prefix, of at most 32 bits.
    ///
    /// # Errors
    ///
    /// The prefix is longer.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Result<Self, ValueError> {
        if prefix <= 32 {
            Ok(Self { address, prefix })
        } else {
            Err(ValueError::Interface)
        }
    }

    /// The address, without the prefix.
    pub const fn address(self) -> Ipv4Addr {
        self.address
    }

    /// The length of the network's prefix, at most 32 bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }
}

impl Ipv6Interface {
    /// An address in a network with this prefix, of at most 128 bits.
    ///
    /// # Errors
    ///
    /// The prefix is longer.
    pub const fn new(address: Ipv6Addr, prefix: u8) -> Result<Self, ValueError> {
        if prefix <= 128 {
            Ok(Self { address, prefix })
        } else {
            Err(ValueError::Interface)
        }
    }

    /// The address, without the prefix.
    pub const fn address(self) -> Ipv6Addr {
        self.address
    }

    /// The length of the network's prefix, at most 128 bits.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Ipv4Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Ipv6Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DateTimeForm {
    #[serde(rename = "$date")]
    date: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeForm {
    #[serde(rename = "$time")]
    time: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DateForm {
    #[serde(rename = "$type")]
    kind: DateKind,
    #[serde(rename = "$value")]
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DateKind {
    Date,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ipv4Form {
    #[serde(rename = "$ipv4_interface")]
    interface: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ipv6Form {
    #[serde(rename = "$ipv6_interface")]
    interface: String,
}

impl From<DateTimeForm> for DateTime {
    fn from(form: DateTimeForm) -> Self {
        Self { millis: form.date }
    }
}

impl From<DateTime> for DateTimeForm {
    fn from(at: DateTime) -> Self {
        Self { date: at.millis }
    }
}

impl TryFrom<TimeForm> for TimeOfDay {
    type Error = ValueError;

    fn try_from(form: TimeForm) -> Result<Self, ValueError> {
        let parts = numbers(&form.time, ':', [2, 2, 2]);
        let [hour, minute, second] = parts.ok_or(ValueError::TimeOfDay)?;
        let part = |number: u16| u8::try_from(number).map_err(|_error| ValueError::TimeOfDay);
        Self::new(part(hour)?, part(minute)?, part(second)?)
    }
}

impl From<TimeOfDay> for TimeForm {
    fn from(time: TimeOfDay) -> Self {
        Self {
            time: time.to_string(),
        }
    }
}

impl TryFrom<DateForm> for Date {
    type Error = ValueError;

    fn try_from(form: DateForm) -> Result<Self, ValueError> {
        let parts = numbers(&form.value, '-', [4, 2, 2]);
        let [year, month, day] = parts.ok_or(ValueError::Date)?;
        let part = |number: u16| u8::try_from(number).map_err(|_error| ValueError::Date);
        Self::new(year, part(month)?, part(day)?)
    }
}

impl From<Date> for DateForm {
    fn from(date: Date) -> Self {
        Self {
            kind: DateKind::Date,
            value: date.to_string(),
        }
    }
}

impl TryFrom<Ipv4Form> for Ipv4Interface {
    type Error = ValueError;

    fn try_from(form: Ipv4Form) -> Result<Self, ValueError> {
        let (address, prefix) = interface(&form.interface)?;
        Self::new(address, prefix)
    }
}

impl From<Ipv4Interface> for Ipv4Form {
    fn from(interface: Ipv4Interface) -> Self {
        Self {
            interface: interface.to_string(),
        }
    }
}

impl TryFrom<Ipv6Form> for Ipv6Interface {
    type Error = ValueError;

    fn try_from(form: Ipv6Form) -> Result<Self, ValueError> {
        let (address, prefix) = interface(&form.interface)?;
        Self::new(address, prefix)
    }
}

impl From<Ipv6Interface> for Ipv6Form {
    fn from(interface: Ipv6Interface) -> Self {
        Self {
            interface: interface.to_string(),
        }
    }
}

/// Three numbers with these numbers of digits.
fn numbers(text: &str, separator: char, digits: [usize; 3]) -> Option<[u16; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|it| it.is_ascii_digit());
        *number = part.parse().ok().filter(|_| is_number)?;
    }
    parts.next().is_none().then_some(found)
}

fn interface<A: FromStr>(text: &str) -> Result<(A, u8), ValueError> {
    let parts = text.split_once('/').and_then(|(address, prefix)| {
        let is_number = prefix.bytes().all(|it| it.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| is_number)?;
        Some((address.parse().ok()?, prefix))
    });
    parts.ok_or(ValueError::Interface)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;

    #[track_caller]
    fn check<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(text: &str, value: &T) {
        assert_eq!(serde_json::to_string(value).expect("it is written"), text);
        assert_eq!(&serde_json::from_str::<T>(text).expect("it is read"), value);
    }

    #[track_caller]
    fn check_invalid<T: DeserializeOwned + fmt::Debug>(texts: &[&str]) {
        for text in texts {
            assert!(serde_json::from_str::<T>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_value_has_the_form_of_the_api() {
        check(r#"{"$date":-1}"#, &DateTime { millis: -1 });
        let time = TimeOfDay::new(7, 5, 59).expect("valid");
        check(r#"{"$time":"07:05:59"}"#, &time);
        let date = Date::new(2024, 2, 29).expect("valid");
        check(r#"{"$type":"date","$value":"2024-02-29"}"#, &date);
        let elements = vec![DateTime { millis: 1 }];
        check(r#"{"$set":[{"$date":1}]}"#, &Set { elements });
        let four = Ipv4Interface::new(Ipv4Addr::LOCALHOST, 8).expect("valid");
        check(r#"{"$ipv4_interface":"127.0.0.1/8"}"#, &four);
        let six = Ipv6Interface::new(Ipv6Addr::LOCALHOST, 128).expect("valid");
        check(r#"{"$ipv6_interface":"::1/128"}"#, &six);
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let date: Date =
            serde_json::from_str(r#"{"$value":"0001-12-31","$type":"date"}"#).expect("valid");
        assert_eq!((date.year(), date.month(), date.day()), (1, 12, 31));
    }

    #[test]
    fn values_of_another_form_are_errors() {
        check_invalid::<DateTime>(&[
            "1",
            "{}",
            r#"{"$date":"1"}"#,
            r#"{"$date":1.5}"#,
            r#"{"$date":1,"a":2}"#,
            r#"{"$date":9223372036854775808}"#,
        ]);
        check_invalid::<TimeOfDay>(&[
            r#"{"$time":"24:00:00"}"#,
            r#"{"$time":"00:60:00"}"#,
            r#"{"$time":"00:00:60"}"#,
            r#"{"$time":"0:00:00"}"#,
            r#"{"$time":"+1:00:00"}"#,
            r#"{"$time":"00:00"}"#,
            r#"{"$time":"00:00:00:00"}"#,
            r#"{"$time":"é0:00:0"}"#,
        ]);
        check_invalid::<Date>(&[
            r#"{"$type":"date","$value":"2023-02-29"}"#,
            r#"{"$type":"date","$value":"1900-02-29"}"#,
            r#"{"$type":"date","$value":"2023-13-01"}"#,
            r#"{"$type":"date","$value":"2023-00-01"}"#,
            r#"{"$type":"date","$value":"2023-01-00"}"#,
            r#"{"$type":"date","$value":"0000-01-01"}"#,
            r#"{"$type":"date","$value":"2023-1-1"}"#,
            r#"{"$type":"time","$value":"2023-01-01"}"#,
            r#"{"$value":"2023-01-01"}"#,
        ]);
        check_invalid::<Ipv4Interface>(&[
            r#"{"$ipv4_interface":"127.0.0.1"}"#,
            r#"{"$ipv4_interface":"127.0.0.1/33"}"#,
            r#"{"$ipv4_interface":"127.0.0.1/+8"}"#,
            r#"{"$ipv4_interface":"::1/8"}"#,
            r#"{"$ipv4_interface":"127.0.0.1/8/8"}"#,
        ]);
        check_invalid::<Ipv6Interface>(&[
            r#"{"$ipv6_interface":"::1/129"}"#,
            r#"{"$ipv6_interface":"::1/256"}"#,
            r#"{"$ipv6_interface":"127.0.0.1/8"}"#,
        ]);
        check_invalid::<Set<u8>>(&["[1]", r#"{"$set":1}"#, r#"{"$set":[256]}"#]);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn each_value_is_read_as_it_was_written(
            millis in any::<i64>(),
            (hour, minute, second) in (0..24_u8, 0..60_u8, 0..60_u8),
            (year, month, day) in (1..=9_999_u16, 1..=12_u8, 1..=28_u8),
            four in (any::<Ipv4Addr>(), 0..=32_u8),
            six in (any::<Ipv6Addr>(), 0..=128_u8),
            elements in proptest::collection::vec(any::<i64>(), 0..4),
        ) {
            fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
                let text = serde_json::to_string(value).expect("it is written");
                serde_json::from_str(&text).expect("it is read")
            }
            let at = DateTime { millis };
            prop_assert_eq!(again(&at), at);
            let time = TimeOfDay::new(hour, minute, second).expect("valid");
            prop_assert_eq!(again(&time), time);
            let date = Date::new(year, month, day).expect("valid");
            prop_assert_eq!(again(&date), date);
            let four = Ipv4Interface::new(four.0, four.1).expect("valid");
            prop_assert_eq!(again(&four), four);
            let six = Ipv6Interface::new(six.0, six.1).expect("valid");
            prop_assert_eq!(again(&six), six);
            let set = Set { elements };
            prop_assert_eq!(again(&set), set);
        }
    }
}
