//! Nearest prototype of the row's own class and of all others: `d+` and `d-`.
//!
//! Prototypes of a class lie side by side in most models, so masked minima are minima over a few runs of a row, many values at a
//! time, each with its position.

use crate::parts::real::Real;
use std::ops::Range;

/// The prototypes of each class as runs of consecutive indices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    own: Vec<Vec<Range<usize>>>,
    others: Vec<Vec<Range<usize>>>,
}

/// No prototype.
pub const NOBODY: u32 = u32::MAX;

/// Values that are searched side by side.
const LANES: usize = 16;

/// The least value that each lane has seen, and where it was first.
#[derive(Clone, Copy)]
struct Search<T> {
    least: [T; LANES],
    at: [u32; LANES],
}

#[expect(clippy::needless_range_loop, reason = "loops over all lanes become vectors")]
impl<T: Real> Search<T> {
    #[inline(always)]
    fn new() -> Self {
        Search { least: [T::infinity(); LANES], at: [NOBODY; LANES] }
    }

    /// Sees `values`, which stand from `start` on.
    #[inline(always)]
    fn see(&mut self, values: &[T; LANES], start: usize) {
        for l in 0..LANES {
            let less = values[l] < self.least[l];
            self.at[l] = if less { start as u32 + l as u32 } else { self.at[l] };
            self.least[l] = if less { values[l] } else { self.least[l] };
        }
    }

    /// Sees those of `values` whose positions are in `run`.
    #[inline(always)]
    fn see_some(&mut self, values: &[T; LANES], start: usize, run: &Range<usize>) {
        let (from, to) = (run.start as u32, run.end as u32);
        for l in 0..LANES {
            let position = start as u32 + l as u32;
            let less = (from <= position) & (position < to) & (values[l] < self.least[l]);
            self.at[l] = if less { position } else { self.at[l] };
            self.least[l] = if less { values[l] } else { self.least[l] };
        }
    }

    /// Sees the run of `values`, of which there are at least [`LANES`].
    #[inline(always)]
    fn see_run(&mut self, values: &[T], run: &Range<usize>) {
        let window = |start: usize| -> &[T; LANES] {
            values[start..start + LANES].try_into().expect("as many as lanes")
        };
        let mut start = run.start;
        while start + LANES <= run.end {
            self.see(window(start), start);
            start += LANES;
        }
        if start == run.end {
            return;
        }
        if run.len() >= LANES {
            // Some are seen again, which changes nothing.
            self.see(window(run.end - LANES), run.end - LANES);
        } else {
            let start = run.start.min(values.len() - LANES);
            self.see_some(window(start), start, run);
        }
    }

    /// The first position of the least value, [`NOBODY`] where nothing is below infinity.
    #[inline(always)]
    fn first(&self) -> u32 {
        let mut least = self.least;
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                least[l] = if least[l + width] < least[l] { least[l + width] } else { least[l] };
            }
            width /= 2;
        }
        let mut at = [NOBODY; LANES];
        for l in 0..LANES {
            at[l] = if self.least[l] == least[0] { self.at[l] } else { NOBODY };
        }
        let mut width = LANES / 2;
        while width > 0 {
            for l in 0..width {
                at[l] = at[l].min(at[l + width]);
            }
            width /= 2;
        }
        at[0]
    }
}

/// First index of the least value within the runs; to be called inside a vectorized function.
///
/// Where nothing is below infinity (or a number) it is the first of the runs.
#[inline(always)]
fn nearest_in<T: Real>(d: &[T], runs: &[Range<usize>]) -> u32 {
    let mut search = Search::new();
    if d.len() >= LANES {
        for run in runs {
            search.see_run(d, run);
        }
    } else {
        let mut values = [T::infinity(); LANES];
        values[..d.len()].copy_from_slice(d);
        for run in runs {
            search.see_some(&values, 0, run);
        }
    }
    match (search.first(), runs.first()) {
        (NOBODY, Some(run)) => run.start as u32,
        (at, _) => at,
    }
}

crate::vectorized! {
    fn nearest_whole<T>(values: &[T]) -> u32 {
        nearest_in(values, std::slice::from_ref(&(0..values.len())))
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
    nearest_whole(d) as usize
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

    /// Whether each of the classes has a prototype, and one of another class beside it.
    pub fn are_opposed(&self) -> bool {
        self.own.iter().chain(&self.others).all(|runs| !runs.is_empty())
    }

    /// The first prototype of `class` and the first of all others, [`NOBODY`] where there is none.
    pub fn first_of_each_side(&self, class: u32) -> [u32; 2] {
        let first = |runs: &[Range<usize>]| runs.first().map_or(NOBODY, |run| run.start as u32);
        [first(&self.own[class as usize]), first(&self.others[class as usize])]
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
