//! What the optimizers that treat every block by itself have in common.

use super::plan::Plan;
use crate::parts::random::Stream;
use crate::parts::real::Real;
use crate::parts::simd::{LANES, Vectorize, dispatch, run};
use crate::parts::tensor::Tensor;
use rand_distr::{Distribution, StandardNormal};
use std::fmt::Debug;

/// An optimizer whose update of a block depends on nothing but that block.
///
/// The hyper-parameters are the implementor's fields; what changes from step to step is in
/// [`Slots`].
pub(crate) trait Rule<T: Real>: Debug + Send + Sync {
    /// The state of a block of that shape before the first update; `lr` is the base rate.
    fn slots(&self, shape: &[usize], lr: f64) -> Slots<T>;

    /// `theta <- theta + u(g)` for one block.
    fn update(&self, step: &mut Step, slots: &mut Slots<T>, theta: &mut [T], g: &[T]);

    /// The rule's numbers at a step, hyper-parameters and what is made of them and of the step, in the
    /// order of `Numbers` in the rule's shader.
    fn numbers(&self, step: &Step) -> Vec<f64>;

    /// The kernels that update a block of that shape on a device.
    fn plan(&self, shape: &[usize]) -> Plan;

    /// The standard deviation of the noise at a step, of a rule with [`Rule::noise`].
    fn deviation(&self, _step: &Step) -> f64 {
        0.0
    }

    /// The stream from which update `t` draws, for the optimizers that add noise. It runs on
    /// through the blocks in their order.
    fn noise(&self, _t: u64) -> Option<Stream> {
        None
    }

    /// The norm to which the caller clips the gradient of every row before the mean is taken.
    fn row_clip(&self) -> Option<f64> {
        None
    }
}

/// What an update knows besides the block.
pub(crate) struct Step {
    /// Number of this update: 1, 2, ...
    pub t: u64,
    /// Step size: the scheduled rate times the block's multiplier.
    pub h: f64,
    /// `h` over the base rate, for the optimizers that keep step sizes of their own.
    pub ratio: f64,
    /// Rows in the batch.
    pub rows: usize,
    /// The stream of [`Rule::noise`].
    pub noise: Option<Stream>,
}

impl Step {
    /// `1 / (1 - b^t)`: what makes a running mean that began at 0 unbiased.
    pub fn unbias(&self, b: f64) -> f64 {
        1.0 / (1.0 - b.powf(self.t as f64))
    }

    /// A standard normal number. Panics for a rule without [`Rule::noise`] (a programming error).
    pub fn normal(&mut self) -> f64 {
        StandardNormal.sample(self.noise.as_mut().expect("a rule with noise"))
    }
}

/// The state of one block.
#[derive(Clone, Debug)]
pub(crate) struct Slots<T> {
    /// Shape of the block.
    pub shape: Vec<usize>,
    /// Moments and the like, in the order of the rule. Saved.
    pub tensors: Vec<Tensor<T>>,
    /// Numbers kept in full precision. Saved.
    pub scalars: Vec<(&'static str, f64)>,
    /// Room for intermediate results. Not saved.
    pub scratch: Vec<T>,
}

impl<T: Real> Slots<T> {
    /// One tensor of the block's shape for every name, filled with the value beside it.
    pub fn new(shape: &[usize], named: &[(&str, f64)]) -> Self {
        let count = shape.iter().product();
        let tensors =
            named.iter().map(|(n, v)| Tensor::new(*n, shape, vec![T::of(*v); count])).collect();
        Slots { shape: shape.to_vec(), tensors, scalars: Vec::new(), scratch: Vec::new() }
    }

    /// Adds a number in full precision.
    pub fn with_scalar(mut self, name: &'static str, value: f64) -> Self {
        self.scalars.push((name, value));
        self
    }

    /// Adds a tensor of another shape, zero.
    pub fn with_tensor(mut self, name: impl Into<String>, shape: &[usize]) -> Self {
        let count = shape.iter().product();
        self.tensors.push(Tensor::new(name, shape, vec![T::zero(); count]));
        self
    }

