//! Prototypes laid out for tiles of rows.

/// Prototypes in groups whose sums with two registers of rows are formed at a time, each value as an `E`.
pub(super) struct Packed<E> {
    pub d: usize,
    pub p: usize,
    /// Prototypes of a group: an even number.
    pub size: usize,
    /// For each group its first feature of all prototypes, then its second.
    w: Vec<E>,
    /// What a prototype's sums start from.
    pub starts: Vec<f32>,
    pub labels: Vec<i32>,
    /// Prototypes of a class that stand next to each other: the class, and how many they are. (None of those that fill up the last group.)
    pub runs: Vec<(i32, usize)>,
}

impl<E: Copy> Packed<E> {
    /// Prototypes of the classes `labels`, at most `most` in a group, whose values are made by `of`. All sums start from 0, but those that fill up the
    /// last group from infinity.
    pub fn new(w: &[f32], labels: &[u32], most: usize, of: impl Fn(f32) -> E) -> Packed<E> {
        let p = labels.len();
        let d = w.len() / p;
        let groups = p.div_ceil(most);
        // Of like size, so that few sums are formed for nothing.
        let size = p.div_ceil(groups).next_multiple_of(2);
        let mut packed = vec![of(0.0); groups * size * d];
        for (j, w) in w.chunks_exact(d).enumerate() {
            let group = &mut packed[j / size * size * d..][..size * d];
            for (a, w) in w.iter().enumerate() {
                group[a * size + j % size] = of(*w);
            }
        }
        let start = |j: usize| if j < p { 0.0 } else { f32::INFINITY };
        let starts = (0..groups * size).map(start).collect();
        let runs = labels.chunk_by(|a, b| a == b).map(|run| (run[0] as i32, run.len())).collect();
        let label = |j: usize| labels.get(j).map_or(-1, |label| *label as i32);
        let labels = (0..groups * size).map(label).collect();
        Packed { d, p, size, w: packed, starts, labels, runs }
    }

    /// Values of groups of `N`, so many features each.
    #[inline]
    pub fn values<const N: usize>(&self) -> &[[E; N]] {
        self.w.as_chunks::<N>().0
    }

    /// Values, starts and classes of each group of `N`.
    #[inline]
    pub fn groups<const N: usize>(
        &self,
    ) -> impl Iterator<Item = (&[[E; N]], &[f32; N], &[i32; N])> {
        let (w, d) = (self.values::<N>(), self.d);
        let rest = self.starts.as_chunks::<N>().0.iter().zip(self.labels.as_chunks::<N>().0);
        rest.enumerate().map(move |(g, (starts, labels))| (&w[g * d..][..d], starts, labels))
    }
}

impl Packed<f32> {
    /// Of prototypes `w`, whose sums start from `|w|^2/2`: `weighted` are the same times the relevances.
    pub fn halves(w: &[f32], weighted: &[f32], labels: &[u32], most: usize) -> Packed<f32> {
        let mut packed = Packed::new(weighted, labels, most, |w| w);
        let all = w.chunks_exact(packed.d).zip(weighted.chunks_exact(packed.d));
        for (start, (w, weighted)) in packed.starts.iter_mut().zip(all) {
            let terms = w.iter().zip(weighted).map(|(w, v)| f64::from(*v) * f64::from(*w));
            *start = (0.5 * terms.sum::<f64>()) as f32;
        }
        packed
    }

    /// The largest `|w|^2`.
    pub fn largest(&self) -> f32 {
        self.starts[..self.p].iter().fold(0.0, |most, half| most.max(2.0 * half))
    }
}
