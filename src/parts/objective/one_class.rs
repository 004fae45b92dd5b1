//! One-class LVQ: the GLVQ ratio against a learned threshold per prototype (Staps et al. 2022).
//!
//! With `s = 1` for a row of the target class and -1 for any other: `mu = s (D - theta)/(D + theta + eps)`, `cost = f(mu + margin)`,
//! `dcost/dD = f' s (2 theta + eps)/S^2`, `dcost/dtheta = -f' s (2 D + eps)/S^2`, `S = D + theta + eps`.
//!
//! The score of a row, from `m = (D - theta)/(D + theta + eps)`: `1 - sg(beta m)`, in (0, 1), 1/2 at the threshold.

use super::glvq::ratio;
use super::transfer::Transfer;
use crate::parts::kernel::Seen;
use crate::parts::real::Real;

/// Cost of a row at one prototype, and its derivatives with respect to the distance's key and to theta.
pub fn cost<T: Real>(
    d: Seen<T>,
    theta: Seen<T>,
    eps: T,
    target: bool,
    transfer: &Transfer,
    margin: T,
) -> (T, T, T) {
    let (mu, dp, dq) = ratio(d.value, theta.value, eps);
    let s = if target { T::one() } else { -T::one() };
    let (value, slope) = transfer.value_and_derivative(s * mu + margin);
    (value, slope * s * dp * d.slope, slope * s * dq * theta.slope)
}

/// The score of `m`, high for the target class: `sg(-beta m)`, without overflow.
pub fn score<T: Real>(m: T, beta: T) -> T {
    let z = beta * m;
    let e = num_traits::Float::exp(-num_traits::Float::abs(z));
    if z > T::zero() { e / (T::one() + e) } else { T::one() / (T::one() + e) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::kernel::Map;

    #[test]
    fn derivatives_by_differences() {
        let f = Transfer::SwishBeta(4.0);
        for map in [Map::Identity, Map::Gaussian, Map::Log] {
            for target in [true, false] {
                for (key, theta) in [(0.3, 0.7), (1.2, 0.4), (-0.5f64, 0.9)] {
                    let key = if map == Map::Log { key } else { key.abs() };
                    let at = |key: f64, theta: f64| {
                        let (d, t, eps) = map.against(key, theta);
                        cost(d, t, eps, target, &f, 0.1)
                    };
                    let h = 1e-6;
                    let (_, gk, gt) = at(key, theta);
                    let dk = (at(key + h, theta).0 - at(key - h, theta).0) / (2.0 * h);
                    let dt = (at(key, theta + h).0 - at(key, theta - h).0) / (2.0 * h);
                    assert!((gk - dk).abs() < 1e-8 && (gt - dt).abs() < 1e-8, "{map:?}");
                }
            }
        }
    }

    #[test]
    fn scores() {
        assert_eq!(score(0.0, 10.0), 0.5);
        assert!(score(-1.0, 10.0) > 0.99 && score(1.0, 10.0) < 0.01);
        assert!(score(1.0f32, 1e30) == 0.0 && score(-1.0f32, 1e30) == 1.0);
    }
}