    /// The values of the first `S` tensors.
    pub fn data<const S: usize>(&mut self) -> [&mut [T]; S] {
        let mut tensors = self.tensors.iter_mut();
        std::array::from_fn(|_| {
            tensors.next().expect("as many slots as the rule made").data.as_mut_slice()
        })
    }
}

/// One pass over a block: `f(theta, g, state)` returns the update `u` and the new state of an
/// element, and `theta <- theta + u`.
///
/// `f` is compiled into the loop, once for every instruction set.
pub(super) fn sweep<T: Real, const S: usize>(
    theta: &mut [T],
    g: &[T],
    state: [&mut [T]; S],
    f: impl FnMut(T, T, [T; S]) -> (T, [T; S]),
) {
    run(Sweep { theta, g, state, f });
}

struct Sweep<'a, T, F, const S: usize> {
    theta: &'a mut [T],
    g: &'a [T],
    state: [&'a mut [T]; S],
    f: F,
}

impl<T: Real, F: FnMut(T, T, [T; S]) -> (T, [T; S]), const S: usize> Vectorize
    for Sweep<'_, T, F, S>
{
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Sweep { theta, g, state, mut f } = self;
        let n = theta.len();
        let g = &g[..n];
        let state = state.map(|s| &mut s[..n]);
        let mut start = 0;
        // Values of a group are copies of their own: the compiler need not ask whether slices overlap.
        while start + LANES <= n {
            let group = |s: &[T]| -> [T; LANES] {
                s[start..start + LANES].try_into().expect("as many as lanes")
            };
            let (mut t, g) = (group(theta), group(g));
            let mut of: [[T; LANES]; S] = std::array::from_fn(|s| group(state[s]));
            for l in 0..LANES {
                let (u, new) = f(t[l], g[l], std::array::from_fn(|s| of[s][l]));
                for s in 0..S {
                    of[s][l] = new[s];
                }
                t[l] += u;
            }
            theta[start..start + LANES].copy_from_slice(&t);
            for s in 0..S {
                state[s][start..start + LANES].copy_from_slice(&of[s]);
            }
            start += LANES;
        }
        for i in start..n {
            let (u, new) = f(theta[i], g[i], std::array::from_fn(|s| state[s][i]));
            for s in 0..S {
                state[s][i] = new[s];
            }
            theta[i] += u;
        }
    }
}

/// The pass that comes before the update of the optimizers that need the norm of a direction first:
/// `f(theta, g, state)` returns the direction and the new state of an element. Returns
/// `sum direction^2`.
pub(super) fn measure<T: Real, const S: usize>(
    theta: &[T],
    g: &[T],
    state: [&mut [T]; S],
    mut f: impl FnMut(T, T, [T; S]) -> (T, [T; S]),
) -> f64 {
    dispatch(|| {
        let n = theta.len();
        let g = &g[..n];
        let state = state.map(|s| &mut s[..n]);
        let mut sum = 0.0;
        for i in 0..n {
            let (a, new) = f(theta[i], g[i], std::array::from_fn(|s| state[s][i]));
            for s in 0..S {
                state[s][i] = new[s];
            }
            sum += a.f64() * a.f64();
        }
        sum
    })
}

/// `sum_i a_i b_i` in `f64`, in a fixed order.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> f64 {
    dispatch(|| {
        let mut sum = [0.0; LANES];
        for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
            for (s, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
                *s += a.f64() * b.f64();
            }
        }
        sum.iter().sum()
    })
}

/// The Frobenius norm of a block, in `f64`.
pub(super) fn norm<T: Real>(v: &[T]) -> f64 {
    dot(v, v).sqrt()
}

/// `sign(x)` with `sign(0) = 0` (the standard library's is 1 there).
#[inline(always)]
pub(super) fn sign<T: Real>(x: T) -> T {
    if x > T::zero() {
        T::one()
    } else if x < T::zero() {
        -T::one()
    } else {
        T::zero()
    }
}
