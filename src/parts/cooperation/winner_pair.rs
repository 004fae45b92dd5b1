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

/// No prototype.
pub const NOBODY: u32 = u32::MAX;

/// The least value and its first position (0 where nothing is least); to be called inside a vectorized function.
#[inline(always)]
fn least_of<T: Real>(values: &[T]) -> (T, usize) {
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

/// First index of the least value within the runs; to be called inside a vectorized function.
#[inline(always)]
fn nearest_in<T: Real>(d: &[T], runs: &[Range<usize>]) -> u32 {
    let (mut least, mut nearest) = (T::infinity(), NOBODY);
    for run in runs {
        let (value, at) = least_of(&d[run.start..run.end]);
        if nearest == NOBODY || value < least {
            (least, nearest) = (value, (run.start + at) as u32);
        }
    }
    nearest
}

crate::vectorized! {
    fn first_least<T>(values: &[T]) -> (T, usize) {
        least_of(values)
    }

    fn nearest<T>(d: &[T], runs: &[Range<usize>]) -> u32 {
        nearest_in(d, runs)
    }

    /// For each row of `d` (`b x p`) the nearest prototype of its class and of all others, the first on ties, into `out`.
    fn nearest_pairs<T>(d: &[T], p: usize, classes: &Classes, of: &[u32], out: &mut Vec<[u32; 2]>) {
        out.clear();
        for (d, class) in d.chunks_exact(p).zip(of) {
            let class = *class as usize;
            out.push([nearest_in(d, &classes.own[class]), nearest_in(d, &classes.others[class])]);
        }
    }

    fn nearest_each<T>(d: &[T], classes: &Classes, out: &mut [Option<usize>]) {
        for (out, runs) in out.iter_mut().zip(&classes.own) {
            let j = nearest_in(d, runs);
            *out = (j != NOBODY).then_some(j as usize);
        }
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

    /// How many prototypes `class` has.
    pub fn size(&self, class: u32) -> usize {
        self.own(class).iter().map(Range::len).sum()
    }

    /// Nearest prototype of `class` and nearest of all others, the first on ties. `d`: distances of one row.
    pub fn winner_pair<T: Real>(&self, d: &[T], class: u32) -> (Option<usize>, Option<usize>) {
        let somebody = |j: u32| (j != NOBODY).then_some(j as usize);
        let [own, others] = [&self.own, &self.others].map(|runs| nearest(d, &runs[class as usize]));
        (somebody(own), somebody(others))
    }

    /// Nearest prototype of each class, the first on ties.
    pub fn nearest_of_each<T: Real>(&self, d: &[T], out: &mut [Option<usize>]) {
        nearest_each(d, self, out);
    }

    /// The nearest of its class and of all others for each row of `d` (`b x p`), [`NOBODY`] where there is none. `of`: class of each row.
    pub fn winner_pairs<T: Real>(&self, d: &[T], p: usize, of: &[u32], out: &mut Vec<[u32; 2]>) {
        nearest_pairs(d, p, self, of, out);
    }
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
                let mut all = vec![];
                classes.winner_pairs(&d, d.len(), &[class], &mut all);
                let expected = [plain(true), plain(false)].map(|j| j.map_or(NOBODY, |j| j as u32));
                prop_assert_eq!(all, [expected]);
            }
        }
    }
}
