//! Metrics: how far a sample is from a prototype, and what a change of that distance means for the tensors.
//!
//! A metric works on a *block* of rows. [`Metric::forward`] fills the block's distances `D` (`b x p`, row-major);
//! the cooperation and objective turn `D` into `G = dL/dD`, either dense (`b x p`) or as a few [`Pair`]s a
//! row; [`Metric::backward_dense`] or [`Metric::backward_pairs`] adds the block's share of the gradient to
//! [`Sums`], plain buffers that the backend adds up over blocks in a fixed order; [`Metric::finish`] turns the
//! total into gradients once a step. X is read once, and nothing of size `n x p` exists.
//!
//! Rows and prototypes arrive *centred*: one fixed vector (the column means of the training data) is
//! subtracted from both. Every metric here depends on `x - w` alone, so this changes nothing but the rounding of
//! the expanded forms.

mod bank;
pub(crate) mod block;
pub mod chebyshev;
#[cfg(test)]
pub(crate) mod check;
pub mod class_omega;
pub mod cosine;
pub mod custom;
pub mod direct;
pub mod euclidean;
pub mod local_omega;
pub mod lp;
pub mod manhattan;
pub mod omega;
pub mod plain;
pub mod relevance;
pub mod spread;
pub mod squared_euclidean;
pub mod tangent;

use super::real::Real;

/// One entry of a sparse `G`: row of the block, prototype, `dL/dD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair<T> {
    /// Row within the block.
    pub row: u32,
    /// Prototype.
    pub prototype: u32,
    /// `dL/dD` of the pair.
    pub g: T,
}

/// Rounding of the operands of distance products, for mixed precision: identity, f16, bf16 or tf32.
///
/// The products themselves are exact in f32, so rounding the operands is all that the storage format does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operand {
    /// Keep as they are.
    #[default]
    Full,
    /// Round to IEEE half precision.
    F16,
    /// Round to bfloat16.
    Bf16,
    /// Round to TF32: 10 bits after the point, the exponent of single precision.
    Tf32,
}

impl Operand {
    /// Rounds the values in place.
    pub fn round<T: Real>(self, values: &mut [T]) {
        match self {
            Operand::Full => {}
            Operand::F16 => round_to_f16(values),
            Operand::Bf16 | Operand::Tf32 if size_of::<T>() == 4 => {
                round_bits(bytemuck::cast_slice_mut(values), self.dropped());
            }
            Operand::Bf16 => {
                for v in values {
                    *v = T::of(half::bf16::from_f64(v.f64()).to_f64());
                }
            }
            Operand::Tf32 => {
                for v in values {
                    let mut one = [(v.f64() as f32).to_bits()];
                    round_bits(&mut one, self.dropped());
                    *v = T::of(f64::from(f32::from_bits(one[0])));
                }
            }
        }
    }

    /// Bits of a single-precision number that a format of its range does without.
    fn dropped(self) -> u32 {
        if self == Operand::Tf32 { 13 } else { 16 }
    }
}

/// Rounds single-precision numbers, as bits, to the nearest without the `dropped` last bits, ties to even; NaN stays NaN.
fn round_bits(values: &mut [u32], dropped: u32) {
    let (half, kept) = ((1 << (dropped - 1)) - 1, u32::MAX << dropped);
    for v in values {
        // Just below half a unit of the last place that is kept is added (half, if that is odd).
        let rounded = v.wrapping_add(half + ((*v >> dropped) & 1)) & kept;
        let nan = *v & 0x7fff_ffff > 0x7f80_0000;
        *v = if nan { *v | 0x0040_0000 } else { rounded };
    }
}

