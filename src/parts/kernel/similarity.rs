//! The rank-scaled Gaussian similarity of distances.

use crate::parts::real::Real;

/// Ranks of a row, 0 = nearest, ties by the lower index, by counting.
pub fn rank<T: Real>(row: &[T], j: usize) -> usize {
    let v = row[j];
    row.iter().enumerate().filter(|(i, d)| **d < v || (**d == v && *i < j)).count()
}

/// `S = exp(-exp(-rank / lambda) D)` for rows of `p` distances. Ranks are constants for the gradient.
pub fn rank_scaled_gaussian<T: Real>(d: &[T], p: usize, lambda: T, s: &mut [T]) {
    for (row, s) in d.chunks_exact(p).zip(s.chunks_exact_mut(p)) {
        for j in 0..p {
            s[j] = num_traits::Float::exp(-row[j] * rank_factor(row, j, lambda));
        }
    }
}

/// `dL/dS` in `g` becomes `dL/dD = -exp(-rank / lambda) S dL/dS`.
pub fn rank_scaled_gaussian_backward<T: Real>(d: &[T], s: &[T], p: usize, lambda: T, g: &mut [T]) {
    for ((row, s), g) in d.chunks_exact(p).zip(s.chunks_exact(p)).zip(g.chunks_exact_mut(p)) {
        for j in 0..p {
            g[j] = -g[j] * s[j] * rank_factor(row, j, lambda);
        }
    }
}

fn rank_factor<T: Real>(row: &[T], j: usize, lambda: T) -> T {
    num_traits::Float::exp(-T::of(rank(row, j) as f64) / lambda)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_and_slopes() {
        let d = [2.0, 0.5, 2.0, 1.0];
        assert_eq!([0, 1, 2, 3].map(|j| rank(&d, j)), [2, 0, 3, 1]);
        let mut s = [0.0; 4];
        rank_scaled_gaussian(&d, 4, 0.7, &mut s);
        let mut g = [1.0; 4];
        rank_scaled_gaussian_backward(&d, &s, 4, 0.7, &mut g);
        for j in 0..4 {
            let at = |h: f64| {
                let mut moved = d;
                moved[j] += h;
                // Ranks stay those of d.
                (-moved[j] * rank_factor(&d, j, 0.7)).exp()
            };
            assert!((g[j] - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8);
        }
    }
}
