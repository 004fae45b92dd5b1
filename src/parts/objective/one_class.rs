//! One-class LVQ: the GLVQ ratio against a learned threshold per prototype (Staps et al. 2022).
//!
//! With `s = 1` for a row of the target class and -1 for any other: `mu = s (D - theta)/(D + theta + eps)`, `cost = f(mu + margin)`,
//! `dcost/dD = f' s (2 theta + eps)/S^2`, `dcost/dtheta = -f' s (2 D + eps)/S^2`, `S = D + theta + eps`.
//!
//! The score of a row, from `m = (D - theta)/(D + theta + eps)`: `1 - sg(beta m)`, in (0, 1), 1/2 at the threshold.

use super::glvq::ratio;
use super::transfer::Transfer;
use crate::parts::kernel::{Against, Map, Seen};
use crate::parts::real::Real;
use crate::parts::simd::{add_scaled, inner};

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

/// The costs of a row at all prototypes.
#[derive(Clone, Debug, Default)]
pub struct Costs<T> {
    /// [`cost`] at each prototype.
    pub cost: Vec<T>,
    /// Its derivative with respect to the distance's key.
    pub by_key: Vec<T>,
    /// Its derivative with respect to theta.
    pub by_theta: Vec<T>,
    slope: Vec<T>,
    against: Against<T>,
}

impl<T: Real> Costs<T> {
    /// Takes the keys of a row.
    pub fn row(
        &mut self,
        map: Map,
        keys: &[T],
        thetas: &[T],
        target: bool,
        transfer: &Transfer,
        margin: T,
    ) {
        for list in [&mut self.cost, &mut self.by_key, &mut self.by_theta, &mut self.slope] {
            list.resize(keys.len(), T::zero());
        }
        self.against.set(map, keys, thetas);
        let s = if target { T::one() } else { -T::one() };
        ratios(&self.against, s, margin, &mut self.cost, (&mut self.by_key, &mut self.by_theta));
        transfer.values_and_derivatives(&mut self.cost, &mut self.slope);
        chain(&self.slope, &mut self.by_key, &mut self.by_theta);
    }

    /// The loss, the weighted sum of the costs, with weights that are constants. `factor` times its derivatives with respect to the keys into
    /// `g`, with respect to the tensor behind the thresholds (`on_theta`: their slopes, and the sums), times `scale`, added.
    pub fn weigh(
        &self,
        weights: &[T],
        factor: T,
        scale: T,
        g: &mut [T],
        on_theta: (&[T], &mut [T]),
    ) -> T {
        let (slopes, sums) = on_theta;
        weigh(weights, factor, &self.by_key, g);
        add_weighted(weights, factor * scale, (&self.by_theta, slopes), sums);
        inner(weights, &self.cost)
    }

    /// What the weights add where they are responsibilities: `w_j (cost_j - loss) - P_j tau` into `out`. `rest`: P and tau, which is 0 for
    /// weights that sum to 1.
    pub fn shares(&self, weights: &[T], rest: (&[T], T), loss: T, out: &mut [T]) {
        let (posterior, tau) = rest;
        centred(weights, &self.cost, loss, out);
        if tau != T::zero() {
            add_scaled(out, -tau, posterior);
        }
    }

    /// `sum_j P_j slope_j (cost_j - loss)`.
    pub fn along(&self, posterior: &[T], slopes: &[T], loss: T) -> T {
        let all = posterior.iter().zip(slopes).zip(&self.cost);
        all.map(|((p, slope), cost)| *p * *slope * (*cost - loss)).sum()
    }
}