/// Rounds to the nearest f16 through the conversion instructions of the machine.
fn round_to_f16<T: Real>(values: &mut [T]) {
    use half::slice::HalfFloatSliceExt;
    const LEN: usize = 64;
    let (mut singles, mut halves) = ([0.0f32; LEN], [half::f16::ZERO; LEN]);
    for chunk in values.chunks_mut(LEN) {
        let n = chunk.len();
        singles.iter_mut().zip(&*chunk).for_each(|(s, v)| *s = v.f64() as f32);
        halves[..n].convert_from_f32_slice(&singles[..n]);
        halves[..n].convert_to_f32_slice(&mut singles[..n]);
        chunk.iter_mut().zip(&singles).for_each(|(v, s)| *v = T::of(f64::from(*s)));
    }
}

/// Working memory of one thread for one block, reused from block to block.
///
/// Which buffer holds what is the metric's business; buffers grow on first use and stay.
#[derive(Clone, Debug, Default)]
pub struct Scratch<T> {
    /// What the forward keeps for the backward of the same block (projections, differences).
    pub kept: Vec<T>,
    /// Squared norms of the block's rows, or of their projections.
    pub norms: Vec<T>,
    /// Anything short-lived.
    pub work: Vec<T>,
    /// Anything short-lived, a second one.
    pub more: Vec<T>,
    /// Pairs sorted by prototype, for metrics that work prototype by prototype.
    pub order: Vec<u32>,
    /// Working memory of the metrics that a metric is made of.
    pub nested: Vec<Scratch<T>>,
}

/// The parts of a weighted squared distance.
#[derive(Clone, Copy)]
pub struct Squares<'a, T> {
    /// Prototypes, `p x d`.
    pub w: &'a [T],
    /// How many times each feature counts; none: once.
    pub lam: Option<&'a [T]>,
    /// What keys are made of the squares.
    pub bent: Bent,
}

/// What keys are made of squared distances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bent {
    /// Squares are keys.
    #[default]
    Not,
    /// Logarithms of the [exponential kernel's](crate::parts::kernel::exponential) distances.
    Exponential,
}

/// Buffers of a gradient's sums; their lengths are given by [`Metric::sums`].
pub type Sums<T> = Vec<Vec<T>>;

/// A metric made ready for one set of tensors: whatever depends on the tensors alone (projected prototypes,
/// squared norms, softmax of relevances) is computed when it is built, once a step.
///
/// `x` is always the block's centred rows, `b x d`, row-major.
pub trait Metric<T: Real>: Send + Sync {
    /// Fills `d` (`b x p`) with distances, by matrix products where the metric has them. Values are >= 0.
    fn forward(&self, x: &[T], d: &mut [T], scratch: &mut Scratch<T>);

    /// The distance of row `row` of the block to prototype `prototype`, by differences: what winners are
    /// recomputed with. Called after [`Metric::forward`] on the same block and scratch.
    fn exact(&self, x: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T;

    /// The same for many pairs of a row and a prototype, into `out`.
    fn exact_pairs(&self, x: &[T], pairs: &[[u32; 2]], scratch: &mut Scratch<T>, out: &mut [T]) {
        for ([row, prototype], out) in pairs.iter().zip(out) {
            *out = self.exact(x, *row as usize, *prototype as usize, scratch);
        }
    }

    /// What the distance is made of where it is `sum_a lam_a (x_a - w_a)^2` of rows, or of their [projections](Metric::project_block): a backend may have
    /// a way of its own to the nearest prototypes.
    fn squares(&self) -> Option<Squares<'_, T>> {
        None
    }

    /// The width of the block's projections, if those are the rows of [`Metric::squares`]; they are in `scratch.kept` then, as after
    /// [`Metric::forward`].
    fn project_block(&self, x: &[T], scratch: &mut Scratch<T>) -> Option<usize> {
        let _ = (x, scratch);
        None
    }

    /// Keys in place of the [squares](Metric::squares) of each row of the block and its two winners, both one after the other. Called after
    /// [`Metric::project_block`].
    fn keys_of_winners(&self, winners: &[[u32; 2]], scratch: &mut Scratch<T>, squares: &mut [T]) {
        let _ = (winners, scratch, squares);
    }

