//! Transfer functions: what shapes the relative distance difference.
//!
//! | name | f(z) | f'(z) |
//! |---|---|---|
//! | identity | z | 1 |
//! | sigmoid_beta | s = 1/(1 + exp(-beta z)) | beta s (1 - s) |
//! | swish_beta | z s | s + beta z s (1 - s) |

use crate::error::{Error, Result};
use crate::parts::exp::share;
use crate::parts::real::Real;
use crate::parts::simd::absolute;
use std::sync::Arc;

/// A transfer function with its steepness.
#[derive(Clone)]
pub enum Transfer {
    /// `z`
    Identity,
    /// The logistic function of `beta z`.
    SigmoidBeta(f64),
    /// `z` times the logistic function of `beta z`.
    SwishBeta(f64),
    /// The user's own: value and derivative.
    Custom(Arc<dyn Fn(f64) -> (f64, f64) + Send + Sync>),
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Transfer::Identity => f.write_str("Identity"),
            Transfer::SigmoidBeta(beta) => write!(f, "SigmoidBeta({beta})"),
            Transfer::SwishBeta(beta) => write!(f, "SwishBeta({beta})"),
            Transfer::Custom(_) => f.write_str("Custom"),
        }
    }
}

impl PartialEq for Transfer {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Transfer::Identity, Transfer::Identity) => true,
            (Transfer::SigmoidBeta(a), Transfer::SigmoidBeta(b))
            | (Transfer::SwishBeta(a), Transfer::SwishBeta(b)) => a == b,
            (Transfer::Custom(a), Transfer::Custom(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

impl Transfer {
    /// The names.
    pub const NAMES: [&str; 3] = ["identity", "sigmoid_beta", "swish_beta"];

    /// The function of that name.
    pub fn parse(name: &str, beta: f64) -> Result<Self> {
        match name {
            "identity" => Ok(Transfer::Identity),
            "sigmoid_beta" => Ok(Transfer::SigmoidBeta(beta)),
            "swish_beta" => Ok(Transfer::SwishBeta(beta)),
            _ => Err(Error::unknown("transfer_fn", name, &Self::NAMES)),
        }
    }

    /// `f(z)` and `f'(z)`.
    pub fn value_and_derivative<T: Real>(&self, z: T) -> (T, T) {
        match self {
            Transfer::Identity => (z, T::one()),
            Transfer::SigmoidBeta(beta) => {
                let (s, slope) = logistic(T::of(*beta), z);
                (s, slope)
            }
            Transfer::SwishBeta(beta) => {
                let (s, slope) = logistic(T::of(*beta), z);
                (z * s, s + z * slope)
            }
            Transfer::Custom(f) => {
                let (value, slope) = f(z.f64());
                (T::of(value), T::of(slope))
            }
        }
    }

    /// `f(z)` in place of each `z`, and `f'(z)` into `slopes`.
    pub fn values_and_derivatives<T: Real>(&self, z: &mut [T], slopes: &mut [T]) {
        match self {
            Transfer::Identity => slopes.fill(T::one()),
            Transfer::SigmoidBeta(beta) => sigmoids(T::of(*beta), z, slopes),
            Transfer::SwishBeta(beta) => swishes(T::of(*beta), z, slopes),
            Transfer::Custom(_) => {
                for (z, slope) in z.iter_mut().zip(slopes) {
                    (*z, *slope) = self.value_and_derivative(*z);
                }
            }
        }
    }
}

crate::vectorized! {
    fn sigmoids<T>(beta: T, z: &mut [T], slopes: &mut [T]) {
        for (z, slope) in z.iter_mut().zip(slopes) {
            (*z, *slope) = logistic(beta, *z);
        }
    }

    fn swishes<T>(beta: T, z: &mut [T], slopes: &mut [T]) {
        for (z, slope) in z.iter_mut().zip(slopes) {
            let (s, rise) = logistic(beta, *z);
            *slope = s + *z * rise;
            *z *= s;
        }
    }
}

/// `s = 1/(1 + exp(-beta z))` and `beta s (1 - s)`, without overflow for either sign of z.
#[inline(always)]
fn logistic<T: Real>(beta: T, z: T) -> (T, T) {
    // e <= 1: s and 1 - s are both formed by division, neither by a difference.
    let e = share(-absolute(beta * z));
    let (small, large) = (e / (T::one() + e), T::one() / (T::one() + e));
    let s = if beta * z >= T::zero() { large } else { small };
    (s, beta * small * large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_by_differences() {
        for f in [Transfer::Identity, Transfer::SigmoidBeta(10.0), Transfer::SwishBeta(3.0)] {
            for z in [-1.0, -0.3, -1e-3, 0.0, 0.2, 0.9] {
                let h = 1e-6;
                let at = |z: f64| f.value_and_derivative(z).0;
                let slope = (at(z + h) - at(z - h)) / (2.0 * h);
                assert!((f.value_and_derivative(z).1 - slope).abs() < 1e-8, "{f:?} at {z}");
            }
        }
    }

    #[test]
    fn a_row_is_as_its_values() {
        let own = Transfer::Custom(Arc::new(|z| (z * z, 2.0 * z)));
        let ways = [Transfer::Identity, Transfer::SigmoidBeta(10.0), Transfer::SwishBeta(3.0), own];
        for f in ways {
            let all: Vec<f64> = (0..23).map(|i| f64::from(i) / 7.0 - 1.5).collect();
            let (mut values, mut slopes) = (all.clone(), vec![9.0; 23]);
            f.values_and_derivatives(&mut values, &mut slopes);
            for ((z, value), slope) in all.iter().zip(values).zip(slopes) {
                assert_eq!((value, slope), f.value_and_derivative(*z), "{f:?} at {z}");
            }
        }
    }

    #[test]
    fn far_from_zero_nothing_overflows() {
        for z in [-1e30f32, -1e4, 1e4, 1e30] {
            let (s, slope) = Transfer::SigmoidBeta(10.0).value_and_derivative(z);
            assert_eq!((s, slope), (if z > 0.0 { 1.0 } else { 0.0 }, 0.0));
        }
        assert!(Transfer::parse("sigmoid", 1.0).unwrap_err().to_string().contains("sigmoid_beta"));
    }
}
