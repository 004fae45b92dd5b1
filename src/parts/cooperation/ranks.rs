//! Neural-gas ranks: every prototype takes part, weighted by how near it is (Martinetz, Berkovich & Schulten 1993).
//!
//! `rank_j = #{k : D_k < D_j or (D_k = D_j and k < j)}` among the prototypes of a scope, `h = exp(-rank/(range + eps))`,
//! `weight = h / (sum h + eps)`. Ranks are constants for the gradient; the weight depends on rank, size of the scope and range alone, and is read
//! from a table.

use super::winner_pair::Classes;
use crate::parts::objective::EPS;
use crate::parts::real::Real;
use crate::parts::simd::LANES;

/// Weights by rank, for one range.
#[derive(Clone, Debug)]
pub struct Neighbourhood<T> {
    h: Vec<T>,
    /// `dh/drange = h rank/(range + eps)^2`
    slope: Vec<T>,
    /// `sum of h` over the first ranks.
    sums: Vec<T>,
    /// `sum of dh/drange` over the first ranks.
    slope_sums: Vec<T>,
    /// `range + eps`
    pub range: f64,
}

impl<T: Real> Neighbourhood<T> {
    /// For up to `p` prototypes.
    pub fn new(range: f64, p: usize) -> Self {
        let range = range + EPS;
        let height = |x: f64| if x <= T::FAINT.f64() { 0.0 } else { x.exp() };
        let h: Vec<f64> = (0..p).map(|r| height(-(r as f64) / range)).collect();
        let slope: Vec<f64> =
            h.iter().enumerate().map(|(r, h)| h * r as f64 / (range * range)).collect();
        let sums = |v: &[f64]| {
            let mut sum = 0.0;
            let all = std::iter::once(0.0).chain(v.iter().map(|v| {
                sum += v;
                sum
            }));
            all.map(T::of).collect::<Vec<_>>()
        };
        Neighbourhood {
            sums: sums(&h),
            slope_sums: sums(&slope),
            h: h.into_iter().map(T::of).collect(),
            slope: slope.into_iter().map(T::of).collect(),
            range,
        }
    }

    /// `h`, not normalised.
    pub fn height(&self, rank: u32) -> T {
        self.h[rank as usize]
    }

    /// `dh/drange`
    pub fn height_slope(&self, rank: u32) -> T {
        self.slope[rank as usize]
    }

    /// `1/(sum h + eps)` over the ranks of `members` prototypes: what normalises their weights.
    pub fn unit(&self, members: usize) -> T {
        T::one() / (self.sums[members] + T::of(EPS))
    }

    /// The normalised weight of a rank among `members`.
    pub fn weight(&self, rank: u32, members: usize) -> T {
        self.h[rank as usize] * self.unit(members)
    }

    /// The weight's derivative with respect to the range.
    pub fn weight_slope(&self, rank: u32, members: usize) -> T {
        let weight = self.weight(rank, members);
        (self.slope[rank as usize] - weight * self.slope_sums[members]) * self.unit(members)
    }

    /// `h` of each rank, not normalised.
    pub fn heights(&self, ranks: &[u32], out: &mut [T]) {
        out.iter_mut().zip(ranks).for_each(|(h, rank)| *h = self.height(*rank));
    }

    /// `dh/drange` of each rank.
    pub fn height_slopes(&self, ranks: &[u32], out: &mut [T]) {
        out.iter_mut().zip(ranks).for_each(|(h, rank)| *h = self.height_slope(*rank));
    }

    /// Weights of all `ranks`, which are those of all prototypes.
    pub fn weights(&self, ranks: &[u32], out: &mut [T]) {
        let unit = self.unit(ranks.len());
        out.iter_mut().zip(ranks).for_each(|(w, rank)| *w = self.height(*rank) * unit);
    }

    /// [`Neighbourhood::weight_slope`] of all `ranks`, which are those of all prototypes.
    pub fn weight_slopes(&self, ranks: &[u32], out: &mut [T]) {
        let unit = self.unit(ranks.len());
        let share = self.slope_sums[ranks.len()] * unit;
        for (slope, rank) in out.iter_mut().zip(ranks) {
            *slope = (self.height_slope(*rank) - self.height(*rank) * share) * unit;
        }
    }
}

