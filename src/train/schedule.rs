//! Learning-rate schedules.
//!
//! `s` is the number of updates already made, so the first update has `s = 0`. After its end a
//! schedule is constant. All of them are made of a few curves:
//!
//! - `lin(a, b, T)(s) = b + (a-b) (1 - min(s,T)/T)`, and `a` for `T = 0`; with a power on the bracket it is the
//!   polynomial;
//! - `cos(a, T, alpha, exponent)(s) = a [ (1-alpha) (0.5 (1 + cos(pi min(s,T)/T)))^exponent + alpha ]`;
//! - `join([f1, f2], [b])`: `f1(s)` for `s < b`, then `f2(s-b)`.
//!
//! | name | curve | arguments and defaults (`lr` = the base rate, `I` = total number of updates) |
//! |---|---|---|
//! | `exponential_decay` | `lr r^(s'/T)`, `s' = s - begin`; `lr` for `s' <= 0` | `transition_steps` T 1, `decay_rate` or `gamma` r 0.99, `transition_begin` 0, `staircase` false (floors the exponent), `end_value` none (a floor for r < 1, a ceiling for r > 1) |
//! | `cosine_decay` | `cos(lr, T, alpha, exponent)` | `decay_steps` T I, `alpha` 0, `exponent` 1 |
//! | `warmup_cosine_decay` | `join([lin(init,peak,w), cos(peak, T-w, end/peak, exponent)], [w])` | `init_value` 0, `peak_value` lr, `warmup_steps` w min(10, T-1), `decay_steps` T I (warm-up included), `end_value` 0, `exponent` 1 |
//! | `warmup_exponential_decay` | `join([lin(init,peak,w), exponential_decay(peak)], [w])` | those of both |
//! | `warmup_constant` | `lin(init,peak,w)` | `init_value` 0, `peak_value` lr, `warmup_steps` w min(10, I-1) |
//! | `polynomial` | `end + (lr-end) (1 - min(max(s-begin,0),T)/T)^power` | `end_value` 0, `power` 1, `transition_steps` T I, `transition_begin` 0 |
//! | `linear` | polynomial of power 1 | those of `polynomial` without `power` |
//! | `piecewise_constant` | `lr` times the scales of all boundaries `b <= s` | `boundaries_and_scales` {} |
//! | `sgdr` | `warmup_cosine_decay` cycles one after the other | `cosine_kwargs`: a list of their arguments, one cycle of I updates without warm-up |
//!
//! Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, for the
//! cosine and its restarts.

use crate::error::{Error, Result};
use crate::parts::optimizer::options::{NOT_NEGATIVE, Options};
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// The option under which the user gives a schedule's arguments.
const KWARGS: &str = "lr_scheduler_kwargs";

/// Most updates of a warm-up whose length is not given.
const WARMUP: u64 = 10;

/// A rate for every update.
#[derive(Clone, Debug)]
pub struct Schedule {
    curve: Curve,
}

#[derive(Clone)]
enum Curve {
    /// `end + (start-end) (1 - s'/T)^power`.
    Polynomial {
        start: f64,
        end: f64,
        power: f64,
        steps: u64,
        begin: u64,
    },
    /// `start rate^(s'/T)`, kept above `floor` and below `ceiling`.
    Exponential {
        start: f64,
        rate: f64,
        steps: u64,
        begin: u64,
        staircase: bool,
        floor: f64,
        ceiling: f64,
    },
    Cosine {
        start: f64,
        steps: u64,
        alpha: f64,
        exponent: f64,
    },
    /// `start` times the scales of the boundaries passed.
    Piecewise {
        start: f64,
        scales: Vec<(u64, f64)>,
    },
    /// Every curve with the update at which it begins; the first begins at 0.
    Join(Vec<(u64, Curve)>),
    Custom(Arc<dyn Fn(u64) -> f64 + Send + Sync>),
}

impl fmt::Debug for Curve {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Curve::Polynomial { start, end, power, steps, begin } => {
                write!(f, "polynomial {start} to {end}, power {power}, {steps} steps from {begin}")
            }
            Curve::Exponential { start, rate, steps, begin, staircase, floor, ceiling } => write!(
                f,
                "exponential {start} times {rate} every {steps} steps from {begin}, \
                 staircase {staircase}, within {floor} to {ceiling}"
            ),
            Curve::Cosine { start, steps, alpha, exponent } => {
                write!(f, "cosine {start}, {steps} steps, alpha {alpha}, exponent {exponent}")
            }
            Curve::Piecewise { start, scales } => write!(f, "piecewise {start}, {scales:?}"),
            Curve::Join(parts) => f.debug_list().entries(parts).finish(),
            Curve::Custom(_) => write!(f, "custom"),
        }
    }
}

impl Curve {
    fn linear(start: f64, end: f64, steps: u64) -> Curve {
        Curve::Polynomial { start, end, power: 1.0, steps, begin: 0 }
    }

