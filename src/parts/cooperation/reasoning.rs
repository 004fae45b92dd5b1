//! Reasoning about classes from detected components (Saralajew et al. 2019).
//!
//! Reasonings `R` (`m x K x 2`), detections `S` (`b x m`):
//!
//! ```text
//! A = clip(R0, 0, 1)   B = clip(R1, 0, 1)   pk = A   nk = (1 - A) B
//! num = S (pk - nk) + 1^T nk      den = 1^T (pk + nk) + 1e-8      P = num / den      (b x K)
//! ```
//!
//! Backward from `dP`: `dN = dP / den`, `dden = -1^T (dP P) / den`, `dS = dN (pk - nk)^T`, `U = S^T dN`,
//! `dpk = U + dden`, `dnk = -U + 1^T dN + dden`, `dA = dpk - B dnk`, `dB = (1 - A) dnk`; the clip passes 1 inside, 1/2 at its bounds, 0
//! outside.

use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;

/// Reasonings made ready for a step.
pub struct Reasoning<T> {
    m: usize,
    classes: usize,
    /// `m x K x 2`, as stored.
    raw: Vec<T>,
    /// `pk - nk`, `m x K`.
    difference: Vec<T>,
    /// `1^T nk`.
    negative: Vec<T>,
    /// `den`.
    den: Vec<T>,
}

fn clip<T: Real>(v: T) -> T {
    num_traits::Float::max(T::zero(), num_traits::Float::min(T::one(), v))
}

/// Slope of the clip to `[0, 1]`.
fn passes<T: Real>(v: T) -> T {
    if v > T::zero() && v < T::one() {
        T::one()
    } else if v == T::zero() || v == T::one() {
        T::of(0.5)
    } else {
        T::zero()
    }
}

impl<T: Real> Reasoning<T> {
    /// From reasonings `m x K x 2`.
    pub fn new(reasonings: &[T], m: usize, classes: usize) -> Self {
        let mut new = Reasoning {
            m,
            classes,
            raw: reasonings.to_vec(),
            difference: vec![T::zero(); m * classes],
            negative: vec![T::zero(); classes],
            den: vec![T::of(1e-8); classes],
        };
        for (i, pair) in reasonings.chunks_exact(2).enumerate() {
            let (a, b) = (clip(pair[0]), clip(pair[1]));
            let n = (T::one() - a) * b;
            new.difference[i] = a - n;
            new.negative[i % classes] += n;
            new.den[i % classes] += a + n;
        }
        new
    }

    /// Class scores `b x K` of detections `b x m`.
    pub fn forward(&self, similarities: &[T], scores: &mut [T]) {
        let b = similarities.len() / self.m;
        gemm(
            scores,
            false,
            T::one(),
            Mat::new(similarities, b, self.m),
            Mat::new(&self.difference, self.m, self.classes),
        );
        normalise(&mut scores[..b * self.classes], &self.negative, &self.den);
    }

    /// From `dL/dP` (`b x K`) to `dL/dS` (`b x m`, overwritten) and, if wanted, `dL/dR` (`m x K x 2`, overwritten).
    pub fn backward(
        &self,
        similarities: &[T],
        scores: &[T],
        score_gradients: &[T],
        similarity_gradients: &mut [T],
        reasoning_gradients: Option<&mut [T]>,
    ) {
        let (m, k) = (self.m, self.classes);
        let b = similarities.len() / m;
        let mut dn = score_gradients[..b * k].to_vec();
        let mut dden = vec![T::zero(); k];
        let mut column = vec![T::zero(); k];
        divide(&mut dn, scores, &self.den, &mut dden, &mut column);
        let difference = Mat::new(&self.difference, m, k);
        gemm(similarity_gradients, false, T::one(), Mat::new(&dn, b, k), difference.t());
        let Some(out) = reasoning_gradients else { return };
        let mut u = vec![T::zero(); m * k];
        gemm(&mut u, false, T::one(), Mat::new(similarities, b, m).t(), Mat::new(&dn, b, k));
        for (i, (out, u)) in out.chunks_exact_mut(2).zip(u).enumerate() {
            let c = i % k;
            let (r0, r1) = (self.raw[2 * i], self.raw[2 * i + 1]);
            let (a, bb) = (clip(r0), clip(r1));
            let dpk = u + dden[c];
            let dnk = column[c] - u + dden[c];
            out[0] = (dpk - bb * dnk) * passes(r0);
            out[1] = (T::one() - a) * dnk * passes(r1);
        }
    }
}

crate::vectorized! {
    /// `(S + 1^T nk)/den` of every row.
    fn normalise<T>(scores: &mut [T], negative: &[T], den: &[T]) {
        for row in scores.chunks_exact_mut(den.len()) {
            for ((s, negative), den) in row.iter_mut().zip(negative).zip(den) {
                *s = (*s + *negative) / *den;
            }
        }
    }

    /// `dN = dP/den` in place, and the sums over rows of `-dN P` and of `dN`.
    fn divide<T>(dn: &mut [T], p: &[T], den: &[T], dden: &mut [T], column: &mut [T]) {
        let k = den.len();
        for (dn, p) in dn.chunks_exact_mut(k).zip(p.chunks_exact(k)) {
            let sums = dden.iter_mut().zip(&mut *column);
            for (((dn, p), den), (dden, column)) in dn.iter_mut().zip(p).zip(den).zip(sums) {
                *dn /= *den;
                *dden -= *dn * *p;
                *column += *dn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_by_differences() {
        let (b, m, k) = (3, 4, 2);
        let s: Vec<f64> = (0..b * m).map(|i| (i as f64 * 0.37).sin().abs()).collect();
        // Some entries outside of [0, 1]: the clip passes nothing there.
        let r: Vec<f64> = (0..m * k * 2).map(|i| (i as f64 * 0.73).cos() * 0.8 + 0.3).collect();
        let weight: Vec<f64> = (0..b * k).map(|i| (i as f64).sin()).collect();
        let loss = |s: &[f64], r: &[f64]| {
            let mut p = vec![0.0; b * k];
            Reasoning::new(r, m, k).forward(s, &mut p);
            p.iter().zip(&weight).map(|(p, w)| p * w).sum::<f64>()
        };
        let reasoning = Reasoning::new(&r, m, k);
        let mut p = vec![0.0; b * k];
        reasoning.forward(&s, &mut p);
        assert!(p.iter().all(|v| (0.0..=1.0).contains(v)));
        let (mut ds, mut dr) = (vec![0.0; b * m], vec![0.0; m * k * 2]);
        reasoning.backward(&s, &p, &weight, &mut ds, Some(&mut dr));
        let check = |at: &[f64], g: &[f64], f: &dyn Fn(&[f64]) -> f64| {
            for i in 0..at.len() {
                let (mut up, mut down) = (at.to_vec(), at.to_vec());
                up[i] += 1e-6;
                down[i] -= 1e-6;
                let slope = (f(&up) - f(&down)) / 2e-6;
                assert!((g[i] - slope).abs() < 1e-7, "{i}: {} {slope}", g[i]);
            }
        };
        check(&s, &ds, &|s| loss(s, &r));
        check(&r, &dr, &|r| loss(&s, r));
    }

    #[test]
    fn half_of_the_gradient_at_the_bounds() {
        assert_eq!([-0.1, 0.0, 0.5, 1.0, 1.1].map(passes), [0.0, 0.5, 1.0, 0.5, 0.0]);
    }
}
