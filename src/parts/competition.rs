//! Competitions: from distances to labels.

use super::cooperation::ranks::ranks;
use super::real::Real;

/// Winner takes all: the label of the nearest, the first on ties.
pub fn wtac<T: Real>(d: &[T], labels: &[u32]) -> u32 {
    labels[d.iter().enumerate().fold(0, |b, (j, v)| if *v < d[b] { j } else { b })]
}

/// The majority label among the k nearest (all if there are fewer); ties in distance go to the lower index, ties in the vote to
/// the lowest label.
pub fn knnc<T: Real>(d: &[T], labels: &[u32], k: usize) -> u32 {
    let classes = labels.iter().max().map_or(1, |c| *c as usize + 1);
    let mut votes = vec![0usize; classes];
    let mut order = vec![0; d.len()];
    ranks(d, &mut order);
    for (rank, label) in order.iter().zip(labels) {
        if (*rank as usize) < k {
            votes[*label as usize] += 1;
        }
    }
    (0..classes).fold(0, |b, c| if votes[c] > votes[b] { c } else { b }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_settled_as_specified() {
        assert_eq!(wtac(&[1.0, 0.5, 0.5], &[0, 2, 1]), 2);
        let (d, labels) = ([0.1, 0.2, 0.3, 0.4], [1, 0, 0, 1]);
        assert_eq!([1, 2, 3, 4, 9].map(|k| knnc(&d, &labels, k)), [1, 0, 0, 0, 0]);
    }
}