    /// How far the last [`Metric::forward`] may be off for row `row`: distances that differ by less are compared by
    /// [`Metric::exact`] where it matters which is smaller. 0 where the forward works with differences.
    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        let _ = (row, scratch);
        T::zero()
    }

    /// Whether the first of the sums, if there is one, takes all that there is to sum: `H_j += G_ij (x_i - w_j)`, for pairs and for a dense G. A
    /// backend may form it on its own way through the rows.
    fn sums_differences(&self) -> bool {
        false
    }

    /// Lengths of the buffers that the backward fills.
    fn sums(&self) -> Vec<usize>;

    /// Adds the block's share for a sparse `G`. `pairs` are sorted by row; a row may have any number.
    fn backward_pairs(
        &self,
        x: &[T],
        pairs: &[Pair<T>],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    );

    /// Adds the block's share for a dense `G` (`b x p`). `d` is the block's distances as [`Metric::forward`] gave them.
    fn backward_dense(
        &self,
        x: &[T],
        d: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    );

    /// The gradients from the total of the sums: one `(tensor name, values)` for each tensor that learns.
    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)>;

    /// What `transform` gives for a block: the projection of the rows and its width, if the metric has one
    /// (omega: `x Omega`); none: the distances are the transform.
    fn project(&self, x: &[T]) -> Option<(Vec<T>, usize)> {
        let _ = x;
        None
    }
}

/// What a metric is built from.
#[derive(Clone, Copy)]
pub struct Inputs<'a, T: Real> {
    /// Number of features.
    pub d: usize,
    /// Centred prototypes, `p x d`.
    pub prototypes: &'a [T],
    /// The metric's own tensor, as stored: omega `d x l`, omegas `p x d x l` (or `p x d x s`), relevances `d` (logits);
    /// empty if it has none.
    pub own: &'a [T],
    /// Whether the prototypes learn (a frozen tensor's gradient is not computed).
    pub learn_prototypes: bool,
    /// Whether the metric's own tensor learns.
    pub learn_own: bool,
    /// Rounding of operands (rows arrive rounded already).
    pub operand: Operand,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_rounded_to_nearest() {
        let values: Vec<f32> = (0..200)
            .map(|i| (i as f32 - 100.0) * 1.37e-3 * 10f32.powi(i % 7 - 3))
            .chain([0.0, -0.0, 1.003_906_2, 1.011_718_8, 65_519.0, 65_520.0, 1e-8, f32::INFINITY])
            .collect();
        let rounded = |o: Operand| {
            let mut v = values.clone();
            o.round(&mut v);
            v
        };
        let plain: Vec<f32> = values.iter().map(|v| half::bf16::from_f32(*v).to_f32()).collect();
        assert_eq!(rounded(Operand::Bf16), plain);
        let plain: Vec<f32> = values.iter().map(|v| half::f16::from_f32(*v).to_f32()).collect();
        assert_eq!(rounded(Operand::F16), plain);
        // As many bits as half precision, in whose range the two are the same.
        let is_normal = |v: f32| v == 0.0 || (6.2e-5..65_504.0).contains(&v.abs());
        for ((v, half), tf32) in values.iter().zip(plain).zip(rounded(Operand::Tf32)) {
            assert!(!is_normal(*v) || tf32 == half, "{v}: {tf32} {half}");
            assert!(
                is_normal(*v) || (tf32 / v - 1.0).abs() <= 1.0 / 2048.0 || v.is_infinite(),
                "{v}: {tf32}"
            );
        }
        assert_eq!(rounded(Operand::Full), values);
        for operand in [Operand::Bf16, Operand::Tf32] {
            let mut nan = [f32::NAN];
            operand.round(&mut nan);
            assert!(nan[0].is_nan());
            let mut doubles = values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            operand.round(&mut doubles);
            assert_eq!(doubles.iter().map(|v| *v as f32).collect::<Vec<_>>(), rounded(operand));
        }
    }
}
