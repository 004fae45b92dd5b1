//! Kernels: what is made of distances before the objective sees them.
//!
//! A metric may hand over *keys* in place of distances: numbers that order as the distances do and do not leave their range. A [`Map`] says what
//! distance a key stands for.

pub mod bandwidth;
pub mod exponential;
pub mod gaussian;
pub mod similarity;

use super::exp::{exp, exp_m1, ln, share};
use super::objective::EPS;
use super::real::Real;

/// What distance a key stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Map {
    /// Itself.
    #[default]
    Identity,
    /// `D = -2 expm1(-u)`, the Gaussian kernel's distance.
    Gaussian,
    /// `D = exp(ell)`. Only ratios of distances can be formed: each pair is divided by the larger of the two.
    Log,
}

/// A distance in a unit of its own, and its derivative with respect to the key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen<T> {
    /// The distance.
    pub value: T,
    /// Its derivative.
    pub slope: T,
}

/// The nearest right and the nearest wrong distances of some rows, each pair in a unit of its own.
#[derive(Clone, Debug, Default)]
pub struct Opposed<T> {
    /// The right ones.
    pub plus: Vec<T>,
    /// The wrong ones.
    pub minus: Vec<T>,
    /// `eps` in that unit.
    pub eps: Vec<T>,
    /// Derivatives of the right ones with respect to their keys.
    pub plus_slopes: Vec<T>,
    /// Derivatives of the wrong ones.
    pub minus_slopes: Vec<T>,
}

/// The distances of a row and its thresholds, each pair in a unit of its own: [`Map::against`] of every prototype.
#[derive(Clone, Debug, Default)]
pub struct Against<T> {
    /// The distance of each key.
    pub d: Vec<T>,
    /// Its derivative with respect to the key.
    pub d_slope: Vec<T>,
    /// The threshold.
    pub theta: Vec<T>,
    /// Its derivative with respect to theta.
    pub theta_slope: Vec<T>,
    /// `eps` in that unit.
    pub eps: Vec<T>,
}

impl<T: Real> Against<T> {
    /// Takes the keys of a row and the thresholds.
    pub fn set(&mut self, map: Map, keys: &[T], thetas: &[T]) {
        let p = keys.len();
        for list in
            [&mut self.d, &mut self.d_slope, &mut self.theta, &mut self.theta_slope, &mut self.eps]
        {
            list.resize(p, T::zero());
        }
        if map == Map::Log {
            in_units(keys, thetas, self);
            return;
        }
        self.theta.copy_from_slice(thetas);
        self.theta_slope.fill(T::one());
        self.eps.fill(T::of(EPS));
        if map == Map::Gaussian {
            gaussian(keys, &mut self.d, &mut self.d_slope);
        } else {
            self.d.copy_from_slice(keys);
            self.d_slope.fill(T::one());
        }
    }
}

crate::vectorized! {
    /// `-2 expm1(-u)` and its derivative, see [`bandwidth::distance`].
    fn gaussian<T>(keys: &[T], d: &mut [T], slope: &mut [T]) {
        let two = T::of(2.0);
        for ((u, d), slope) in keys.iter().zip(d).zip(slope) {
            *d = -two * exp_m1(-*u);
            *slope = two * share(-*u);
        }
    }

    /// `-2 expm1(-u)`.
    fn gaussian_distances<T>(keys: &[T], d: &mut [T]) {
        for (u, d) in keys.iter().zip(d) {
            *d = -T::of(2.0) * exp_m1(-*u);
        }
    }

    /// The same with its derivative, in place of the keys.
    fn gaussian_of<T>(keys: &mut [T], slopes: &mut [T]) {
        for (u, slope) in keys.iter_mut().zip(slopes) {
            *slope = T::of(2.0) * share(-*u);
            *u = -T::of(2.0) * exp_m1(-*u);
        }
    }

    /// Logarithms of two distances, each pair over the largest of the two and `eps`.
    fn in_one_unit<T>(plus: &mut [T], minus: &mut [T], eps: &mut [T], plus_slopes: &mut [T], minus_slopes: &mut [T]) {
        let floor = ln_eps::<T>();
        let slopes = plus_slopes.iter_mut().zip(minus_slopes);
        for (((plus, minus), eps), (plus_slope, minus_slope)) in plus.iter_mut().zip(minus).zip(eps).zip(slopes) {
            let larger = if *plus > *minus { *plus } else { *minus };
            let unit = if larger > floor { larger } else { floor };
            *plus = share(*plus - unit);
            *minus = share(*minus - unit);
            *eps = share(floor - unit);
            (*plus_slope, *minus_slope) = (*plus, *minus);
        }
    }

    /// `factor` times `2 exp(-u)`, times `g`.
    fn gaussian_backward<T>(keys: &[T], factor: T, g: &mut [T]) {
        for (g, u) in g.iter_mut().zip(keys) {
            *g *= factor * (T::of(2.0) * share(-*u));
        }
    }

    /// Of logarithms of distances: each pair over the largest of the two and `eps`.
    fn in_units<T>(keys: &[T], thetas: &[T], out: &mut Against<T>) {
        let floor = ln_eps::<T>();
        let Against { d, d_slope, theta: of_theta, theta_slope, eps } = out;
        let lists = d.iter_mut().zip(d_slope).zip(of_theta).zip(theta_slope).zip(eps);
        for (((((d, d_slope), of_theta), theta_slope), eps), (key, theta)) in lists.zip(keys.iter().zip(thetas)) {
            let ln_theta = ln(*theta);
            let larger = if *key > ln_theta { *key } else { ln_theta };
            let unit = if larger > floor { larger } else { floor };
            *d = share(*key - unit);
            *d_slope = *d;
            *of_theta = share(ln_theta - unit);
            *theta_slope = exp(-unit);
            *eps = share(floor - unit);
        }
    }
}

