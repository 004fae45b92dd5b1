//! The Manhattan distance, `D_ij = sum_a |x_ia - w_ja|`.
//!
//! Backward: `dD_ij/dw_ja = -sgn(x_ia - w_ja)`, where `sgn(0)` is taken as +1.

use super::Inputs;
use super::block::with_sign;
use super::direct::{Direct, Pairwise};
use crate::parts::real::Real;
use crate::parts::simd::{absolute, absolute_difference};

/// See the [module](self).
pub type Manhattan<T> = Direct<T, Absolute>;

/// The sum of the coordinates' distances.
pub struct Absolute;

impl<T: Real> Direct<T, Absolute> {
    /// Copies the prototypes.
    pub fn new(inputs: Inputs<'_, T>) -> Self {
        Direct::with(inputs, Absolute)
    }
}

impl<T: Real> Pairwise<T> for Absolute {
    #[inline(always)]
    fn distance(&self, x: &[T], w: &[T]) -> T {
        absolute_difference(x, w)
    }

    const BY_TERMS: bool = true;

    #[inline(always)]
    fn term(&self, e: T) -> T {
        absolute(e)
    }

    #[inline(always)]
    fn add_gradient(&self, g: T, x: &[T], w: &[T], dw: &mut [T]) {
        for ((dw, x), w) in dw.iter_mut().zip(x).zip(w) {
            *dw -= with_sign(g, *x - *w);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::super::check::{self, Subject};
    use super::*;

    struct Sum;

    impl Subject for Sum {
        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Manhattan::new(inputs))
        }
        fn distance(&self, x: &[f64], w: &[f64], _: &[f64]) -> f64 {
            x.iter().zip(w).map(|(x, w)| (x - w).abs()).sum()
        }
        fn gradient(&self, x: &[f64], w: &[f64], _: &[f64]) -> (Vec<f64>, Vec<f64>) {
            (x.iter().zip(w).map(|(x, w)| (w - x).signum()).collect(), vec![])
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Sum);
    }

    #[test]
    fn worked_example() {
        let dw = [-0.21001500, 0.21001500, -0.09274627, -0.09274627, 0.04338606, -0.14256435];
        check::example_gradients(&Sum, &[], -0.2821237274, &dw, &[]);
    }

    /// `sgn(0) = +1`, so each coordinate's derivative is -1.
    #[test]
    fn zero_distance() {
        let (d, dw) = check::at_zero_distance(&Sum, &[]);
        assert_eq!((d, dw), (0.0, vec![-1.0; 3]));
    }
}
