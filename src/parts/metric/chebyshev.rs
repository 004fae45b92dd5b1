//! The Chebyshev distance, `D_ij = max_a |x_ia - w_ja|`.
//!
//! Backward: with `A = { a : |x_ia - w_ja| = D_ij }`, `dD_ij/dw_ja = -[a in A] sgn(x_ia - w_ja) / |A|`. Coordinates
//! that tie share equally; `sgn(0)` is taken as +1.

use super::Inputs;
use super::block::with_sign;
use super::direct::{Direct, Pairwise};
use crate::parts::real::Real;
use crate::parts::simd::{absolute, largest_difference, reduce};

/// See the [module](self).
pub type Chebyshev<T> = Direct<T, Largest>;

/// The largest of the coordinates' distances.
pub struct Largest;

impl<T: Real> Direct<T, Largest> {
    /// Copies the prototypes.
    pub fn new(inputs: Inputs<'_, T>) -> Self {
        Direct::with(inputs, Largest)
    }
}

impl<T: Real> Pairwise<T> for Largest {
    #[inline(always)]
    fn distance(&self, x: &[T], w: &[T]) -> T {
        largest_difference(x, w)
    }

    #[inline(always)]
    fn add_gradient(&self, g: T, x: &[T], w: &[T], dw: &mut [T]) {
        let max = largest_difference(x, w);
        let tied = |x: T, w: T| if absolute(x - w) == max { T::one() } else { T::zero() };
        let share = g / reduce(x, w, tied);
        for ((dw, x), w) in dw.iter_mut().zip(x).zip(w) {
            let e = *x - *w;
            *dw -= if absolute(e) == max { with_sign(share, e) } else { T::zero() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::super::check::{self, Subject};
    use super::*;

    struct Max;

    impl Subject for Max {
        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Chebyshev::new(inputs))
        }
        fn distance(&self, x: &[f64], w: &[f64], _: &[f64]) -> f64 {
            x.iter().zip(w).map(|(x, w)| (x - w).abs()).fold(0.0, f64::max)
        }
        fn gradient(&self, x: &[f64], w: &[f64], _: &[f64]) -> (Vec<f64>, Vec<f64>) {
            // No ties among random numbers.
            let max = self.distance(x, w, &[]);
            let slope = |(x, w): (&f64, &f64)| {
                if (x - w).abs() == max { (w - x).signum() } else { 0.0 }
            };
            (x.iter().zip(w).map(slope).collect(), vec![])
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Max);
    }

    #[test]
    fn worked_example() {
        let dw = [0.0, 0.38223140, 0.0, -0.15570934, -0.05165289, -0.20039178];
        check::example_gradients(&Max, &[], -0.1510695187, &dw, &[]);
    }

    /// All coordinates tie at distance 0.
    #[test]
    fn zero_distance() {
        let (d, dw) = check::at_zero_distance(&Max, &[]);
        assert_eq!((d, dw), (0.0, vec![-1.0 / 3.0; 3]));
    }

    #[test]
    fn ties_share_equally() {
        let mut dw = [0.0; 4];
        Largest.add_gradient(6.0, &[2.0, -2.0, 1.0, 2.0], &[0.0; 4], &mut dw);
        assert_eq!(dw, [-2.0, 2.0, 0.0, -2.0]);
    }
}