    fn at(&self, s: u64) -> f64 {
        match self {
            Curve::Polynomial { start, steps: 0, .. } => *start,
            Curve::Polynomial { start, end, power, steps, begin } => {
                let s = s.saturating_sub(*begin).min(*steps);
                end + (start - end) * (1.0 - s as f64 / *steps as f64).powf(*power)
            }
            Curve::Exponential { start, steps: 0, .. }
            | Curve::Exponential { start, rate: 0.0, .. } => *start,
            Curve::Exponential { start, rate, steps, begin, staircase, floor, ceiling } => {
                let exponent = s.saturating_sub(*begin) as f64 / *steps as f64;
                let exponent = if *staircase { exponent.floor() } else { exponent };
                (start * rate.powf(exponent)).max(*floor).min(*ceiling)
            }
            Curve::Cosine { start, steps, alpha, exponent } => {
                let part = s.min(*steps) as f64 / *steps as f64;
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
                start * ((1.0 - alpha) * cosine.powf(*exponent) + alpha)
            }
            Curve::Piecewise { start, scales } => {
                let passed = scales.iter().filter(|(boundary, _)| *boundary <= s);
                passed.fold(*start, |rate, (_, scale)| rate * scale)
            }
            Curve::Join(parts) => {
                let (begin, curve) = parts
                    .iter()
                    .rev()
                    .find(|(begin, _)| *begin <= s)
                    .expect("the first curve begins at 0");
                curve.at(s - begin)
            }
            Curve::Custom(f) => f(s),
        }
    }
}

/// What the defaults of a schedule are taken from.
#[derive(Clone, Copy)]
struct Defaults {
    lr: f64,
    total: u64,
}

/// Reads the arguments of a schedule.
type Read = fn(&mut Options, Defaults) -> Result<Curve>;

/// Every schedule: its name and what reads its arguments.
const TABLE: [(&str, Read); 9] = [
    ("exponential_decay", |o, d| exponential(o, d.lr)),
    ("cosine_decay", |o, d| {
        Ok(Curve::Cosine {
            start: d.lr,
            steps: o.count("decay_steps", d.total, 1)?,
            alpha: o.number("alpha", 0.0, NOT_NEGATIVE)?,
            exponent: o.number("exponent", 1.0, NOT_NEGATIVE)?,
        })
    }),
    ("warmup_cosine_decay", |o, d| {
        let steps = o.count("decay_steps", d.total, 1)?;
        warmup_cosine(o, d, steps, WARMUP.min(steps - 1))
    }),
    ("warmup_exponential_decay", |o, d| {
        let (init, peak, steps) = warmup(o, d, WARMUP.min(d.total - 1))?;
        let decay = exponential(o, peak)?;
        Ok(Curve::Join(vec![(0, Curve::linear(init, peak, steps)), (steps, decay)]))
    }),
    ("warmup_constant", |o, d| {
        let (init, peak, steps) = warmup(o, d, WARMUP.min(d.total - 1))?;
        Ok(Curve::linear(init, peak, steps))
    }),
    ("polynomial", |o, d| {
        let power = o.number("power", 1.0, NOT_NEGATIVE)?;
        polynomial(o, d, power)
    }),
    ("linear", |o, d| polynomial(o, d, 1.0)),
    ("piecewise_constant", piecewise),
    ("sgdr", sgdr),
];

fn polynomial(o: &mut Options, d: Defaults, power: f64) -> Result<Curve> {
    Ok(Curve::Polynomial {
        start: d.lr,
        end: o.number("end_value", 0.0, NOT_NEGATIVE)?,
        power,
        steps: o.count("transition_steps", d.total, 0)?,
        begin: o.count("transition_begin", 0, 0)?,
    })
}

fn exponential(o: &mut Options, start: f64) -> Result<Curve> {
    let by_name = o.optional("decay_rate", NOT_NEGATIVE)?;
    let gamma = o.optional("gamma", NOT_NEGATIVE)?;
    if by_name.is_some() && gamma.is_some() {
        return Err(o.error("gamma", "is another name of decay_rate: give one of the two"));
    }
    let rate = gamma.or(by_name).unwrap_or(0.99);
    let end = o.optional("end_value", NOT_NEGATIVE)?;
    Ok(Curve::Exponential {
        start,
        rate,
        steps: o.count("transition_steps", 1, 0)?,
        begin: o.count("transition_begin", 0, 0)?,
        staircase: o.flag("staircase", false)?,
        floor: end.filter(|_| rate < 1.0).unwrap_or(f64::NEG_INFINITY),
        ceiling: end.filter(|_| rate > 1.0).unwrap_or(f64::INFINITY),
    })
}

/// First value, last value and length of a warm-up.
fn warmup(o: &mut Options, d: Defaults, steps: u64) -> Result<(f64, f64, u64)> {
    Ok((
        o.number("init_value", 0.0, NOT_NEGATIVE)?,
        o.number("peak_value", d.lr, NOT_NEGATIVE)?,
        o.count("warmup_steps", steps, 0)?,
    ))
}

