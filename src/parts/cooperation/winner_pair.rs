//! Nearest prototype of the row's own class and of all others: `d+` and `d-`.
//!
//! Prototypes of a class lie side by side in most models, so masked minima are minima over a few runs of a row: values first,
//! many at a time, then the position of the least.

use crate::parts::real::Real;
use crate::parts::simd;
use std::ops::Range;

/// The prototypes of each class as runs of consecutive indices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    own: Vec<Vec<Range<usize>>>,
    others: Vec<Vec<Range<usize>>>,
}

crate::vectorized! {
    /// The least value and its first position (0 where nothing is least).
    fn first_least<T>(values: &[T]) -> (T, usize) {
        let least = simd::least(values);
        let (chunks, rest) = values.as_chunks::<16>();
        for (c, chunk) in chunks.iter().enumerate() {
            let mut there = 0;
            for v in chunk {
                there |= u32::from(*v == least);
            }
            if there != 0 {
                return (least, 16 * c + chunk.iter().position(|v| *v == least).unwrap_or(0));
            }
        }
        let at = rest.iter().position(|v| *v == least);
        (least, at.map_or(0, |at| values.len() - rest.len() + at))
    }

    /// How many values are at most `limit`.
    fn count_up_to<T>(values: &[T], limit: T) -> u32 {
        let mut count = 0;
        for v in values {
            count += u32::from(*v <= limit);
        }
        count
    }
}

/// The nearest of all, the first on ties.
pub fn nearest_of_all<T: Real>(d: &[T]) -> usize {
    first_least(d).1
}

/// Whether more than one distance is at most `limit`.
pub fn several_within<T: Real>(d: &[T], limit: T) -> bool {
    count_up_to(d, limit) > 1
}

impl Classes {
    /// From the class of each prototype.
    pub fn new(labels: &[u32], classes: usize) -> Self {
        let runs = |wanted: &dyn Fn(u32) -> bool| {
            let mut runs: Vec<Range<usize>> = Vec::new();
            for (j, label) in labels.iter().enumerate().filter(|(_, l)| wanted(**l)) {
                let _ = label;
                match runs.last_mut() {
                    Some(run) if run.end == j => run.end = j + 1,
                    _ => runs.push(j..j + 1),
                }
            }
            runs
        };
        let each = |f: &dyn Fn(u32, u32) -> bool| {
            (0..classes as u32).map(|c| runs(&|l| f(l, c))).collect::<Vec<_>>()
        };
        Classes { own: each(&|l, c| l == c), others: each(&|l, c| l != c) }
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.own.len()
    }

    /// Whether there is no class.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty()
    }

    /// The prototypes of `class`.
    pub fn own(&self, class: u32) -> &[Range<usize>] {
        &self.own[class as usize]
    }

    /// Nearest prototype of `class` and nearest of all others, the first on ties. `d`: distances of one row.
    pub fn winner_pair<T: Real>(&self, d: &[T], class: u32) -> (Option<usize>, Option<usize>) {
        (nearest(d, &self.own[class as usize]), nearest(d, &self.others[class as usize]))
    }

    /// Nearest prototype of `class`, the first on ties.
    pub fn nearest_of<T: Real>(&self, d: &[T], class: usize) -> Option<usize> {
        nearest(d, &self.own[class])
    }
}

/// First index of the least value within the runs.
fn nearest<T: Real>(d: &[T], runs: &[Range<usize>]) -> Option<usize> {
    let mut best: Option<(T, usize)> = None;
    for run in runs {
        let values = &d[run.clone()];
        let (value, at) = if values.len() == 1 { (values[0], 0) } else { first_least(values) };
        if best.is_none_or(|(b, _)| value < b) {
            best = Some((value, run.start + at));
        }
    }
    best.map(|(_, j)| j)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_a_plain_search(
            labels in proptest::collection::vec(0u32..4, 1..70),
            seed in 0u64..1000,
        ) {
            // Coarse values, so that ties occur.
            let d: Vec<f64> = (0..labels.len())
                .map(|j| f64::from(((j as u64 * 2654435761 + seed * 40503) >> 7) as u8 % 9))
                .collect();
            let classes = Classes::new(&labels, 4);
            for class in 0..4u32 {
                let plain = |same: bool| {
                    (0..d.len())
                        .filter(|&j| (labels[j] == class) == same)
                        .reduce(|b, j| if d[j] < d[b] { j } else { b })
                };
                prop_assert_eq!(classes.winner_pair(&d, class), (plain(true), plain(false)));
            }
        }
    }
}