/// Counts for each value how many others come before it. [`LANES`] values are compared with one other at a time; the last few, with each
/// other, one by one.
#[inline(always)]
fn count<T: Real>(values: &[T], out: &mut [u32]) {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let body = values.len() - rest.len();
    let (of_chunks, of_rest) = out[..values.len()].split_at_mut(body);
    for (at, (own, out)) in chunks.iter().zip(of_chunks.as_chunks_mut::<LANES>().0).enumerate() {
        let mut before = [0; LANES];
        for v in chunks[..at].as_flattened() {
            for l in 0..LANES {
                before[l] += u32::from(*v <= own[l]);
            }
        }
        for (i, v) in own.iter().enumerate() {
            for l in 0..LANES {
                before[l] += u32::from((*v < own[l]) | ((*v == own[l]) & (i < l)));
            }
        }
        for after in [chunks[at + 1..].as_flattened(), rest] {
            for v in after {
                for l in 0..LANES {
                    before[l] += u32::from(*v < own[l]);
                }
            }
        }
        *out = before;
    }
    for (v, out) in rest.iter().zip(&mut *of_rest) {
        let mut before = 0;
        for x in chunks.as_flattened() {
            before += u32::from(*x <= *v);
        }
        *out = before;
    }
    for (j, v) in rest.iter().enumerate() {
        for (i, x) in rest[..j].iter().enumerate() {
            of_rest[j] += u32::from(*x <= *v);
            of_rest[i] += u32::from(*v < *x);
        }
    }
}

crate::vectorized! {
    /// Rank of each value, 0 the least, ties by the lower index. By counting: no sort, no branches.
    pub fn ranks<T>(values: &[T], out: &mut [u32]) {
        count(values, out);
    }

    /// Rank of each prototype's value among those of its class, for all classes. `room`: working memory.
    pub fn ranks_within<T>(values: &[T], classes: &Classes, room: &mut Room<T>, out: &mut [u32]) {
        for class in 0..classes.len() as u32 {
            match classes.own(class) {
                [run] => count(&values[run.start..run.end], &mut out[run.start..run.end]),
                runs => {
                    room.values.clear();
                    for run in runs {
                        room.values.extend_from_slice(&values[run.start..run.end]);
                    }
                    room.ranks.resize(room.values.len(), 0);
                    count(&room.values, &mut room.ranks);
                    let mut from = 0;
                    for run in runs {
                        let length = run.end - run.start;
                        out[run.start..run.end].copy_from_slice(&room.ranks[from..from + length]);
                        from += length;
                    }
                }
            }
        }
    }
}

/// Working memory of [`ranks_within`].
#[derive(Clone, Debug, Default)]
pub struct Room<T> {
    values: Vec<T>,
    ranks: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ranks_are_those_of_a_stable_sort(values in proptest::collection::vec(0u8..6, 1..80)) {
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
            let mut out = vec![0; values.len()];
            ranks(&values, &mut out);
            for (rank, j) in order.into_iter().enumerate() {
                prop_assert_eq!(out[j], rank as u32);
            }
        }
    }

    proptest! {
        #[test]
        fn ranks_within_classes_are_those_of_each_alone(
            values in proptest::collection::vec((0u8..9, 0u32..3), 1..90),
        ) {
            let labels: Vec<u32> = values.iter().map(|(_, label)| *label).collect();
            let values: Vec<f64> = values.iter().map(|(v, _)| f64::from(*v)).collect();
            let mut sorted = labels.clone();
            sorted.sort_unstable();
            // Classes in pieces, and each in one.
            for labels in [labels, sorted] {
                let mut out = vec![9; values.len()];
                let classes = Classes::new(&labels, 4);
                ranks_within(&values, &classes, &mut Room::default(), &mut out);
                for (j, rank) in out.iter().enumerate() {
                    let before = (0..values.len()).filter(|&i| {
                        let nearer = values[i] < values[j] || (values[i] == values[j] && i < j);
                        labels[i] == labels[j] && nearer
                    });
                    prop_assert_eq!(*rank as usize, before.count());
                }
            }
        }
    }

    #[test]
    fn weights_of_all_are_those_of_each() {
        let n = Neighbourhood::<f64>::new(1.3, 5);
        let (mut weights, mut slopes) = ([0.0; 5], [0.0; 5]);
        n.weights(&[3, 0, 1, 4, 2], &mut weights);
        n.weight_slopes(&[3, 0, 1, 4, 2], &mut slopes);
        for (i, rank) in [3, 0, 1, 4, 2].into_iter().enumerate() {
            assert_eq!(weights[i], n.weight(rank, 5));
            assert!((slopes[i] - n.weight_slope(rank, 5)).abs() < 1e-16);
        }
    }

    #[test]
    fn weights_and_their_slopes() {
        for range in [0.3, 1.0, 5.0] {
            let n = Neighbourhood::<f64>::new(range, 5);
            let sum: f64 = (0..3).map(|r| n.weight(r, 3)).sum();
            assert!((sum - 1.0).abs() < 1e-9);
            for r in 0..3 {
                let at = |h: f64| Neighbourhood::<f64>::new(range + h, 5).weight(r, 3);
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((n.weight_slope(r, 3) - slope).abs() < 1e-7);
                assert!((n.height(r) - (-f64::from(r) / (range + EPS)).exp()).abs() < 1e-15);
            }
        }
        // Range 0: the winner takes all. A huge range: all the same.
        assert_eq!(Neighbourhood::<f64>::new(0.0, 3).weight(1, 3), 0.0);
        assert!((Neighbourhood::<f64>::new(1e12, 4).weight(3, 4) - 0.25).abs() < 1e-9);
    }
}
