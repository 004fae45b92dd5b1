//! Responsibilities of a Gaussian mixture with equal priors: `p_j = softmax_j(-D_j / (2 sigma^2))`.

use crate::parts::real::Real;

/// Posterior of each prototype for one row of distances, into `p`. Sums to 1; the least distance is subtracted first.
pub fn posterior<T: Real>(d: &[T], sigma: T, p: &mut [T]) {
    let scale = T::one() / (T::of(2.0) * sigma * sigma);
    let least = d.iter().copied().fold(T::infinity(), num_traits::Float::min);
    let mut sum = T::zero();
    for (p, d) in p.iter_mut().zip(d) {
        *p = num_traits::Float::exp((least - *d) * scale);
        sum += *p;
    }
    p.iter_mut().for_each(|p| *p /= sum);
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