impl Map {
    /// The distance of one key and its derivative (of [`Map::Log`] as it is: it may overflow).
    pub fn see<T: Real>(self, key: T) -> Seen<T> {
        match self {
            Map::Identity => Seen { value: key, slope: T::one() },
            Map::Gaussian => {
                let (value, slope) = bandwidth::distance(key);
                Seen { value, slope }
            }
            Map::Log => {
                let value = num_traits::Float::exp(key);
                Seen { value, slope: value }
            }
        }
    }

    /// The distances of a row of keys: those themselves, or into `room`.
    pub fn values<'a, T: Real>(self, keys: &'a [T], room: &'a mut Vec<T>) -> &'a [T] {
        if self == Map::Identity {
            return keys;
        }
        room.clear();
        match self {
            Map::Gaussian => {
                room.resize(keys.len(), T::zero());
                gaussian_distances(keys, room);
            }
            _ => room.extend(keys.iter().map(|key| self.see(*key).value)),
        }
        room
    }

    /// `factor dL/dD` becomes the derivative with respect to the keys of a row.
    pub fn backward<T: Real>(self, keys: &[T], factor: T, g: &mut [T]) {
        if self == Map::Identity {
            g.iter_mut().for_each(|g| *g *= factor);
            return;
        }
        if self == Map::Gaussian {
            gaussian_backward(keys, factor, g);
            return;
        }
        for (g, key) in g.iter_mut().zip(keys) {
            *g *= factor * self.see(*key).slope;
        }
    }

    /// How much farther a key is than the smallest one, `D - D_least`: finite or infinite, never NaN.
    pub fn excess(self, key: f64, least: f64) -> f64 {
        let far = self.see(key).value;
        match self {
            // The common factor is taken out: both may be infinite.
            Map::Log if least > f64::NEG_INFINITY => match (key - least).exp_m1() {
                0.0 => 0.0,
                more => least.exp() * more,
            },
            _ => far - self.see(least).value,
        }
    }

    /// Two distances in one unit, and `eps` in that unit.
    pub fn pair<T: Real>(self, a: T, b: T) -> (Seen<T>, Seen<T>, T) {
        match self {
            Map::Log => {
                let unit = unit(a, b);
                (in_unit(a, unit), in_unit(b, unit), num_traits::Float::exp(ln_eps::<T>() - unit))
            }
            _ => (self.see(a), self.see(b), T::of(EPS)),
        }
    }

    /// [`Map::pair`] of many pairs, in place of their keys.
    pub fn pairs<T: Real>(self, pairs: &mut Opposed<T>) {
        let Opposed { plus, minus, eps, plus_slopes, minus_slopes } = pairs;
        for list in [&mut *eps, &mut *plus_slopes, &mut *minus_slopes] {
            list.resize(plus.len(), T::zero());
        }
        match self {
            Map::Log => in_one_unit(plus, minus, eps, plus_slopes, minus_slopes),
            Map::Gaussian => {
                gaussian_of(plus, plus_slopes);
                gaussian_of(minus, minus_slopes);
                eps.fill(T::of(EPS));
            }
            Map::Identity => {
                plus_slopes.fill(T::one());
                minus_slopes.fill(T::one());
                eps.fill(T::of(EPS));
            }
        }
    }

    /// A distance and a threshold `theta >= 0` in one unit (the slope of the threshold is with respect to theta), and `eps` in that
    /// unit.
    pub fn against<T: Real>(self, a: T, theta: T) -> (Seen<T>, Seen<T>, T) {
        match self {
            Map::Log => {
                let ln_theta = num_traits::Float::ln(theta);
                let unit = unit(a, ln_theta);
                let value = in_unit(ln_theta, unit).value;
                // Far below the unit of the distance a change of theta is lost, not infinite.
                let slope = num_traits::Float::exp(-unit);
                (
                    in_unit(a, unit),
                    Seen { value, slope },
                    num_traits::Float::exp(ln_eps::<T>() - unit),
                )
            }
            _ => (self.see(a), Seen { value: theta, slope: T::one() }, T::of(EPS)),
        }
    }
}

fn ln_eps<T: Real>() -> T {
    T::of(EPS.ln())
}

