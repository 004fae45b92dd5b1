//! Objectives: what a row costs, and how the cost changes with its distances.
//!
//! All functions here work on one row and leave out the factor `weight / n`, which the caller multiplies in.

pub mod cross_entropy;
pub mod glvq;
pub mod hinge;
pub mod lvq1;
pub mod lvq21;
pub mod nllr;
pub mod one_class;
pub mod rslvq;
pub mod svq_occ;
pub mod transfer;

use super::exp::ln;
use super::real::Real;

/// Guards quotients and logarithms, as in the specification.
pub const EPS: f64 = 1e-10;

/// An objective of the nearest right and the nearest wrong distance.
pub trait PairObjective<T: Real> {
    /// Loss, `dL/dd+`, `dL/dd-`. None where the row's class, or every other class, has no prototype. `eps` is [`EPS`] in the
    /// unit of the distances.
    fn pair(&self, d_plus: Option<T>, d_minus: Option<T>, eps: T) -> (T, T, T);

    /// The same for many rows that have both, all slices as long: `d_plus` becomes `dL/dd+`, `d_minus` `dL/dd-`. What `eps` holds after
    /// that is of no use. To be called inside a vectorized function.
    #[inline(always)]
    fn pairs(&self, d_plus: &mut [T], d_minus: &mut [T], eps: &mut [T], losses: &mut [T]) {
        for (((plus, minus), eps), loss) in d_plus.iter_mut().zip(d_minus).zip(eps).zip(losses) {
            (*loss, *plus, *minus) = self.pair(Some(*plus), Some(*minus), *eps);
        }
    }
}

/// What a row's loss and its slopes come to where they depend on the posteriors of its right and its wrong prototypes alone:
/// `dL/dD_j` is `p_j` times a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares<T> {
    /// What the row's loss is the negative logarithm of.
    pub likelihood: T,
    /// The factor of right prototypes.
    pub right: T,
    /// That of wrong ones.
    pub wrong: T,
}

impl<T: Real> Shares<T> {
    /// The row's loss.
    #[inline(always)]
    pub fn loss(&self) -> T {
        -ln(self.likelihood)
    }
}

/// `dL/dD_j` in place of `p_j`; to be called inside a vectorized function.
#[inline(always)]
fn slopes<T: Real>(p: &mut [T], labels: &[u32], class: u32, shares: Shares<T>) {
    for (p, l) in p.iter_mut().zip(labels) {
        *p *= if *l == class { shares.right } else { shares.wrong };
    }
}
