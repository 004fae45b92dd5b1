//! LVQ1's cost as an objective: `d+` where the row is right, `-d-` where it is wrong.
//!
//! `L = d+ if d+ <= d- else -d-`: it jumps at `d+ = d-`.

use super::PairObjective;
use crate::parts::real::Real;

/// LVQ1's cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lvq1;

impl<T: Real> PairObjective<T> for Lvq1 {
    #[inline(always)]
    fn pair(&self, d_plus: Option<T>, d_minus: Option<T>, _: T) -> (T, T, T) {
        match (d_plus, d_minus) {
            (Some(p), Some(m)) if p > m => (-m, T::zero(), -T::one()),
            (Some(p), _) => (p, T::one(), T::zero()),
            (None, Some(m)) => (-m, T::zero(), -T::one()),
            (None, None) => (T::zero(), T::zero(), T::zero()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_rows_attract_and_wrong_rows_repel() {
        assert_eq!(Lvq1.pair(Some(1.0), Some(2.0), 0.0), (1.0, 1.0, 0.0));
        assert_eq!(Lvq1.pair(Some(2.0), Some(1.0), 0.0), (-1.0, 0.0, -1.0));
        // Equal distances count as right.
        assert_eq!(Lvq1.pair(Some(1.0), Some(1.0), 0.0), (1.0, 1.0, 0.0));
    }
}
