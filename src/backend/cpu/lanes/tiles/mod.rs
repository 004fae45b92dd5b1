//! Rows side by side in registers, of single precision: what is written once for all [instruction sets](registers).
#![expect(
    clippy::needless_range_loop,
    reason = "both registers of a tile by their number, in all that there are two of"
)]

mod exponential;
pub mod few;
mod matrix;
mod nearest;
mod packed;
pub mod pairs;
mod panels;
pub mod products;
pub mod registers;
pub mod short;
pub mod soft;
mod sums;
mod tile;

use crate::parts::exp::Exponential;
use registers::Registers;

/// Working memory of one thread.
pub struct Room<S: Registers> {
    /// Features of the rows of a tile.
    turned: Vec<[S::Floats; 2]>,
    /// Keys or slopes of all prototypes and one tile, or some.
    slopes: Vec<[S::Floats; 2]>,
    /// The same of one tile beside others.
    keys: Vec<[S::Floats; 2]>,
    /// Some features of many rows, or all of some tiles.
    panel: Vec<[S::Floats; 2]>,
    /// Sums of all prototypes.
    h: Vec<S::Floats>,
    /// Rows of a matrix that will be written further on.
    beside: Vec<f32>,
}

impl<S: Registers> Default for Room<S> {
    fn default() -> Self {
        Room {
            turned: vec![],
            slopes: vec![],
            keys: vec![],
            panel: vec![],
            h: vec![],
            beside: vec![],
        }
    }
}

/// `2^x` for `x < 1` of a [share](crate::parts::exp::share), within 2 units in the last place; NaN of NaN.
#[inline(always)]
fn exp2<S: Registers>(simd: S, x: S::Floats) -> S::Floats {
    let counts = simd.not_less(x, simd.splat(f32::FAINT * std::f32::consts::LOG2_E));
    // 2^x = 2^k 2^f, with k the whole number below. (To round to the nearest would take two instructions more.)
    let f = simd.fraction(x);
    // 2^f is 1 + f times the polynomial of its degree for which the largest relative error for 0 <= f <= 1 is least: 8.2e-8, two thirds of a unit.
    let mut sum = simd.splat(1.867_130_2e-3);
    for term in [9.017_03e-3, 5.579_991_3e-2, 2.401_644_5e-1, 0.693_151_3f32] {
        sum = simd.mul_add(sum, f, simd.splat(term));
    }
    simd.scale_where(counts, simd.mul_add(sum, f, simd.splat(1.0)), x)
}

/// `ln x` of a normal number above 0, within 2 units in the last place; NaN of NaN. In registers, where it is compiled for them: [that of any
/// number](crate::parts::exp::ln) has a quotient, and twice as many operations.
#[inline(always)]
fn ln(x: f32) -> f32 {
    // x = 2^k m with m in [sqrt(1/2), sqrt(2))
    let root = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let moved = x.to_bits().wrapping_sub(root);
    let k = (moved as i32 >> 23) as f32;
    let f = f32::from_bits((moved & ((1 << 23) - 1)) + root) - 1.0;
    // ln(1 + f) is f - f^2/2 + f^3 times the polynomial of its degree for which the largest relative error is least: 5.8e-9.
    let mut sum = -7.634_499e-2f32;
    for term in [
        1.276_157_8e-1,
        -1.316_018_3e-1,
        1.420_175_7e-1,
        -1.662_335_7e-1,
        2.000_122_7e-1,
        -2.500_082e-1,
        3.333_333_3e-1,
    ] {
        sum = sum.mul_add(f, term);
    }
    // ln 2 as a sum of two, the first of few digits: its products with k are exact.
    let [high, low] = [0.693_359_4, -2.121_944_4e-4f32];
    let rest = k.mul_add(low, f * f * sum.mul_add(f, -0.5));
    let ln = k.mul_add(high, f + rest);
    if x < f32::INFINITY { ln } else { x }
}

/// `2^(k + f)` is `2^k (1 + f sum)`, with k a whole number and `|f| <= 1/2`.
struct Power<S: Registers> {
    k: S::Floats,
    f: S::Floats,
    sum: S::Floats,
}

/// Of `2^x` for `-125 <= x <= 0`, with k the nearest whole number.
#[inline(always)]
fn power<S: Registers>(simd: S, x: S::Floats) -> Power<S> {
    let k = simd.round(x);
    let f = simd.sub(x, k);
    // The polynomial of its degree whose largest relative error from 2^f for |f| <= 1/2 is least: 1.9e-9.
    let mut sum = simd.splat(1.534_581_2e-4);
    for term in [1.339_993_1e-3, 9.618_489e-3, 5.550_328_6e-2, 2.402_264_6e-1, 6.931_472e-1f32] {
        sum = simd.mul_add(sum, f, simd.splat(term));
    }
    Power { k, f, sum }
}

/// Calls a test with the registers of each instruction set that this machine has.
#[cfg(test)]
macro_rules! with_each {
    (|$simd:ident| $call:expr) => {{
        use pulp::x86::{V3, V4};
        match V4::try_new() {
            Some($simd) => $call,
            None => println!("no AVX-512: not tested"),
        }
        match V3::try_new() {
            Some($simd) => $call,
            None => println!("no AVX2: not tested"),
        }
    }};
}

#[cfg(test)]
use with_each;

#[cfg(test)]
mod tests {
    #[test]
    fn logarithms_have_their_digits() {
        let mut x = f32::MIN_POSITIVE;
        while x < f32::MAX / 1.001 {
            for x in [x, 1.0 - x, 1.0 + x] {
                if x < f32::MIN_POSITIVE {
                    continue;
                }
                let (got, expected) = (f64::from(super::ln(x)), f64::from(x).ln());
                let bound = 2e-7 * expected.abs();
                assert!((got - expected).abs() <= bound, "ln {x}: {got} and not {expected}");
            }
            x *= 1.000_1;
        }
        assert_eq!(super::ln(1.0), 0.0);
        assert!(super::ln(f32::NAN).is_nan());
    }
}
