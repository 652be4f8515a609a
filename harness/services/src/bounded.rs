//! Bounds of what people write in a sweep file, for serde's `default` and `deserialize_with`.

use std::fmt;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::addresses::MAX_SERVICES;

/// `true`: what is on unless it is switched off.
pub const fn yes() -> bool {
    true
}

/// No scale is left out.
pub const fn any_services() -> u32 {
    MAX_SERVICES
}

/// 60 s.
pub fn default_limit() -> f64 {
    60.0
}

/// Text that says something.
///
/// # Errors
/// If it is something else.
pub fn non_empty<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if text.trim().is_empty() {
        return Err(D::Error::invalid_value(Unexpected::Str(&text), &"a question, in words"));
    }
    Ok(text)
}

/// A number from MIN to MAX.
///
/// # Errors
/// If it is something else.
pub fn within<'de, D: Deserializer<'de>, const MIN: u32, const MAX: u32>(input: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(input)?;
    in_range(number, MIN, MAX).map_err(D::Error::custom)
}

/// A number from `min` to `max`.
///
/// # Errors
/// If it is something else.
pub fn in_range(number: i64, min: u32, max: u32) -> Result<u32, String> {
    match u32::try_from(number) {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("{number} is out of range; allowed: {min} to {max}")),
    }
}

/// Seconds: above 0, at most 1,000,000.
///
/// # Errors
/// If it is something else.
pub fn seconds<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Integer(i64),
        Float(f64),
    }
    let number =
        match Number::deserialize(input).map_err(|_| D::Error::custom("expected a number of seconds"))? {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        };
    if number > 0.0 && number <= 1e6 {
        return Ok(number);
    }
    Err(D::Error::custom(format!("{number} is out of range; allowed: above 0 to 1,000,000 seconds")))
}

/// As [`seconds`], for what may be absent.
///
/// # Errors
/// If it is something else.
pub fn some_seconds<'de, D: Deserializer<'de>>(input: D) -> Result<Option<f64>, D::Error> {
    seconds(input).map(Some)
}

/// As [`distinct`], for what may be absent.
///
/// # Errors
/// If it is something else.
pub fn some_distinct<'de, D: Deserializer<'de>, T: Deserialize<'de> + PartialEq + fmt::Debug>(
    input: D,
) -> Result<Option<Vec<T>>, D::Error> {
    distinct(input).map(Some)
}

/// As [`service_counts`], for what may be absent.
///
/// # Errors
/// If it is something else.
pub fn some_service_counts<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<u32>>, D::Error> {
    service_counts(input).map(Some)
}

/// A list with something in it and nothing twice.
///
/// # Errors
/// If it is something else.
pub fn distinct<'de, D: Deserializer<'de>, T: Deserialize<'de> + PartialEq + fmt::Debug>(
    input: D,
) -> Result<Vec<T>, D::Error> {
    let list = Vec::<T>::deserialize(input)?;
    check_distinct(&list).map_err(D::Error::custom)?;
    Ok(list)
}

/// As [`distinct`].
///
/// # Errors
/// If it is something else.
pub fn check_distinct<T: PartialEq + fmt::Debug>(list: &[T]) -> Result<(), String> {
    if list.is_empty() {
        return Err("an empty list; leave the section out to measure nothing".into());
    }
    match list.iter().enumerate().find(|(index, item)| list[..*index].contains(item)) {
        Some((index, item)) => Err(format!("entry {} repeats an earlier one: {item:?}", index + 1)),
        None => Ok(()),
    }
}

/// Distinct numbers from 1 to `max`.
///
/// # Errors
/// If it is something else.
pub fn counts<'de, D: Deserializer<'de>>(input: D, max: u32) -> Result<Vec<u32>, D::Error> {
    let list = Vec::<i64>::deserialize(input)?;
    check_distinct(&list).map_err(D::Error::custom)?;
    list.into_iter()
        .map(|number| in_range(number, 1, max))
        .collect::<Result<_, _>>()
        .map_err(D::Error::custom)
}

/// Numbers of Services.
///
/// # Errors
/// If it is something else.
pub fn service_counts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u32>, D::Error> {
    counts(input, MAX_SERVICES)
}

/// Numbers of contenders for the xtables lock: 1 to 64.
///
/// # Errors
/// If it is something else.
pub fn contender_counts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u32>, D::Error> {
    counts(input, 64)
}
