//! Neural-gas ranks: every prototype takes part, weighted by how near it is (Martinetz, Berkovich & Schulten 1993).
//!
//! `rank_j = #{k : D_k < D_j or (D_k = D_j and k < j)}` among the prototypes of a scope, `h = exp(-rank/(range + eps))`,
//! `weight = h / (sum h + eps)`. Ranks are constants for the gradient; the weight depends on rank, size of the scope and range alone, and is read
//! from a table.

use crate::parts::objective::EPS;
use crate::parts::real::Real;

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
        let h: Vec<f64> = (0..p).map(|r| (-(r as f64) / range).exp()).collect();
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

    /// The normalised weight of a rank among `members`.
    pub fn weight(&self, rank: u32, members: usize) -> T {
        self.h[rank as usize] / (self.sums[members] + T::of(EPS))
    }

    /// The weight's derivative with respect to the range.
    pub fn weight_slope(&self, rank: u32, members: usize) -> T {
        let weight = self.weight(rank, members);
        (self.slope[rank as usize] - weight * self.slope_sums[members])
            / (self.sums[members] + T::of(EPS))
    }

    /// `h` of each rank, not normalised.
    pub fn heights(&self, ranks: &[u32], out: &mut [T]) {
        out.iter_mut().zip(ranks).for_each(|(h, rank)| *h = self.height(*rank));
    }

    /// `sum h` over the prototypes of these ranks.
    pub fn total(&self, ranks: &[u32]) -> T {
        ranks.iter().map(|r| self.height(*r)).sum()
    }
}

crate::vectorized! {
    /// How many of `values` are at most `v`.
    fn count_up_to<T>(values: &[T], v: T) -> u32 {
        let mut count = 0;
        for x in values {
            count += u32::from(*x <= v);
        }
        count
    }

    /// How many of `values` are below `v`.
    fn count_below<T>(values: &[T], v: T) -> u32 {
        let mut count = 0;
        for x in values {
            count += u32::from(*x < v);
        }
        count
    }
}

/// Rank of each value, 0 the least, ties by the lower index. By counting: no sort, no branches.
pub fn ranks<T: Real>(values: &[T], out: &mut [u32]) {
    for (j, rank) in out.iter_mut().enumerate() {
        let v = values[j];
        *rank = count_up_to(&values[..j], v) + count_below(&values[j + 1..], v);
    }
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
