//! LVQ1 and LVQ2.1 in batch form (Kohonen 1990): prototypes move towards right rows and away from wrong ones.
//!
//! `w_j <- w_j + rate / max(N_j, 1) sum_i s_ij (x_i - w_j)`, where `s_ij` is +1 for an attracted row, -1 for a repelled one, and `N_j`
//! counts the rows of j. Row weights multiply `s` and `N`.

/// Sums of one pass: for each prototype `sum s x`, `sum s` and the count.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums {
    d: usize,
    rows: Vec<f64>,
    signs: Vec<f64>,
    counts: Vec<f64>,
}

impl Sums {
    /// Nothing yet.
    pub fn new(p: usize, d: usize) -> Self {
        Sums { d, rows: vec![0.0; p * d], signs: vec![0.0; p], counts: vec![0.0; p] }
    }

    /// Row `x` attracts (`sign` 1) or repels (`sign` -1) prototype j, with a weight.
    pub fn add(&mut self, j: usize, sign: f64, weight: f64, x: &[f64]) {
        let s = sign * weight;
        for (r, x) in self.rows[j * self.d..][..self.d].iter_mut().zip(x) {
            *r += s * x;
        }
        self.signs[j] += s;
        self.counts[j] += weight;
    }

    /// Adds the sums of other rows.
    pub fn merge(&mut self, other: &Sums) {
        let pairs = [
            (&mut self.rows, &other.rows),
            (&mut self.signs, &other.signs),
            (&mut self.counts, &other.counts),
        ];
        for (a, b) in pairs {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
        }
    }

    /// Moves the prototypes (`p x d`). Those without rows stay.
    pub fn apply(&self, prototypes: &mut [f64], rate: f64) {
        for (j, w) in prototypes.chunks_exact_mut(self.d).enumerate() {
            // A weight sum below 1 counts as 1 where rows count whole; fractional weights keep their mean.
            if self.counts[j] == 0.0 {
                continue;
            }
            let step = rate / self.counts[j];
            for (w, r) in w.iter_mut().zip(&self.rows[j * self.d..]) {
                *w += step * (r - self.signs[j] * *w);
            }
        }
    }
}

/// Whether a row lies in LVQ2.1's window: `min(a/b, b/a) > (1 - v)/(1 + v)` for the unsquared distances a, b.
pub fn in_window(d_plus: f64, d_minus: f64, window: f64) -> bool {
    let (a, b) = (d_plus.sqrt(), d_minus.sqrt());
    if a == 0.0 && b == 0.0 {
        return true;
    }
    a.min(b) / a.max(b) > (1.0 - window) / (1.0 + window)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of the specification (section 12), one iteration with rate 0.1.
    #[test]
    fn worked_example() {
        let x = [[0.2, -0.4], [1.0, 0.3], [-0.7, 1.1], [1.4, 1.6]];
        let w = [0.1, 0.2, 0.9, -0.5, 0.6, 1.2];
        // LVQ1: nearest prototypes 0, 1, 0, 2; labels of rows 0 0 1 1, of prototypes 0 0 1.
        let mut sums = Sums::new(3, 2);
        for (i, (j, sign)) in [(0, 1.0), (1, 1.0), (0, -1.0), (2, 1.0)].into_iter().enumerate() {
            sums.add(j, sign, 1.0, &x[i]);
        }
        let mut moved = w;
        sums.apply(&mut moved, 0.1);
        for (a, b) in moved.iter().zip([0.145, 0.125, 0.91, -0.42, 0.68, 1.24]) {
            assert!((a - b).abs() < 1e-12, "{moved:?}");
        }
        // LVQ2.1: nearest right 0, 1, 2, 2; nearest wrong 2, 2, 0, 0... as the distances say.
        let mut sums = Sums::new(3, 2);
        for (i, (right, wrong)) in [(0, 2), (1, 2), (2, 0), (2, 0)].into_iter().enumerate() {
            sums.add(right, 1.0, 1.0, &x[i]);
            sums.add(wrong, -1.0, 1.0, &x[i]);
        }
        let mut moved = w;
        sums.apply(&mut moved, 0.1);
        for (a, b) in moved.iter().zip([0.086_666_67, 0.103_333_33, 0.91, -0.42, 0.5875, 1.27]) {
            assert!((a - b).abs() < 1e-8, "{moved:?}");
        }
    }

    #[test]
    fn windows() {
        assert!(in_window(1.0, 1.1, 0.3) && in_window(0.0, 0.0, 0.3));
        assert!(!in_window(0.1, 1.0, 0.3));
    }
}
