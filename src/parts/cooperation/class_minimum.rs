//! Nearest prototype of each class.

use super::winner_pair::Classes;
use crate::parts::real::Real;

/// Fills `winners` with the nearest prototype of each class (first on ties), none for a class without prototypes.
pub fn class_minimum<T: Real>(classes: &Classes, d: &[T], winners: &mut [Option<usize>]) {
    classes.nearest_of_each(d, winners);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_winner_a_class() {
        let classes = Classes::new(&[0, 2, 0, 2], 3);
        let mut winners = [None; 3];
        class_minimum(&classes, &[3.0, 2.0, 1.0, 2.0], &mut winners);
        assert_eq!(winners, [Some(2), None, Some(1)]);
    }
}
