//! Cross-entropy over classwise distances (Villmann et al. 2019).
//!
//! `pi = softmax(-delta)`, `L = -log pi_y`, `dL/ddelta_c = [c = y] - pi_c`. Rows of the gradient sum to 0.

use crate::parts::exp::share;
use crate::parts::simd;

crate::vectorized! {
    /// Loss of one row; `delta` (distance to each class; the largest number for a class without prototypes) becomes its gradient.
    pub fn row<T>(delta: &mut [T], class: usize) -> T {
        let least = simd::least(delta);
        let own = delta[class] - least;
        for d in delta.iter_mut() {
            *d = share(least - *d);
        }
        let sum = simd::total(delta);
        let hit = delta[class] / sum;
        for d in delta.iter_mut() {
            *d = T::zero() - *d / sum;
        }
        delta[class] = T::one() - hit;
        own + num_traits::Float::ln(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_by_differences() {
        let delta = [0.4, 1.3, 0.9, 2.5];
        for class in 0..4 {
            let mut g = delta;
            let loss = row(&mut g, class);
            assert!(g.iter().sum::<f64>().abs() < 1e-15);
            for c in 0..4 {
                let at = |h: f64| {
                    let mut d = delta;
                    d[c] += h;
                    row(&mut d, class)
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((g[c] - slope).abs() < 1e-8, "class {class}, {c}");
            }
            assert!(loss > 0.0);
        }
    }

    #[test]
    fn a_class_without_prototypes_has_no_share() {
        let mut d = [1.0f32, f32::MAX, 2.0];
        let loss = row(&mut d, 0);
        assert!(loss.is_finite() && d[1] == 0.0 && d.iter().all(|v| v.is_finite()));
        // Far rows: no overflow.
        let mut d = [1e30f32, 2e30];
        assert_eq!((row(&mut d, 0), d), (0.0, [0.0, -0.0]));
    }
}
