//! Responsibilities of a Gaussian mixture with equal priors: `p_j = softmax_j(-D_j / (2 sigma^2))`.

use crate::parts::exp::share;
use crate::parts::objective::EPS;
use crate::parts::real::Real;
use crate::parts::simd;

crate::vectorized! {
    /// Posterior of each prototype for one row of distances, into `p`. Sums to 1; the least distance is subtracted first.
    pub fn posterior<T>(d: &[T], sigma: T, p: &mut [T]) {
        let sum = likelihoods(d, simd::least(d), sigma, p);
        for p in p {
            *p /= sum;
        }
    }
}

crate::vectorized! {
    /// Responsibilities times rank weights, `w = u/(sum u + eps)`, `u = P h^` with `P = e/(sum e + eps)`,
    /// `e = exp(-(D - least D)/(2 sigma^2))`, `h^ = h/(sum h + eps)`. Up to `eps` one softmax.
    ///
    /// h in `w` becomes w; P into `p`. Returns `sum h + eps` and `sum u + eps`.
    pub fn ranked<T>(d: &[T], sigma: T, w: &mut [T], p: &mut [T]) -> (T, T) {
        let eps = T::of(EPS);
        let heights = simd::total(w) + eps;
        let responsibilities = likelihoods(d, simd::least(d), sigma, p) + eps;
        for (w, e) in w.iter_mut().zip(&*p) {
            *w *= *e;
        }
        let both = simd::total(w);
        let sum = both / heights / responsibilities;
        let factor = sum / (sum + eps) / both;
        for (w, p) in w.iter_mut().zip(p) {
            *w *= factor;
            *p /= responsibilities;
        }
        (heights, sum + eps)
    }
}

/// `e_j = exp(-(D_j - least)/(2 sigma^2))` into `e`; returns their sum. To be called inside a vectorized function.
#[inline(always)]
pub fn likelihoods<T: Real>(d: &[T], least: T, sigma: T, e: &mut [T]) -> T {
    let scale = T::one() / (T::of(2.0) * sigma * sigma);
    for (e, d) in e.iter_mut().zip(d) {
        *e = share((least - *d) * scale);
    }
    simd::total(e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_to_one_and_falls_with_distance() {
        let mut p = [0.0f64; 3];
        posterior(&[1.0, 3.0, 2.0], 0.7, &mut p);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-15 && p[0] > p[2] && p[2] > p[1]);
        assert!((p[1] / p[0] - (-2.0f64 / 0.98).exp()).abs() < 1e-15);
        let mut p = [0.0f32; 2];
        posterior(&[1e30, 1e30], 1e-3, &mut p);
        assert_eq!(p, [0.5, 0.5]);
    }
}
