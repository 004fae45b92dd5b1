//! Prototype diversity: prototypes of one class are pushed apart.
//!
//! `L = -sum over classes with more than one prototype of logdet(K + 1e-6 I)`, `K_ij = exp(-|w_i - w_j|^2/(2 sigma^2))`.
//! With `A = (K + 1e-6 I)^-1` and `T = A K` (entry by entry): `dL/dW = (2/sigma^2) (diag(T 1) W - T W)`.

use faer::Side;
use faer::linalg::solvers::DenseSolveCore;

/// Loss and gradient (`p x d`) for prototypes `p x d` with classes `labels`.
pub fn diversity(prototypes: &[f64], d: usize, labels: &[u32], sigma: f64) -> (f64, Vec<f64>) {
    let mut gradient = vec![0.0; prototypes.len()];
    let mut loss = 0.0;
    let classes = labels.iter().max().map_or(0, |c| c + 1);
    let w = |i: usize| &prototypes[i * d..][..d];
    for class in 0..classes {
        let members: Vec<usize> = (0..labels.len()).filter(|&j| labels[j] == class).collect();
        let m = members.len();
        if m < 2 {
            continue;
        }
        let kernel = faer::Mat::<f64>::from_fn(m, m, |a, b| {
            let square: f64 =
                w(members[a]).iter().zip(w(members[b])).map(|(x, y)| (x - y) * (x - y)).sum();
            (-square / (2.0 * sigma * sigma)).exp()
        });
        let mut shifted = kernel.clone();
        (0..m).for_each(|a| shifted[(a, a)] += 1e-6);
        // The shift makes it positive definite even for prototypes at the same place.
        let Ok(cholesky) = shifted.llt(Side::Lower) else { continue };
        let factor = cholesky.L();
        loss -= 2.0 * (0..m).map(|a| factor[(a, a)].ln()).sum::<f64>();
        let inverse = cholesky.inverse();
        for a in 0..m {
            for b in 0..m {
                let t = 2.0 / (sigma * sigma) * inverse[(a, b)] * kernel[(a, b)];
                for k in 0..d {
                    gradient[members[a] * d + k] += t * (w(members[a])[k] - w(members[b])[k]);
                }
            }
        }
    }
    (loss, gradient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_by_differences() {
        let w = [0.1, 0.2, 0.9, -0.5, 0.6, 1.2, -0.3, 0.8];
        let labels = [0, 1, 0, 0];
        let (_, g) = diversity(&w, 2, &labels, 0.9);
        for i in 0..8 {
            let at = |h: f64| {
                let mut w = w;
                w[i] += h;
                diversity(&w, 2, &labels, 0.9).0
            };
            let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((g[i] - slope).abs() < 1e-6, "{i}: {} {slope}", g[i]);
        }
        // One prototype a class has nobody to be pushed from.
        assert_eq!(diversity(&w, 2, &[0, 1, 2, 3], 1.0), (0.0, vec![0.0; 8]));
        // The same place: finite.
        assert!(diversity(&[1.0; 4], 2, &[0, 0], 1.0).0.is_finite());
    }
}