crate::vectorized! {
    /// `z = s mu + margin` and its derivatives with respect to key and threshold.
    fn ratios<T>(against: &Against<T>, s: T, margin: T, z: &mut [T], slopes: (&mut [T], &mut [T])) {
        let Against { d, d_slope, theta, theta_slope, eps } = against;
        let lists = z.iter_mut().zip(slopes.0).zip(slopes.1);
        let pairs = d.iter().zip(d_slope).zip(theta).zip(theta_slope).zip(eps);
        for (((z, by_key), by_theta), ((((d, d_slope), theta), theta_slope), eps)) in lists.zip(pairs) {
            let (mu, dp, dq) = ratio(*d, *theta, *eps);
            *z = s * mu + margin;
            *by_key = s * dp * *d_slope;
            *by_theta = s * dq * *theta_slope;
        }
    }

    /// Both times the slope of the transfer function.
    fn chain<T>(slope: &[T], by_key: &mut [T], by_theta: &mut [T]) {
        for ((slope, by_key), by_theta) in slope.iter().zip(by_key).zip(by_theta) {
            *by_key *= *slope;
            *by_theta *= *slope;
        }
    }

    fn weigh<T>(weights: &[T], factor: T, slopes: &[T], g: &mut [T]) {
        for ((g, w), slope) in g.iter_mut().zip(weights).zip(slopes) {
            *g = *w * factor * *slope;
        }
    }

    fn add_weighted<T>(weights: &[T], factor: T, slopes: (&[T], &[T]), sums: &mut [T]) {
        for (((sum, w), a), b) in sums.iter_mut().zip(weights).zip(slopes.0).zip(slopes.1) {
            *sum += *w * factor * *a * *b;
        }
    }

    fn centred<T>(weights: &[T], cost: &[T], loss: T, out: &mut [T]) {
        for ((out, w), cost) in out.iter_mut().zip(weights).zip(cost) {
            *out = *w * (*cost - loss);
        }
    }
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
    fn a_row_is_as_its_pairs() {
        let (f, mut costs) = (Transfer::SigmoidBeta(4.0), Costs::default());
        let keys = [0.3, 1.2, 0.1, 2.5, 0.0];
        let thetas = [0.7, 0.4, 1e-3, 2.0, 0.5];
        let (weights, posterior) = ([0.1, 0.3, 0.2, 0.3, 0.1], [0.2, 0.1, 0.4, 0.1, 0.2]);
        for map in [Map::Identity, Map::Gaussian, Map::Log] {
            costs.row(map, &keys, &thetas, false, &f, 0.1);
            let (mut g, mut sums, mut shares) = ([0.0; 5], [1.0; 5], [0.0; 5]);
            let on_theta = (&[0.5, 1.0, 2.0, 1.0, 0.1][..], &mut sums[..]);
            let loss = costs.weigh(&weights, 3.0, 2.0, &mut g, on_theta);
            costs.shares(&weights, (&posterior, 0.25), loss, &mut shares);
            let (mut sum, mut along) = (0.0, 0.0);
            for j in 0..5 {
                let (d, theta, eps) = map.against(keys[j], thetas[j]);
                let (cost, gk, gt) = cost(d, theta, eps, false, &f, 0.1);
                let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-14, "{map:?} {j}: {a} {b}");
                near(costs.cost[j], cost);
                near(g[j], 3.0 * weights[j] * gk);
                let slope = [0.5, 1.0, 2.0, 1.0, 0.1][j];
                near(sums[j], 1.0 + 6.0 * weights[j] * gt * slope);
                near(shares[j], weights[j] * (cost - loss) - 0.25 * posterior[j]);
                sum += weights[j] * cost;
                along += posterior[j] * weights[j] * (cost - loss);
            }
            assert!((sum - loss).abs() < 1e-15);
            assert!((costs.along(&posterior, &weights, loss) - along).abs() < 1e-15);
        }
    }

    #[test]
    fn scores() {
        assert_eq!(score(0.0, 10.0), 0.5);
        assert!(score(-1.0, 10.0) > 0.99 && score(1.0, 10.0) < 0.01);
        assert!(score(1.0f32, 1e30) == 0.0 && score(-1.0f32, 1e30) == 1.0);
    }
}
