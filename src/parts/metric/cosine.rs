//! The cosine dissimilarity, `D_ij = 1 - max(0, cos(x_i, w_j))`, in `[0, 1]`. Not translation invariant: rows are taken as
//! they are, not centred.
//!
//! With unit vectors `x^`, `w^` and `S = x^ . w^`: `dS/dw = (x^ - S w^) / |w|`, so `dD/dw = -(x^ - S w^) / |w|` where `S > 0`, half
//! of that at `S = 0`, and 0 below. Lengths below machine epsilon count as machine epsilon.

use super::Inputs;
use super::direct::{Direct, Pairwise};
use crate::parts::real::Real;
use crate::parts::simd::dot;

/// See the [module](self).
pub type Cosine<T> = Direct<T, Angle>;

/// The complement of the cosine.
pub struct Angle;

impl<T: Real> Direct<T, Angle> {
    /// Copies the prototypes.
    pub fn new(inputs: Inputs<'_, T>) -> Self {
        Direct::with(inputs, Angle)
    }
}

/// `|x|`, `|w|` and the cosine of their angle.
#[inline(always)]
fn lengths_and_cosine<T: Real>(x: &[T], w: &[T]) -> (T, T, T) {
    let length = |v: &[T]| num_traits::Float::max(num_traits::Float::sqrt(dot(v, v)), T::epsilon());
    let (nx, nw) = (length(x), length(w));
    (nx, nw, dot(x, w) / nx / nw)
}

impl<T: Real> Pairwise<T> for Angle {
    #[inline(always)]
    fn distance(&self, x: &[T], w: &[T]) -> T {
        let (_, _, s) = lengths_and_cosine(x, w);
        // Rounding may leave a cosine just above 1.
        num_traits::Float::max(T::one() - num_traits::Float::max(s, T::zero()), T::zero())
    }

    #[inline(always)]
    fn add_gradient(&self, g: T, x: &[T], w: &[T], dw: &mut [T]) {
        let (nx, nw, s) = lengths_and_cosine(x, w);
        if s < T::zero() {
            return;
        }
        let g = if s == T::zero() { g * T::of(0.5) } else { g };
        for ((dw, x), w) in dw.iter_mut().zip(x).zip(w) {
            *dw -= g * (*x / nx - s * *w / nw) / nw;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_slopes() {
        let (x, w) = ([0.3, -1.0, 2.0], [1.0, 0.5, 0.2]);
        let mut g = [0.0; 3];
        Angle.add_gradient(1.0, &x, &w, &mut g);
        for a in 0..3 {
            let at = |h: f64| {
                let mut w = w;
                w[a] += h;
                Angle.distance(&x, &w)
            };
            assert!((g[a] - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-9);
        }
        // The same direction, the opposite, a right angle, nothing at all.
        let d = |x: [f32; 2], w: [f32; 2]| Angle.distance(&x, &w);
        assert_eq!(d([1.0, 2.0], [2.0, 4.0]), 0.0);
        assert_eq!(d([1.0, 0.0], [-1.0, 0.0]), 1.0);
        assert_eq!(d([1.0, 0.0], [0.0, 3.0]), 1.0);
        assert_eq!(d([0.0, 0.0], [1.0, 0.0]), 1.0);
        let mut g = [0.0f32; 2];
        Angle.add_gradient(1.0, &[1.0, 0.0], &[-1.0, 0.5], &mut g);
        assert_eq!(g, [0.0, 0.0]);
        Angle.add_gradient(1.0, &[1.0, 0.0], &[0.0, 2.0], &mut g);
        assert_eq!(g, [-0.25, 0.0]);
    }
}
