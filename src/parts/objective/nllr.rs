//! Soft LVQ (Seo & Obermayer 2003): negative log ratio of right to wrong class likelihood.
//!
//! With the posterior `p_j` of a row, `c = sum over right p_j`, `q = sum over wrong p_j`:
//! `L = -log(c/(q + eps) + eps)`,
//! `dL/dD_j = (1 + eps) p_j u_j / (2 sigma^2 (q + eps)(c + eps (q + eps)))`, `u_j = q` where j is right, `-c` where it is wrong.
//!
//! q is summed directly: `1 - c` loses all digits when q is small and can come out negative in f32.

use super::{EPS, Shares, slopes};
use crate::parts::real::Real;
use crate::parts::simd;

crate::vectorized! {
    /// Loss of one row; `p` (posterior of each prototype) becomes `dL/dD`. `room` is as long as `p`.
    pub fn row<T>(p: &mut [T], room: &mut [T], labels: &[u32], class: u32, sigma: T) -> T {
        for ((r, p), l) in room.iter_mut().zip(&*p).zip(labels) {
            *r = if *l == class { T::zero() } else { *p };
        }
        let (c, q) = (simd::totals(p, labels, class).0, simd::total(room));
        let shares = shares(c, q, sigma);
        slopes(p, labels, class, shares);
        shares.loss()
    }
}

/// Loss and slopes of a row whose right prototypes have the posterior `c`, and the wrong ones `q`.
#[inline(always)]
pub fn shares<T: Real>(c: T, q: T, sigma: T) -> Shares<T> {
    let eps = T::of(EPS);
    let (first, second) = (q + eps, c + eps * (q + eps));
    // One after the other: the product of two tiny ones may underflow in f32.
    let factor = (T::one() + eps) / (T::of(2.0) * sigma * sigma);
    Shares {
        likelihood: c / first + eps,
        right: q / first / second * factor,
        wrong: -(c / second / first * factor),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::cooperation::posterior::posterior;
    use super::*;

    const LABELS: [u32; 4] = [0, 0, 1, 2];

    #[test]
    fn gradient_by_differences() {
        let d = [0.5, 1.1, 0.7, 2.0];
        for class in 0..3 {
            for sigma in [0.7, 1.0, 2.0] {
                let loss = |d: &[f64]| {
                    let mut p = [0.0; 4];
                    posterior(d, sigma, &mut p);
                    (row(&mut p, &mut [0.0; 4], &LABELS, class, sigma), p)
                };
                let (_, g) = loss(&d);
                assert!(g.iter().sum::<f64>().abs() < 1e-14);
                for j in 0..4 {
                    let at = |h: f64| {
                        let mut d = d;
                        d[j] += h;
                        loss(&d).0
                    };
                    let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((g[j] - slope).abs() < 1e-7, "{} {slope}", g[j]);
                }
            }
        }
    }

    #[test]
    fn saturated_rows_stay_finite_in_single_precision() {
        for (d, class) in [([0.0f32, 0.0, 900.0, 900.0], 0), ([900.0, 900.0, 0.0, 900.0], 0)] {
            let mut p = [0.0; 4];
            posterior(&d, 1.0, &mut p);
            let l = row(&mut p, &mut [0.0; 4], &LABELS, class, 1.0);
            assert!(
                l.is_finite() && l.abs() < 23.1 && p.iter().all(|v| v.is_finite()),
                "{l} {p:?}"
            );
        }
    }
}
