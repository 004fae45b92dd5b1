//! The proximal step of the elastic net on relevance logits, after the update.

use crate::parts::real::Real;

/// `x <- soft(x, l1 lr) / (1 + l2 lr)` with `soft(x, a) = sign(x) max(|x| - a, 0)`, for every
/// logit.
///
/// `l1`, `l2` and `lr` are not negative; with `l2 = 0` it is the lasso. It acts on the logits:
/// under a softmax a logit of 0 is not a relevance of 0.
///
/// Zou & Hastie, "Regularization and variable selection via the elastic net", JRSS B 67, 2005.
pub fn prox_l1_l2<T: Real>(logits: &mut [T], l1: f64, l2: f64, lr: f64) {
    let (threshold, shrink) = (T::of(l1 * lr), T::of(1.0 / (1.0 + l2 * lr)));
    for x in logits {
        let size = num_traits::Float::max(num_traits::Float::abs(*x) - threshold, T::zero());
        *x = num_traits::Float::copysign(size * shrink, *x);
    }
}
