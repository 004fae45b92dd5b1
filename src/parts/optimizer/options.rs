//! Reading the keyword arguments of something that is chosen by name.
//!
//! Every value is checked when it is read, and what was not read by the end is unknown: no argument
//! is accepted and ignored.

use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::ops::{Bound, RangeBounds};

/// The values that a number may have.
pub(crate) type Range = (Bound<f64>, Bound<f64>);

/// `> 0`
pub(crate) const POSITIVE: Range = (Bound::Excluded(0.0), Bound::Unbounded);
/// `>= 0`
pub(crate) const NOT_NEGATIVE: Range = (Bound::Included(0.0), Bound::Unbounded);
/// `>= 0 and < 1`: the rate at which a running mean forgets.
pub(crate) const DECAY: Range = (Bound::Included(0.0), Bound::Excluded(1.0));

fn describe((low, high): Range) -> String {
    let low = match low {
        Bound::Included(a) => Some(format!(">= {a}")),
        Bound::Excluded(a) => Some(format!("> {a}")),
        Bound::Unbounded => None,
    };
    let high = match high {
        Bound::Included(b) => Some(format!("<= {b}")),
        Bound::Excluded(b) => Some(format!("< {b}")),
        Bound::Unbounded => None,
    };
    let parts: Vec<String> = [low, high].into_iter().flatten().collect();
    if parts.is_empty() { "a finite number".into() } else { parts.join(" and ") }
}

/// Keyword arguments while they are read.
pub(crate) struct Options<'a> {
    /// The option under which the user gave them, e.g. `optimizer_kwargs`.
    owner: &'static str,
    /// Who reads them, e.g. `adam`; for messages.
    reader: &'a str,
    given: &'a Map<String, Value>,
    /// Every key asked for so far, with the value that holds.
    read: Map<String, Value>,
}

impl<'a> Options<'a> {
    pub(crate) fn new(owner: &'static str, reader: &'a str, given: &'a Map<String, Value>) -> Self {
        Options { owner, reader, given, read: Map::new() }
    }

    /// An error about the value of `key`.
    pub(crate) fn error(&self, key: &str, reason: impl Into<String>) -> Error {
        Error::parameter(format!("{}.{key}", self.owner), reason)
    }

    fn wrong(&self, key: &str, wanted: &str, got: &Value) -> Error {
        self.error(key, format!("must be {wanted}, got {got}"))
    }

    /// The value as given; whoever asks must check it.
    pub(crate) fn value(&mut self, key: &str) -> Option<&'a Value> {
        let value = self.given.get(key).filter(|v| !v.is_null());
        self.read.insert(key.into(), value.cloned().unwrap_or(Value::Null));
        value
    }

    /// A number within `range`, or none if it is absent or null.
    pub(crate) fn optional(&mut self, key: &str, range: Range) -> Result<Option<f64>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = value.as_f64().ok_or_else(|| self.wrong(key, "a number", value))?;
        // An integer of more than 308 digits overflows, hence the test for finiteness.
        if !number.is_finite() || !range.contains(&number) {
            return Err(self.wrong(key, &describe(range), value));
        }
        self.read.insert(key.into(), number.into());
        Ok(Some(number))
    }

    /// A number within `range`; `default` if absent.
    pub(crate) fn number(&mut self, key: &str, default: f64, range: Range) -> Result<f64> {
        let number = self.optional(key, range)?.unwrap_or(default);
        self.read.insert(key.into(), number.into());
        Ok(number)
    }

    /// A number within `range` that has no default.
    pub(crate) fn required(&mut self, key: &str, range: Range) -> Result<f64> {
        let reason = format!("is required by '{}' ({})", self.reader, describe(range));
        self.optional(key, range)?.ok_or_else(|| self.error(key, reason))
    }

    /// An integer of at least `least`; `default` if absent.
    pub(crate) fn count(&mut self, key: &str, default: u64, least: u64) -> Result<u64> {
        let wanted = format!("an integer >= {least}");
        let count = match self.value(key) {
            None => default,
            // 10.0 is an integer too: some writers of JSON know no other number.
            Some(v) => v
                .as_u64()
                .or_else(|| {
                    v.as_f64()
                        .filter(|f| f.fract() == 0.0 && *f >= 0.0 && *f < 9e15)
                        .map(|f| f as u64)
                })
                .filter(|c| *c >= least)
                .ok_or_else(|| self.wrong(key, &wanted, v))?,
        };
        self.read.insert(key.into(), count.into());
        Ok(count)
    }

    /// True or false; `default` if absent.
    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Result<bool> {
        let flag = match self.value(key) {
            None => default,
            Some(v) => v.as_bool().ok_or_else(|| self.wrong(key, "true or false", v))?,
        };
        self.read.insert(key.into(), flag.into());
        Ok(flag)
    }

    /// All keys with the values that hold; an error if a key was given that nobody asked for.
    pub(crate) fn finish(self) -> Result<Map<String, Value>> {
        let valid: Vec<&str> = self.read.keys().map(String::as_str).collect();
        match self.given.keys().find(|k| !self.read.contains_key(*k)) {
            None => Ok(self.read),
            Some(key) if valid.is_empty() => {
                Err(self.error(key, format!("unknown: '{}' takes no arguments", self.reader)))
            }
            Some(key) => Err(Error::unknown(self.owner, key, &valid)),
        }
    }
}