/// Logarithm of the unit: the largest of the two and `eps`.
fn unit<T: Real>(a: T, b: T) -> T {
    num_traits::Float::max(num_traits::Float::max(a, b), ln_eps())
}

fn in_unit<T: Real>(key: T, unit: T) -> Seen<T> {
    let value = share(key - unit);
    Seen { value, slope: value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_as_their_pairs() {
        let keys = [0.3, 2.0, -1.5, 40.0, 0.0, 1e-9, 700.0, 5.0, 0.7];
        let thetas = [0.5, 1e-6, 3.0, 2.0, 0.1, 1.0, 4.0, 5e3, 0.7];
        for map in [Map::Identity, Map::Gaussian, Map::Log] {
            let keys = if map == Map::Log { keys } else { keys.map(f64::abs) };
            let mut all = Against::default();
            all.set(map, &keys, &thetas);
            let (mut room, mut g) = (vec![], [0.3; 9]);
            map.backward(&keys[..5], 0.7, &mut g[..5]);
            for (j, d) in map.values(&keys[..5], &mut room).iter().enumerate() {
                let seen = map.see(keys[j]);
                assert!((d - seen.value).abs() <= 1e-15 * seen.value.abs(), "{map:?} {j}");
                let slope = 0.21 * seen.slope;
                assert!((g[j] - slope).abs() <= 1e-15 * slope.abs(), "{map:?} {j}");
            }
            for j in 0..keys.len() {
                let (d, theta, eps) = map.against(keys[j], thetas[j]);
                let got = [all.d[j], all.d_slope[j], all.theta[j], all.theta_slope[j], all.eps[j]];
                let exact = [d.value, d.slope, theta.value, theta.slope, eps];
                for (got, exact) in got.iter().zip(exact) {
                    // What is below the smallest normal number is 0 in one and a rest in the other.
                    let near = (got - exact).abs() <= 1e-14 * exact + 2.0 * f64::MIN_POSITIVE;
                    assert!(near, "{map:?} {j}: {got} {exact}");
                }
            }
        }
    }

    #[test]
    fn many_pairs_are_as_each() {
        let plus = [0.3, 2.0, -1.5, 40.0, 0.0, 1e-9, 700.0, f64::NEG_INFINITY, 0.7];
        let minus = [0.5, 1e-6, 3.0, 2.0, -90.0, 1.0, 701.0, 5e3, 0.7];
        for map in [Map::Identity, Map::Gaussian, Map::Log] {
            let keys = |k: [f64; 9]| if map == Map::Log { k } else { k.map(|k| k.abs().min(9e9)) };
            let (plus, minus) = (keys(plus), keys(minus));
            let mut all = Opposed { plus: plus.into(), minus: minus.into(), ..Default::default() };
            map.pairs(&mut all);
            for i in 0..9 {
                let (p, m, eps) = map.pair(plus[i], minus[i]);
                let got = [all.plus[i], all.minus[i], all.plus_slopes[i], all.minus_slopes[i]];
                let exact = [p.value, m.value, p.slope, m.slope];
                for (got, exact) in got.iter().zip(exact).chain([(&all.eps[i], eps)]) {
                    let near = (got - exact).abs() <= 1e-14 * exact + 2.0 * f64::MIN_POSITIVE;
                    assert!(near, "{map:?} {i}: {got} {exact}");
                }
            }
        }
    }

    #[test]
    fn excess_of_any_size() {
        let e = Map::Log.excess(2.0f64.ln(), 0.5f64.ln());
        assert!((e - 1.5).abs() < 1e-15);
        assert_eq!(Map::Log.excess(3.0, f64::NEG_INFINITY), 3.0f64.exp());
        assert_eq!(Map::Log.excess(1e9, 1e9), 0.0);
        assert_eq!(Map::Log.excess(1e9 + 1.0, 1e9), f64::INFINITY);
        assert_eq!(Map::Log.excess(f64::NEG_INFINITY, f64::NEG_INFINITY), 0.0);
        assert_eq!(Map::Identity.excess(3.0, 1.0), 2.0);
        assert!(
            (Map::Gaussian.excess(2.0, 1.0) - 2.0 * ((-1.0f64).exp() - (-2.0f64).exp())).abs()
                < 1e-15
        );
    }

    #[test]
    fn ratios_do_not_depend_on_the_unit() {
        for (a, b) in [(0.5f64, 2.0f64), (3.0, 1e-3), (1e-12, 1e-11)] {
            let (p, q, eps) = Map::Log.pair(a.ln(), b.ln());
            let ratio = (p.value - q.value) / (p.value + q.value + eps);
            assert!((ratio - (a - b) / (a + b + EPS)).abs() < 1e-14);
            let (p, q, eps) = Map::Log.against(a.ln(), b);
            let ratio = (p.value - q.value) / (p.value + q.value + eps);
            assert!((ratio - (a - b) / (a + b + EPS)).abs() < 1e-14);
        }
        let (p, q, eps) = Map::Log.pair(5_000.0f32, f32::NEG_INFINITY);
        assert_eq!((p.value, q.value, eps), (1.0, 0.0, 0.0));
    }
}
