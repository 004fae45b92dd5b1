//! Margin loss on class scores (classification by components).
//!
//! With `h = max over wrong classes P_c - P_y + margin`: `L = max(0, h)`, and where `h > 0` the slope is 1 on the maximisers
//! (shared equally) and -1 on the right class. At `h = 0` it is 0.

use crate::parts::real::Real;

/// Loss of one row of class scores, and its gradient into `gradient`.
pub fn row<T: Real>(scores: &[T], class: usize, margin: T, gradient: &mut [T]) -> T {
    let mut worst = T::neg_infinity();
    for scores in [&scores[..class], &scores[class + 1..]] {
        for s in scores {
            worst = if *s > worst { *s } else { worst };
        }
    }
    let h = worst - scores[class] + margin;
    if h <= T::zero() {
        gradient.fill(T::zero());
        return T::zero();
    }
    let mut ties = T::zero();
    for (g, s) in gradient.iter_mut().zip(scores) {
        *g = if *s == worst { T::one() } else { T::zero() };
        ties += *g;
    }
    ties -= gradient[class];
    if ties > T::one() {
        gradient.iter_mut().for_each(|g| *g /= ties);
    }
    gradient[class] = -T::one();
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_ties_and_margin() {
        let mut g = [9.0; 3];
        assert!((row(&[0.7, 0.5, 0.2], 0, 0.3, &mut g) - 0.1f64).abs() < 1e-15);
        assert_eq!(g, [-1.0, 1.0, 0.0]);
        assert_eq!(row(&[0.9, 0.5, 0.2], 0, 0.3, &mut g), 0.0);
        assert_eq!(g, [0.0; 3]);
        row(&[0.1, 0.5, 0.5], 0, 0.3, &mut g);
        assert_eq!(g, [-1.0, 0.5, 0.5]);
    }
}
