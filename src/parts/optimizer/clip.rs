//! Gradient clipping, before the optimizer. Frozen blocks have no gradient here, hence no share.

use super::rule::dot;
use crate::error::{Error, Result};
use crate::parts::real::Real;
use crate::parts::tensor::{Tensor, Tensors};

fn scale<T: Real>(tensor: &mut Tensor<T>, factor: f64) {
    let factor = T::of(factor);
    tensor.data.iter_mut().for_each(|v| *v *= factor);
}

fn squared<T: Real>(tensor: &Tensor<T>) -> f64 {
    dot(&tensor.data, &tensor.data)
}

/// Clips all gradients together: with `A = sqrt(sum over blocks N(g)^2)`, `g <- g c / A` if
/// `A >= c`.
///
/// Returns `A`. `c` is positive (the option `clip_norm`).
pub fn clip_global<T: Real>(grads: &mut Tensors<T>, c: f64) -> f64 {
    let norm = grads.list.iter().map(squared).sum::<f64>().sqrt();
    if norm >= c {
        grads.list.iter_mut().for_each(|t| scale(t, c / norm));
    }
    norm
}

/// Whether `group` is the block of that name or the nested block to which it belongs: `backbone`
/// for `backbone.0.0`.
fn belongs(block: &str, group: &str) -> bool {
    block.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Checks the option `per_group_clip` against the names of a model's blocks, frozen or not.
///
/// # Errors
/// A name that is no block and no nested block; a norm that is not positive and finite.
pub fn check_groups(groups: &[(String, f64)], blocks: &[&str]) -> Result<()> {
    for (name, c) in groups {
        if !blocks.iter().any(|b| belongs(b, name)) {
            return Err(Error::unknown("per_group_clip", name, blocks));
        }
        if !(c.is_finite() && *c > 0.0) {
            let reason = format!("must be a finite number > 0, got {c}");
            return Err(Error::parameter(format!("per_group_clip.{name}"), reason));
        }
    }
    Ok(())
}

/// Clips each named block by itself: `g <- g min(1, c / (N(g) + 1e-10))`; other blocks are
/// untouched.
///
/// A nested block (`backbone` for `backbone.0.0`, ...) has one norm over all its leaves. The names
/// must be among the gradients: whoever freezes a block leaves its group out.
///
/// # Errors
/// As [`check_groups`], before any gradient is changed.
pub fn clip_groups<T: Real>(grads: &mut Tensors<T>, groups: &[(String, f64)]) -> Result<()> {
    let blocks: Vec<&str> = grads.list.iter().map(|t| t.name.as_str()).collect();
    check_groups(groups, &blocks)?;
    for (name, c) in groups {
        let members = || grads.list.iter().filter(|t| belongs(&t.name, name));
        let factor = (c / (members().map(squared).sum::<f64>().sqrt() + 1e-10)).min(1.0);
        if factor < 1.0 {
            let members = grads.list.iter_mut().filter(|t| belongs(&t.name, name));
            members.for_each(|t| scale(t, factor));
        }
    }
    Ok(())
}
