//! Robust soft LVQ (Seo & Obermayer 2003): negative log of the right class's posterior.
//!
//! With the posterior `p_j` of a row, `S_j = [class of j is the row's]`, `c = sum p_j S_j`:
//! `L = -log(c/(1 + eps) + eps)`, `dL/dD_j = p_j (S_j - c) / (2 sigma^2 (c + eps (1 + eps)))`. Rows of the gradient sum to 0.

use super::{EPS, Shares, slopes};
use crate::parts::cooperation::posterior::likelihoods;
use crate::parts::exp::{ln, share};
use crate::parts::real::Real;
use crate::parts::simd;

crate::vectorized! {
    /// Loss of one row; `p` (posterior of each prototype) becomes `dL/dD`.
    pub fn row<T>(p: &mut [T], labels: &[u32], class: u32, sigma: T) -> T {
        // The posterior's sum, formed like the reference's, so that rounding cancels where it did there.
        let (c, w) = simd::totals(p, labels, class);
        let shares = shares(c, w, sigma);
        slopes(p, labels, class, shares);
        shares.loss()
    }

    /// The same for weights w that are responsibilities P times rank weights: `L = -log(a + eps)` with `a` the weight of the right
    /// prototypes, `dL/dD_j = (w_j (S_j - a) - P_j a eps/sum)/(2 sigma^2 (a + eps))`. The weights do not quite sum to 1: the last term is what `eps`
    /// takes from all of them. `sum`: `sum u + eps`, see [`ranked`](crate::parts::cooperation::posterior::ranked). The slopes go into `g`.
    pub fn row_of_weights<T>(weights: (&[T], &[T]), sum: T, g: &mut [T], labels: &[u32], class: u32, sigma: T) -> T {
        let (w, p) = weights;
        let a = simd::totals(w, labels, class).0;
        let a_eps = a + T::of(EPS);
        let factor = T::one() / (T::of(2.0) * sigma * sigma * a_eps);
        let lost = a * T::of(EPS) / sum * factor;
        for (((g, w), p), l) in g.iter_mut().zip(w).zip(p).zip(labels) {
            let hit = if *l == class { T::one() } else { T::zero() };
            *g = *w * (hit - a) * factor - *p * lost;
        }
        -ln(a_eps)
    }

    /// `dL/drange` of [`row_of_weights`]. With `dh^ = (dh - h^ sum dh)/(sum h + eps)` and `du = P dh^`,
    /// `dL = -(sum over right du - a sum du)/(sum u + eps)/(a + eps)`.
    ///
    /// `slopes`: dh of each prototype, becomes `P dh`; `sums`: `sum h + eps` and `sum u + eps`.
    pub fn slope_of_range<T>(weights: (&[T], &[T]), slopes: &mut [T], sums: (T, T), labels: &[u32], class: u32) -> T {
        let ((w, p), (heights, sum)) = (weights, sums);
        let (a, all) = simd::totals(w, labels, class);
        // P h / (sum h + eps) / (sum u + eps) is w.
        let share = simd::total(slopes) / heights;
        for (slope, p) in slopes.iter_mut().zip(p) {
            *slope *= *p;
        }
        let (right, total) = simd::totals(slopes, labels, class);
        let unit = T::one() / heights / sum;
        let (right, total) = (right * unit - a * share, total * unit - all * share);
        -(right - a * total) / (a + T::of(EPS))
    }

    /// The same without `eps`, from the distances: `L = LSE_all - LSE_right` of `-D/(2 sigma^2)`,
    /// `dL/dD_j = (q_j - p_j)/(2 sigma^2)` with q the softmax over the right prototypes alone. Nothing saturates: far rows learn.
    /// A row whose class has no prototype costs what `eps` would cost it, without gradient. `room` is as long as `d`.
    pub fn exact_log<T>(d: &[T], g: &mut [T], room: &mut [T], labels: &[u32], class: u32, sigma: T) -> T {
        for ((r, d), l) in room.iter_mut().zip(d).zip(labels) {
            *r = if *l == class { *d } else { T::infinity() };
        }
        let (all, right) = (simd::least(d), simd::least(room));
        if right == T::infinity() {
            g.fill(T::zero());
            return -ln(T::of(EPS));
        }
        let scale = T::one() / (T::of(2.0) * sigma * sigma);
        let sum = likelihoods(d, all, sigma, g);
        for (r, l) in room.iter_mut().zip(labels) {
            let e = share((right - *r) * scale);
            *r = if *l == class { e } else { T::zero() };
        }
        let sum_right = simd::total(room);
        for (g, q) in g.iter_mut().zip(&*room) {
            *g = (*q / sum_right - *g / sum) * scale;
        }
        (right - all) * scale + ln(sum) - ln(sum_right)
    }
}

/// Loss and slopes of a row whose right prototypes have the posterior `c` of `w` (1 but for rounding).
#[inline(always)]
pub fn shares<T: Real>(c: T, w: T, sigma: T) -> Shares<T> {
    let eps = T::of(EPS);
    let factor = T::one() / (T::of(2.0) * sigma * sigma * (c + eps * (T::one() + eps)));
    Shares { likelihood: c / (w + eps) + eps, right: (T::one() - c) * factor, wrong: -c * factor }
}

#[cfg(test)]
mod tests {
    use super::super::super::cooperation::posterior::posterior;
    use super::*;

    const LABELS: [u32; 4] = [0, 0, 1, 2];

    fn loss(d: &[f64], class: u32, sigma: f64) -> f64 {
        let mut p = [0.0; 4];
        posterior(d, sigma, &mut p);
        row(&mut p, &LABELS, class, sigma)
    }

    #[test]
    fn gradient_by_differences() {
        let d = [0.5, 1.1, 0.7, 2.0];
        for class in 0..3 {
            for sigma in [0.5, 1.0, 1.7] {
                let mut g = [0.0; 4];
                posterior(&d, sigma, &mut g);
                row(&mut g, &LABELS, class, sigma);
                let mut exact = [0.0; 4];
                let l = exact_log(&d, &mut exact, &mut [0.0; 4], &LABELS, class, sigma);
                assert!((l - loss(&d, class, sigma)).abs() < 1e-7);
                assert!(g.iter().sum::<f64>().abs() < 1e-14);
                for j in 0..4 {
                    let at = |h: f64| {
                        let mut d = d;
                        d[j] += h;
                        loss(&d, class, sigma)
                    };
                    let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                    assert!((g[j] - slope).abs() < 1e-7, "{} {slope}", g[j]);
                    assert!((g[j] - exact[j]).abs() < 1e-7);
                }
            }
        }
    }

    #[test]
    fn far_rows_fade_but_not_with_the_exact_logarithm() {
        let d = [900.0f32, 905.0, 1.0, 3.0];
        let mut g = [0.0; 4];
        posterior(&d, 1.0, &mut g);
        let l = row(&mut g, &LABELS, 0, 1.0);
        assert!((l - 23.03).abs() < 0.01 && g[0].abs() < 1e-20);
        let l = exact_log(&d, &mut g, &mut [0.0; 4], &LABELS, 0, 1.0);
        assert!(l > 400.0 && g[0] > 0.4 && g.iter().all(|v| v.is_finite()));
    }
}
