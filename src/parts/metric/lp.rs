//! The Lp distance, `D_ij = (sum_a |x_ia - w_ja|^p)^(1/p)` for a finite `p > 1`.
//!
//! Forward, scaled so that no power overflows: with `t = max_a |e_a|`, `D = t (sum_a (|e_a| / t)^p)^(1/p)`.
//!
//! Backward: `dD_ij/dw_ja = -(|e_a| / D)^(p-1) sgn(e_a)`, every ratio at most 1; at `D = 0` the subgradient is
//! taken as 0.
//!
//! A whole `p` up to 16 is computed by products, any other by `powf`.

use super::Inputs;
use super::block::with_sign;
use super::direct::{Direct, Pairwise};
use crate::parts::real::Real;
use crate::parts::simd::{LANES, absolute, largest_difference};

/// See the [module](self).
pub type Lp<T> = Direct<T, Power<T>>;

/// The `p`-th root of the sum of `p`-th powers.
pub struct Power<T> {
    p: T,
    /// `p`, where it is whole and small.
    whole: Option<u32>,
}

impl<T: Real> Direct<T, Power<T>> {
    /// Copies the prototypes. `p` is finite and above 1.
    pub fn new(inputs: Inputs<'_, T>, p: f64) -> Self {
        assert!(p.is_finite() && p > 1.0, "an Lp distance with p = {p}");
        Direct::with(inputs, Power::new(p))
    }
}

impl<T: Real> Power<T> {
    fn new(p: f64) -> Self {
        let whole = (p.fract() == 0.0 && p <= 16.0).then_some(p as u32);
        Power { p: T::of(p), whole }
    }
}

/// `r^m` in every lane, `m >= 1`.
#[inline(always)]
fn lanes_power<T: Real>(r: [T; LANES], m: u32) -> [T; LANES] {
    let mut power = r;
    for _ in 1..m {
        for l in 0..LANES {
            power[l] *= r[l];
        }
    }
    power
}

/// `r^m`, `m >= 1`.
#[inline(always)]
fn scalar_power<T: Real>(r: T, m: u32) -> T {
    (1..m).fold(r, |power, _| power * r)
}

impl<T: Real> Pairwise<T> for Power<T> {
    #[inline(always)]
    fn distance(&self, x: &[T], w: &[T]) -> T {
        let t = largest_difference(x, w);
        if t == T::zero() {
            return t;
        }
        let mut sum = T::zero();
        if let Some(m) = self.whole {
            let (cx, rx) = x.as_chunks::<LANES>();
            let (cw, rw) = w.as_chunks::<LANES>();
            let mut lane = [T::zero(); LANES];
            for (x, w) in cx.iter().zip(cw) {
                let mut r = [T::zero(); LANES];
                for l in 0..LANES {
                    r[l] = absolute(x[l] - w[l]) / t;
                }
                let r = lanes_power(r, m);
                for l in 0..LANES {
                    lane[l] += r[l];
                }
            }
            for (x, w) in rx.iter().zip(rw) {
                sum += scalar_power(absolute(*x - *w) / t, m);
            }
            for l in lane {
                sum += l;
            }
        } else {
            for (x, w) in x.iter().zip(w) {
                sum += num_traits::Float::powf(absolute(*x - *w) / t, self.p);
            }
        }
        t * num_traits::Float::powf(sum, T::one() / self.p)
    }

    #[inline(always)]
    fn add_gradient(&self, g: T, x: &[T], w: &[T], dw: &mut [T]) {
        let dist = self.distance(x, w);
        if dist == T::zero() {
            return;
        }
        if let Some(m) = self.whole {
            // p >= 2 here, so the power is at least the first.
            let (cx, rx) = x.as_chunks::<LANES>();
            let (cw, rw) = w.as_chunks::<LANES>();
            let (cdw, rdw) = dw.as_chunks_mut::<LANES>();
            for ((dw, x), w) in cdw.iter_mut().zip(cx).zip(cw) {
                let mut r = [T::zero(); LANES];
                for l in 0..LANES {
                    r[l] = absolute(x[l] - w[l]) / dist;
                }
                let r = lanes_power(r, m - 1);
                for l in 0..LANES {
                    dw[l] -= with_sign(g * r[l], x[l] - w[l]);
                }
            }
            for ((dw, x), w) in rdw.iter_mut().zip(rx).zip(rw) {
                let e = *x - *w;
                *dw -= with_sign(g * scalar_power(absolute(e) / dist, m - 1), e);
            }
        } else {
            for ((dw, x), w) in dw.iter_mut().zip(x).zip(w) {
                let e = *x - *w;
                let power = num_traits::Float::powf(absolute(e) / dist, self.p - T::one());
                *dw -= with_sign(g * power, e);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::super::check::{self, Subject};
    use super::*;

    struct Of(f64);

    impl Subject for Of {
        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Lp::new(inputs, self.0))
        }
        fn distance(&self, x: &[f64], w: &[f64], _: &[f64]) -> f64 {
            let sum: f64 = x.iter().zip(w).map(|(x, w)| (x - w).abs().powf(self.0)).sum();
            sum.powf(1.0 / self.0)
        }
        fn gradient(&self, x: &[f64], w: &[f64], _: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let factor = self.distance(x, w, &[]).powf(1.0 - self.0);
            let slope =
                |(x, w): (&f64, &f64)| factor * (x - w).abs().powf(self.0 - 1.0) * (w - x).signum();
            (x.iter().zip(w).map(slope).collect(), vec![])
        }
    }

    #[test]
    fn all_checks() {
        for p in [1.5, 2.0, 3.0, 4.7, 16.0, 17.0] {
            check::all(&Of(p));
        }
    }

    #[test]
    fn worked_example() {
        let dw = [-0.03073922, 0.28883736, -0.00242385, -0.15512655, -0.00596552, -0.21799700];
        check::example_gradients(&Of(3.0), &[], -0.1942732327, &dw, &[]);
    }

    #[test]
    fn zero_distance_has_no_gradient() {
        for p in [1.5, 3.0] {
            let (d, dw) = check::at_zero_distance(&Of(p), &[]);
            assert_eq!((d, dw), (0.0, vec![0.0; 3]));
        }
    }

    #[test]
    fn neither_overflow_nor_underflow() {
        let (x, w) = ([3e30f32, -4e30], [0.0; 2]);
        assert!((Power::new(3.0).distance(&x, &w) / 4.497_941_5e30 - 1.0).abs() < 1e-6);
        assert!(
            (Power::new(2.5).distance(&[3e-30f32, 4e-30], &w) / 4.688_140_8e-30 - 1.0).abs() < 1e-6
        );
        let mut dw = [0.0; 2];
        Power::new(1000.0).add_gradient(1.0f32, &x, &w, &mut dw);
        assert_eq!(dw, [-0.0, 1.0]);
    }
}
