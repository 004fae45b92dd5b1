//! LVQ2.1's cost as an objective: `L = d+ - d-`, unbounded below.

use super::PairObjective;
use crate::parts::real::Real;

/// LVQ2.1's cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lvq21;

impl<T: Real> PairObjective<T> for Lvq21 {
    #[inline(always)]
    fn pair(&self, d_plus: Option<T>, d_minus: Option<T>, _: T) -> (T, T, T) {
        let side = |d: Option<T>| d.map_or((T::zero(), T::zero()), |d| (d, T::one()));
        let ((p, gp), (m, gm)) = (side(d_plus), side(d_minus));
        (p - m, gp, -gm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_and_signs() {
        assert_eq!(Lvq21.pair(Some(1.0), Some(3.0), 0.0), (-2.0, 1.0, -1.0));
        assert_eq!(Lvq21.pair(Some(1.0), None, 0.0), (1.0, 1.0, 0.0));
    }
}
