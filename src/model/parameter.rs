//! Hyper-parameters: their specification in the catalogue, their values, and how text becomes a value.

use crate::error::{Error, Result};
use serde_json::Value as Json;

/// What a hyper-parameter may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number >= the given one.
    Int {
        /// Smallest.
        min: i64,
    },
    /// A finite number in an interval.
    Float {
        /// Lower end.
        min: f64,
        /// Upper end.
        max: f64,
        /// Whether the lower end itself is allowed.
        min_included: bool,
    },
    /// One of some words.
    Choice(&'static [&'static str]),
    /// One of some words, or a finite number above 0.
    ChoiceOrPositive(&'static [&'static str]),
    /// A label: a whole number or text.
    Label,
    /// Yes or no.
    Bool,
    /// One count for all classes, a list by class position, or a map `label=count`.
    Counts,
}

/// A finite number above 0.
pub const POSITIVE: Kind = Kind::Float { min: 0.0, max: f64::INFINITY, min_included: false };
/// A finite number, 0 or above.
pub const NOT_NEGATIVE: Kind = Kind::Float { min: 0.0, max: f64::INFINITY, min_included: true };
/// Any finite number.
pub const FINITE: Kind =
    Kind::Float { min: f64::NEG_INFINITY, max: f64::INFINITY, min_included: true };
/// A number in `[0, 1]`.
pub const UNIT: Kind = Kind::Float { min: 0.0, max: 1.0, min_included: true };

/// One hyper-parameter of a catalogue row.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Key, as in the specification.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Default as text; `none` where it is left to the data.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Other keys under which it is accepted.
    pub aliases: &'static [&'static str],
}

/// A hyper-parameter without aliases.
pub const fn parameter(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
) -> Parameter {
    Parameter { name, kind, default, meaning, aliases: &[] }
}

impl Kind {
    /// What is allowed, in words.
    pub fn describe(self) -> String {
        match self {
            Kind::Int { min } => format!("a whole number >= {min}"),
            Kind::Float { min, max, min_included } => {
                let low = if min_included { ">=" } else { ">" };
                match (min.is_finite(), max.is_finite()) {
                    (true, true) => format!("a number {low} {min} and <= {max}"),
                    (true, false) => format!("a finite number {low} {min}"),
                    _ => "a finite number".into(),
                }
            }
            Kind::Choice(names) => format!("one of {}", names.join(", ")),
            Kind::ChoiceOrPositive(names) => {
                format!("{}, or a finite number > 0", names.join(", "))
            }
            Kind::Label => "a label".into(),
            Kind::Bool => "true or false".into(),
            Kind::Counts => {
                "a count >= 1, a list of counts by class, or a map label=count,...".into()
            }
        }
    }
}

impl Parameter {
    /// Checks a value and brings it to its normal form (`null` = none).
    pub fn check(&self, value: &Json) -> Result<Json> {
        let wrong = || {
            Error::parameter(
                self.name,
                format!("expected {}, got {}", self.kind.describe(), plain(value)),
            )
        };
        if value.is_null() {
            return if self.default == "none" { Ok(Json::Null) } else { Err(wrong()) };
        }
        match self.kind {
            Kind::Int { min } => {
                let v = value
                    .as_i64()
                    .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64))
                    .filter(|v| *v >= min)
                    .ok_or_else(wrong)?;
                Ok(v.into())
            }
            Kind::Float { min, max, min_included } => {
                let v = value.as_f64().filter(|v| v.is_finite()).ok_or_else(wrong)?;
                let low = if min_included { v >= min } else { v > min };
                if low && v <= max { Ok(v.into()) } else { Err(wrong()) }
            }
            Kind::Choice(names) => {
                let v = value.as_str().ok_or_else(wrong)?;
                if names.contains(&v) {
                    Ok(v.into())
                } else {
                    Err(Error::unknown(self.name, v, names))
                }
            }
            Kind::ChoiceOrPositive(names) => match value {
                Json::String(s) if names.contains(&s.as_str()) => Ok(value.clone()),
                v if v.as_f64().is_some_and(|v| v.is_finite() && v > 0.0) => Ok(value.clone()),
                _ => Err(wrong()),
            },
            Kind::Label if value.is_string() || value.is_i64() => Ok(value.clone()),
            Kind::Label => Err(wrong()),
            Kind::Bool => value.as_bool().map(Json::from).ok_or_else(wrong),
            Kind::Counts => {
                let count = |v: &Json| v.as_i64().is_some_and(|c| c >= 1);
                let good = match value {
                    Json::Array(list) => !list.is_empty() && list.iter().all(count),
                    Json::Object(map) => !map.is_empty() && map.values().all(count),
                    v => count(v),
                };
                if good { Ok(value.clone()) } else { Err(wrong()) }
            }
        }
    }
}

/// Reads a value from the text of `key=value`.
///
/// `none` is none; numbers and `true`/`false` are themselves; a comma makes a list (`4,6`) or, with `=` in each
/// item, a map (`setosa=2,virginica=1`); anything else is text.
pub fn from_text(text: &str) -> Json {
    let scalar = |s: &str| -> Json {
        let s = s.trim();
        if s.eq_ignore_ascii_case("none") {
            Json::Null
        } else if s.eq_ignore_ascii_case("true") {
            true.into()
        } else if s.eq_ignore_ascii_case("false") {
            false.into()
        } else if let Ok(i) = s.parse::<i64>() {
            i.into()
        } else if let Ok(f) = s.parse::<f64>() {
            // NaN and infinities are no JSON numbers; they stay text and are refused by the check.
            serde_json::Number::from_f64(f).map_or_else(|| s.into(), Json::Number)
        } else {
            s.into()
        }
    };
    if text.contains('=') {
        let items = text.split(',').map(|item| {
            let (key, value) = item.rsplit_once('=').unwrap_or((item, ""));
            (key.trim().to_string(), scalar(value))
        });
        Json::Object(items.collect())
    } else if text.contains(',') {
        Json::Array(text.split(',').map(scalar).collect())
    } else {
        scalar(text)
    }
}

/// A JSON value as a person would write it.
pub fn plain(value: &Json) -> String {
    match value {
        Json::Null => "none".into(),
        Json::String(s) => format!("'{s}'"),
        v => v.to_string(),
    }
}
