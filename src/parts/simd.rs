//! Vector loops, compiled for every instruction set and chosen at run time.
//!
//! The loops are written over fixed groups of [`LANES`] values, which the compiler turns into vector
//! instructions of whatever width the machine has; `pulp` picks the version when the program starts.
//! Because the grouping is fixed and no product is fused with a sum, the result of a reduction is the
//! same on every instruction set.

use super::real::Real;
use pulp::Arch;

/// Values that are summed side by side.
pub const LANES: usize = 16;

/// Runs `f` compiled for the best instruction set of this machine.
#[inline(always)]
pub fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(f)
}

/// `sum of term(a, b)` over two slices of equal length, in a fixed order.
#[inline(always)]
fn reduce<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    let mut sum = [T::zero(); LANES];
    let (ca, ra) = a.as_chunks::<LANES>();
    let (cb, rb) = b[..a.len()].as_chunks::<LANES>();
    for (x, y) in ca.iter().zip(cb) {
        for l in 0..LANES {
            sum[l] += term(x[l], y[l]);
        }
    }
    for (l, (x, y)) in ra.iter().zip(rb).enumerate() {
        sum[l] += term(*x, *y);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            let other = sum[l + width];
            sum[l] += other;
        }
        width /= 2;
    }
    sum[0]
}

/// `sum_a x_a y_a`; to be called inside [`dispatch`].
#[inline(always)]
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    reduce(x, y, |a, b| a * b)
}

/// `sum_a (x_a - y_a)^2`; to be called inside [`dispatch`].
#[inline(always)]
pub fn squared_difference<T: Real>(x: &[T], y: &[T]) -> T {
    reduce(x, y, |a, b| (a - b) * (a - b))
}

/// `y += alpha x`; to be called inside [`dispatch`].
#[inline(always)]
pub fn axpy<T: Real>(y: &mut [T], alpha: T, x: &[T]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * *x;
    }
}
