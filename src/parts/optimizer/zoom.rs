//! A line search for the strong Wolfe conditions: bracket, then zoom.
//!
//! Along `phi(a) = L(x + a p)` with `f0 = phi(0)`, `s0 = phi'(0)`, a step `a` is accepted when both
//! are 0:
//!
//! - decrease: `max(0, min( phi - f0 - c1 a s0, max( phi' - (2 c1 - 1) s0, phi - f0 - 1e-6 |f0| ) ))`; the
//!   second term of the minimum takes over near a minimum, where the first is lost to rounding;
//! - curvature: `max(0, |phi'| - c2 |s0|)`.
//!
//! Nocedal & Wright, "Numerical optimization", 2nd edition, 2006, algorithms 3.5 and 3.6; the
//! second decrease condition is that of Hager & Zhang, ACM TOMS 32, 2006.

use crate::error::Result;

/// Most evaluations of a search.
const EVALUATIONS: usize = 20;
/// Sufficient decrease.
const C1: f64 = 1e-4;
/// Curvature.
const C2: f64 = 0.9;
/// How far the value may rise (relative to its size) where the approximate decrease condition is
/// used.
const RISE: f64 = 1e-6;
/// An interval so short is not searched further once some step is known to descend.
const SHORTEST: f64 = 1e-5;

/// A trial: step, value, slope.
#[derive(Clone, Copy, Debug)]
struct Point {
    a: f64,
    value: f64,
    slope: f64,
}

/// How far a trial is from being accepted.
struct Faults {
    decrease: f64,
    curvature: f64,
}

impl Faults {
    fn of(p: Point, start: Point) -> Faults {
        let armijo = p.value - start.value - C1 * p.a * start.slope;
        let approximate = p.slope - (2.0 * C1 - 1.0) * start.slope;
        let rise = p.value - start.value - RISE * start.value.abs();
        Faults {
            decrease: positive(least(armijo, greatest(approximate, rise))),
            curvature: positive(p.slope.abs() - C2 * start.slope.abs()),
        }
    }

    fn accepted(&self) -> bool {
        self.decrease <= 0.0 && self.curvature <= 0.0
    }
}