/// A warm-up and a cosine, together `steps` long.
fn warmup_cosine(o: &mut Options, d: Defaults, steps: u64, warm: u64) -> Result<Curve> {
    let (init, peak, warm) = warmup(o, d, warm)?;
    if warm >= steps {
        let reason =
            format!("must be < decay_steps {steps}, which include the warm-up; got {warm}");
        return Err(o.error("warmup_steps", reason));
    }
    let end = o.number("end_value", 0.0, NOT_NEGATIVE)?;
    let cosine = Curve::Cosine {
        start: peak,
        steps: steps - warm,
        alpha: if peak == 0.0 { 0.0 } else { end / peak },
        exponent: o.number("exponent", 1.0, NOT_NEGATIVE)?,
    };
    Ok(Curve::Join(vec![(0, Curve::linear(init, peak, warm)), (warm, cosine)]))
}

fn piecewise(o: &mut Options, d: Defaults) -> Result<Curve> {
    const KEY: &str = "boundaries_and_scales";
    let mut scales = Vec::new();
    if let Some(value) = o.value(KEY) {
        let map = value.as_object().ok_or_else(|| {
            o.error(KEY, format!("must be a map from update to factor, got {value}"))
        })?;
        for (boundary, scale) in map {
            let number = boundary.parse::<u64>().map_err(|_| {
                o.error(KEY, format!("a boundary must be an integer >= 0, got '{boundary}'"))
            })?;
            let factor =
                scale.as_f64().filter(|f| f.is_finite() && *f >= 0.0).ok_or_else(|| {
                    o.error(
                        KEY,
                        format!("the factor at {boundary} must be a number >= 0, got {scale}"),
                    )
                })?;
            scales.push((number, factor));
        }
        // In the order of the updates, so that products are rounded alike however the map is
        // written.
        scales.sort_by_key(|(boundary, _)| *boundary);
    }
    Ok(Curve::Piecewise { start: d.lr, scales })
}

fn sgdr(o: &mut Options, d: Defaults) -> Result<Curve> {
    const KEY: &str = "cosine_kwargs";
    let one_cycle = [Value::Object(Map::new())];
    let cycles = match o.value(KEY) {
        None => one_cycle.as_slice(),
        Some(Value::Array(cycles)) if !cycles.is_empty() => cycles,
        Some(other) => {
            let reason = format!("must be a list of at least one map, got {other}");
            return Err(o.error(KEY, reason));
        }
    };
    let mut begin = 0u64;
    let mut parts = Vec::new();
    for (number, cycle) in cycles.iter().enumerate() {
        let map = cycle
            .as_object()
            .ok_or_else(|| o.error(KEY, format!("cycle {number} must be a map, got {cycle}")))?;
        let mut cycle = Options::new("lr_scheduler_kwargs.cosine_kwargs", "sgdr", map);
        let steps = cycle.count("decay_steps", d.total, 1)?;
        parts.push((begin, warmup_cosine(&mut cycle, d, steps, 0)?));
        cycle.finish()?;
        begin = begin.saturating_add(steps);
    }
    Ok(Curve::Join(parts))
}

impl Schedule {
    /// The schedule of that name; without a name the rate is `lr` throughout.
    ///
    /// `lr` is the base rate (positive); `total_updates` is the number of updates that training
    /// will make (`ceil(iterations * batches / accumulation)`), from which lengths that are not
    /// given are taken. Lengths that are given are numbers of updates.
    ///
    /// # Errors
    /// An unknown name or key (the message lists the valid ones), arguments without a name, a value
    /// of the wrong type or out of range, an `lr` that is not positive and finite.
    pub fn parse(
        name: Option<&str>,
        kwargs: &Map<String, Value>,
        lr: f64,
        total_updates: u64,
    ) -> Result<Schedule> {
        if !(lr.is_finite() && lr > 0.0) {
            return Err(Error::parameter("lr", format!("must be a finite number > 0, got {lr}")));
        }
        let Some(name) = name else {
            return match kwargs.keys().next() {
                None => Ok(Schedule { curve: Curve::linear(lr, lr, 0) }),
                Some(key) => Err(Error::parameter(
                    format!("{KWARGS}.{key}"),
                    "given without lr_scheduler, the name of a schedule",
                )),
            };
        };
        let Some((name, read)) = TABLE.iter().find(|(n, _)| *n == name) else {
            return Err(Error::unknown("lr_scheduler", name, &Schedule::names()));
        };
        let mut options = Options::new(KWARGS, name, kwargs);
        let curve = read(&mut options, Defaults { lr, total: total_updates.max(1) })?;
        options.finish()?;
        Ok(Schedule { curve })
    }

    /// A schedule of the user's own: the rate as a function of the number of updates already made.
    pub fn custom(rate: Arc<dyn Fn(u64) -> f64 + Send + Sync>) -> Schedule {
        Schedule { curve: Curve::Custom(rate) }
    }

    /// Every name that [`Schedule::parse`] knows.
    pub fn names() -> Vec<&'static str> {
        TABLE.iter().map(|(name, _)| *name).collect()
    }

    /// The rate of the update after `s` updates.
    pub fn rate(&self, s: u64) -> f64 {
        self.curve.at(s)
    }
}
