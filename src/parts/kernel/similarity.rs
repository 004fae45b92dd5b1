//! The rank-scaled Gaussian similarity of distances.

use crate::parts::cooperation::ranks::ranks;
use crate::parts::real::Real;

/// `exp(-rank/lambda)` of each rank.
fn factors<T: Real>(p: usize, lambda: T) -> Vec<T> {
    (0..p).map(|rank| num_traits::Float::exp(-T::of(rank as f64) / lambda)).collect()
}

/// Calls `each` with the factors of a row's prototypes, for every row of `p` distances.
fn by_rank<T: Real>(d: &[T], p: usize, lambda: T, mut each: impl FnMut(usize, &[T])) {
    let (factors, mut of_row) = (factors(p, lambda), vec![T::zero(); p]);
    // A rank is counted, not sorted: ties by the lower index.
    let mut rank = vec![0; p];
    for (k, row) in d.chunks_exact(p).enumerate() {
        ranks(row, &mut rank);
        for (f, rank) in of_row.iter_mut().zip(&rank) {
            *f = factors[*rank as usize];
        }
        each(k, &of_row);
    }
}

crate::vectorized! {
    fn forward<T>(d: &[T], factors: &[T], faint: T, s: &mut [T]) {
        for ((s, d), f) in s.iter_mut().zip(d).zip(factors) {
            *s = (-*d * *f).exponential_from(faint);
        }
    }

    fn backward<T>(s: &[T], factors: &[T], g: &mut [T]) {
        for ((g, s), f) in g.iter_mut().zip(s).zip(factors) {
            *g = -*g * *s * *f;
        }
    }
}

/// `S = exp(-exp(-rank / lambda) D)` for rows of `p` distances, 0 where the exponent is `faint` or less. Ranks are constants for the gradient.
pub fn rank_scaled_gaussian<T: Real>(d: &[T], p: usize, lambda: T, faint: T, s: &mut [T]) {
    by_rank(d, p, lambda, |k, f| forward(&d[k * p..][..p], f, faint, &mut s[k * p..][..p]));
}

/// `dL/dS` in `g` becomes `dL/dD = -exp(-rank / lambda) S dL/dS`.
pub fn rank_scaled_gaussian_backward<T: Real>(d: &[T], s: &[T], p: usize, lambda: T, g: &mut [T]) {
    by_rank(d, p, lambda, |k, f| backward(&s[k * p..][..p], f, &mut g[k * p..][..p]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::exp::Exponential;

    #[test]
    fn ranks_and_slopes() {
        let d = [2.0, 0.5, 2.0, 1.0];
        let ranks = [2.0, 0.0, 3.0, 1.0];
        let factor = |j: usize| f64::exp(-ranks[j] / 0.7);
        let mut s = [0.0; 4];
        rank_scaled_gaussian(&d, 4, 0.7, f64::FAINT, &mut s);
        let mut g = [1.0; 4];
        rank_scaled_gaussian_backward(&d, &s, 4, 0.7, &mut g);
        for j in 0..4 {
            let at = |h: f64| {
                let mut moved = d;
                moved[j] += h;
                // Ranks stay those of d.
                (-moved[j] * factor(j)).exp()
            };
            assert!((g[j] - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8);
        }
    }
}