/// The smaller; NaN if either is (the standard library's `min` drops a NaN).
fn least(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

/// The larger; NaN if either is.
fn greatest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// The positive part; infinite for NaN, so that a trial outside the domain is never accepted.
fn positive(x: f64) -> f64 {
    if x.is_nan() { f64::INFINITY } else { x.max(0.0) }
}

/// The step along a direction in which `phi` has the given value and slope at 0.
///
/// `phi(a)` returns value and slope at `a`. The step returned need not be the last one evaluated.
/// If no step is accepted within 20 evaluations: the best one that at least descends, or else the
/// last trial (0 if that left the domain).
///
/// # Errors
/// Those of `phi`.
pub(super) fn search(
    value: f64,
    slope: f64,
    mut phi: impl FnMut(f64) -> Result<(f64, f64)>,
) -> Result<f64> {
    let start = Point { a: 0.0, value, slope };
    let mut evaluations = 0;
    let mut trial = |a: f64| -> Result<(Point, Faults)> {
        let (value, slope) = phi(a)?;
        let point = Point { a, value, slope };
        Ok((point, Faults::of(point, start)))
    };
    let give_up = |safe: Point, last: Point, faults: &Faults| {
        if safe.a > 0.0 || faults.decrease.is_infinite() { safe.a } else { last.a }
    };

    // The best trial so far that descends enough, whatever its curvature.
    let mut safe = start;
    let mut before = start;
    let (mut low, mut high) = loop {
        let (point, faults) = trial(if evaluations == 0 { 1.0 } else { 2.0 * before.a })?;
        if faults.accepted() {
            return Ok(point.a);
        }
        if faults.decrease <= 0.0 {
            safe = point;
        }
        let too_far = faults.decrease > 0.0 || (point.value >= before.value && evaluations > 0);
        let rising = point.slope >= 0.0 && !too_far;
        evaluations += 1;
        if evaluations == EVALUATIONS {
            return Ok(give_up(safe, point, &faults));
        }
        if too_far {
            break (before, point);
        }
        if rising {
            break (point, before);
        }
        before = point;
    };

    let mut reference = low;
    loop {
        let length = (high.a - low.a).abs();
        let (middle, faults) = trial(inside(low, high, reference))?;
        if faults.accepted() {
            return Ok(middle.a);
        }
        if faults.decrease <= 0.0 && middle.value < safe.value {
            safe = middle;
        }
        evaluations += 1;
        if evaluations == EVALUATIONS || (length <= SHORTEST && safe.a > 0.0) {
            return Ok(give_up(safe, middle, &faults));
        }
        if faults.decrease > 0.0 || middle.value >= low.value {
            reference = high;
            high = middle;
        } else if middle.slope * (high.a - low.a) >= 0.0 {
            reference = high;
            high = low;
            low = middle;
        } else {
            reference = low;
            low = middle;
        }
    }
}

/// Where to look between two points: the minimum of a cubic, else of a parabola, else halfway; the
/// first that is not too near the ends.
fn inside(low: Point, high: Point, reference: Point) -> f64 {
    let (left, right) = (low.a.min(high.a), low.a.max(high.a));
    let length = right - left;
    let within = |a: f64, margin: f64| a > left + margin * length && a < right - margin * length;
    let by_cubic = cubic(low, high, reference);
    if within(by_cubic, 0.2) {
        return by_cubic;
    }
    let by_parabola = parabola(low, high);
    if within(by_parabola, 0.1) {
        return by_parabola;
    }
    (low.a + high.a) / 2.0
}

/// The minimum of the cubic with value and slope of `p` and the values of `q` and `r`; NaN if it
/// has none.
fn cubic(p: Point, q: Point, r: Point) -> f64 {
    let (dq, dr) = (q.a - p.a, r.a - p.a);
    let rest_q = q.value - p.value - p.slope * dq;
    let rest_r = r.value - p.value - p.slope * dr;
    let scale = (dq * dr) * (dq * dr) * (dq - dr);
    let third = (dr * dr * rest_q - dq * dq * rest_r) / scale;
    let second = (-dr * dr * dr * rest_q + dq * dq * dq * rest_r) / scale;
    p.a + (-second + (second * second - 3.0 * third * p.slope).sqrt()) / (3.0 * third)
}

/// The minimum of the parabola with value and slope of `p` and the value of `q`.
fn parabola(p: Point, q: Point) -> f64 {
    let dq = q.a - p.a;
    let second = (q.value - p.value - p.slope * dq) / (dq * dq);
    p.a - p.slope / (2.0 * second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a search; returns the step and where `phi` was evaluated.
    fn run(phi: impl Fn(f64) -> (f64, f64)) -> (f64, Vec<f64>) {
        let (value, slope) = phi(0.0);
        let mut trials = Vec::new();
        let step = search(value, slope, |a| {
            trials.push(a);
            Ok(phi(a))
        });
        (step.unwrap(), trials)
    }

    #[test]
    fn a_good_first_step_is_taken_at_once() {
        let (step, trials) = run(|a| ((a - 1.2).powi(2), 2.0 * (a - 1.2)));
        assert_eq!((step, trials), (1.0, vec![1.0]));
    }

    #[test]
    fn a_short_step_is_doubled() {
        let (step, trials) = run(|a| ((a - 50.0).powi(2), 2.0 * (a - 50.0)));
        assert_eq!((step, trials), (8.0, vec![1.0, 2.0, 4.0, 8.0]));
    }

    #[test]
    fn a_long_step_is_shortened_to_the_minimum_of_a_parabola() {
        let (step, trials) = run(|a| ((a - 0.2).powi(2), 2.0 * (a - 0.2)));
        // The first trial is too far, and a parabola is its own interpolation.
        assert_eq!((trials[0], trials.len()), (1.0, 2));
        assert!((step - 0.2).abs() < 1e-12);
    }

    #[test]
    fn without_a_lower_bound_the_last_step_that_descends_is_taken() {
        let (step, trials) = run(|a| (-a, -1.0));
        assert_eq!((step, trials.len()), (2f64.powi(19), 20));
    }

    #[test]
    fn an_edge_of_the_domain_is_kept_within() {
        // Finite up to 0.3, and falling steeper and steeper until there: no step has a flat enough
        // slope.
        let (step, trials) = run(|a| match a < 0.3 {
            true => ((0.3 - a).sqrt(), -0.5 / (0.3 - a).sqrt()),
            false => (f64::NAN, f64::NAN),
        });
        assert!(step > 0.29 && step < 0.3, "{step}");
        assert!(trials.len() < 20, "a short interval ends the search: {trials:?}");
    }

    #[test]
    fn uphill_there_is_no_good_step() {
        let (step, trials) = run(|a| (a.exp(), a.exp()));
        assert_eq!(trials.len(), 20);
        // The last trial: the smallest by far.
        assert_eq!(step, trials[19]);
        assert!(step < 1e-3);
    }

    #[test]
    fn the_cubic_finds_the_minimum_of_a_cubic() {
        // x^3/3 - 4x has its minimum at 2.
        let point = |a: f64| Point { a, value: a.powi(3) / 3.0 - 4.0 * a, slope: a * a - 4.0 };
        assert!((cubic(point(0.5), point(3.0), point(4.0)) - 2.0).abs() < 1e-12);
        let parabolic =
            |a: f64| Point { a, value: 3.0 * (a - 2.0).powi(2), slope: 6.0 * (a - 2.0) };
        assert!((parabola(parabolic(0.5), parabolic(3.0)) - 2.0).abs() < 1e-12);
    }
}
