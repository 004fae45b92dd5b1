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
pub mod soft;
mod sums;
mod tile;

use crate::parts::exp::Exponential;
use registers::Registers;

/// Working memory of one thread.
pub struct Room<S: Registers> {
    /// Features of the rows of a tile.
    turned: Vec<[S::Floats; 2]>,
    /// Keys or slopes of all prototypes and those rows.
    slopes: Vec<[S::Floats; 2]>,
    /// The same of the next tile.
    keys: Vec<[S::Floats; 2]>,
    /// Some features of many rows.
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

/// `2^x` for `x <= 0` of a [share](crate::parts::exp::share), within 2 units in the last place; NaN of NaN.
#[inline(always)]
fn exp2<S: Registers>(simd: S, x: S::Floats) -> S::Floats {
    let counts = simd.not_less(x, simd.splat(f32::FAINT * std::f32::consts::LOG2_E));
    let Power { k, f, sum } = power(simd, x);
    simd.scale_where(counts, simd.mul_add(sum, f, simd.splat(1.0)), k)
}

/// `2^(k + f)` is `2^k (1 + f sum)`, with k a whole number and `|f| <= 1/2`.
struct Power<S: Registers> {
    k: S::Floats,
    f: S::Floats,
    sum: S::Floats,
}

/// Of `2^x` for `-125 <= x <= 0`.
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
