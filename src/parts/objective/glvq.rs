//! The GLVQ ratio (Sato & Yamada 1995).
//!
//! `S = d+ + d- + eps`, `mu = (d+ - d-)/S`, `L = f(mu + margin)`,
//! `dL/dd+ = f' (2 d- + eps)/S^2`, `dL/dd- = -f' (2 d+ + eps)/S^2`.
//!
//! The slopes are divided by S twice: S^2 would overflow in f32 from 1.8e19 on.

use super::PairObjective;
use super::transfer::Transfer;
use crate::parts::real::Real;

/// The GLVQ ratio with its transfer function and margin.
#[derive(Clone, Debug, PartialEq)]
pub struct Glvq {
    /// f
    pub transfer: Transfer,
    /// Added before f.
    pub margin: f64,
}

/// `mu = (p - q)/(p + q + eps)` and its derivatives with respect to p and q.
#[inline(always)]
pub fn ratio<T: Real>(p: T, q: T, eps: T) -> (T, T, T) {
    // One division: it takes longer than all the rest.
    let inverse = T::one() / (p + q + eps);
    // (2 d + eps)/S^2 with no factor that could overflow.
    let part = |d: T| (d + eps * T::of(0.5)) * inverse * (inverse + inverse);
    ((p - q) * inverse, part(q), -part(p))
}

impl<T: Real> PairObjective<T> for Glvq {
    #[inline(always)]
    fn pair(&self, d_plus: Option<T>, d_minus: Option<T>, eps: T) -> (T, T, T) {
        let value = |mu: T| self.transfer.value_and_derivative(mu + T::of(self.margin));
        match (d_plus, d_minus) {
            (Some(p), Some(m)) => {
                let (mu, dp, dm) = ratio(p, m, eps);
                let (loss, slope) = value(mu);
                (loss, slope * dp, slope * dm)
            }
            // No prototype of the class (of another class): mu is at its bound whatever the distance.
            (None, Some(_)) => (value(T::one()).0, T::zero(), T::zero()),
            _ => (value(-T::one()).0, T::zero(), T::zero()),
        }
    }

    #[inline(always)]
    fn pairs(&self, d_plus: &mut [T], d_minus: &mut [T], eps: &mut [T], losses: &mut [T]) {
        let margin = T::of(self.margin);
        for (((plus, minus), eps), loss) in
            d_plus.iter_mut().zip(&mut *d_minus).zip(&*eps).zip(&mut *losses)
        {
            let (mu, dp, dm) = ratio(*plus, *minus, *eps);
            (*loss, *plus, *minus) = (mu + margin, dp, dm);
        }
        if self.transfer == Transfer::Identity {
            return;
        }
        let slopes = eps;
        self.transfer.values_and_derivatives(losses, slopes);
        for ((plus, minus), slope) in d_plus.iter_mut().zip(d_minus).zip(slopes) {
            *plus *= *slope;
            *minus *= *slope;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::EPS;
    use super::*;

    #[test]
    fn gradient_by_differences_and_scale_invariance() {
        for transfer in [Transfer::Identity, Transfer::SigmoidBeta(10.0), Transfer::SwishBeta(10.0)]
        {
            let o = Glvq { transfer, margin: 0.1 };
            for (p, m) in [(0.37, 2.72), (0.65, 0.97), (5.0, 1.7), (1e-3, 2.0)] {
                let loss = |p: f64, m: f64| o.pair(Some(p), Some(m), EPS).0;
                let (_, gp, gm) = o.pair(Some(p), Some(m), EPS as _);
                let h = 1e-6 * p;
                let fp = (loss(p + h, m) - loss(p - h, m)) / (2.0 * h);
                let fm = (loss(p, m + h) - loss(p, m - h)) / (2.0 * h);
                assert!((gp - fp).abs() < 1e-6 * fp.abs().max(1.0), "{gp} {fp}");
                assert!((gm - fm).abs() < 1e-6 * fm.abs().max(1.0), "{gm} {fm}");
                // mu does not change when both distances are scaled.
                assert!((gp * p + gm * m).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn many_rows_are_as_each() {
        let own = Transfer::Custom(std::sync::Arc::new(|z| (z * z, 2.0 * z)));
        for transfer in [Transfer::Identity, Transfer::SigmoidBeta(10.0), own] {
            let o = Glvq { transfer, margin: 0.1 };
            let p: Vec<f64> = (0..37).map(|i| f64::from(i % 7) / 3.0).collect();
            let q: Vec<f64> = (0..37).map(|i| f64::from(i % 5) + 0.1).collect();
            let (mut dp, mut dq) = (p.clone(), q.clone());
            let (mut losses, mut eps) = (vec![0.0; 37], vec![EPS; 37]);
            o.pairs(&mut dp, &mut dq, &mut eps, &mut losses);
            for i in 0..37 {
                let one = o.pair(Some(p[i]), Some(q[i]), EPS);
                assert_eq!((losses[i], dp[i], dq[i]), one, "row {i}");
            }
        }
    }

    #[test]
    fn missing_sides_are_constants_and_extremes_are_finite() {
        let o = Glvq { transfer: Transfer::Identity, margin: 0.0 };
        assert_eq!(o.pair(None, Some(1.0f32), 1e-10), (1.0, 0.0, 0.0));
        assert_eq!(o.pair(Some(1.0f32), None, 1e-10), (-1.0, 0.0, 0.0));
        for (p, m) in [(0.0f32, 0.0), (1e30, 1e30), (1e-30, 1e-30), (3e38, 1.0)] {
            let (l, a, b) = o.pair(Some(p), Some(m), EPS as _);
            assert!(l.is_finite() && a.is_finite() && b.is_finite(), "{p} {m}: {l} {a} {b}");
        }
    }
}
