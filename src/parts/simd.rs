//! Vector loops, compiled for every instruction set and chosen at run time.
//!
//! The loops are written over fixed groups of [`LANES`] values, which the compiler turns into vector
//! instructions of whatever width the machine has; `pulp` picks the version when the program starts.
//! Because the grouping is fixed and no product is fused with a sum, the result of a reduction is the
//! same on every instruction set.
//!
//! A loop is compiled for an instruction set only if it is *inlined* into the function that `pulp` compiles for
//! it. Closures offer no way to force that (and the compiler does leave them out of line, as plain SSE2 code), so
//! such loops are written as functions inside [`vectorized!`](crate::vectorized), and what they call is `#[inline(always)]`.

use super::real::Real;
use pulp::Arch;

/// Values that are summed side by side.
pub const LANES: usize = 16;

/// Runs `f` compiled for the best instruction set of this machine, if the compiler inlines it: see
/// [`vectorized!`](crate::vectorized), which makes sure of it.
#[inline(always)]
pub fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    run(f)
}

/// Defines functions, generic over one [`Real`] (and possibly one other type), whose bodies are compiled for every
/// instruction set.
///
/// ```
/// lvq::vectorized! {
///     /// `y += x`.
///     fn add<T>(y: &mut [T], x: &[T]) {
///         for (y, x) in y.iter_mut().zip(x) {
///             *y += *x;
///         }
///     }
/// }
/// let mut y = [1.0, 2.0];
/// add(&mut y, &[10.0, 20.0]);
/// assert_eq!(y, [11.0, 22.0]);
/// ```
///
/// A `wide fn` is compiled for AVX-512 as well. That pays for long loops over whole registers; where vectors are joined or cut to pieces at once, as
/// in short reductions, it does not.
///
/// Lifetimes in the arguments' types are left out, the arguments mention every type parameter, and a result borrows
/// nothing. Closures inside a body may stay out of line (and so scalar), unless they are passed to something small.
#[macro_export]
macro_rules! vectorized {
    () => {};
    ($(#[$meta:meta])* $vis:vis wide fn $name:ident $($rest:tt)*) => {
        $crate::vectorized! { @run_wide $(#[$meta])* $vis fn $name $($rest)* }
    };
    ($(#[$meta:meta])* $vis:vis fn $name:ident $($rest:tt)*) => {
        $crate::vectorized! { @run $(#[$meta])* $vis fn $name $($rest)* }
    };
    (@$run:ident $(#[$meta:meta])* $vis:vis fn $name:ident<$t:ident $(, $k:ident: $bound:path)?>($($arg:ident: $ty:ty),* $(,)?) $body:block $($rest:tt)*) => {
        $crate::vectorized! {
            @$run $(#[$meta])* $vis fn $name<$t $(, $k: $bound)?>($($arg: $ty),*) -> () $body $($rest)*
        }
    };
    (@$run:ident $(#[$meta:meta])* $vis:vis fn $name:ident<$t:ident $(, $k:ident: $bound:path)?>($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block $($rest:tt)*) => {
        $(#[$meta])*
        $vis fn $name<$t: $crate::parts::real::Real $(, $k: $bound)?>($($arg: $ty),*) -> $ret {
            struct Task<A>(A);
            impl<$t: $crate::parts::real::Real $(, $k: $bound)?> $crate::parts::simd::Vectorize
                for Task<($($ty,)*)>
            {
                type Output = $ret;
                #[inline(always)]
                fn call(self) -> $ret {
                    let ($($arg,)*) = self.0;
                    $body
                }
            }
            $crate::parts::simd::$run(Task(($($arg,)*)))
        }
        $crate::vectorized! { $($rest)* }
    };
}

#[doc(hidden)]
pub use pulp::NullaryFnOnce as Vectorize;

/// What the machine has, asked once: many a loop is over sooner than the question is answered.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use pulp::x86::{V3, V4};
    use std::sync::LazyLock;

    pub static USUAL: LazyLock<Option<V3>> = LazyLock::new(V3::try_new);
    pub static WIDE: LazyLock<Option<V4>> = LazyLock::new(V4::try_new);
}

#[doc(hidden)]
#[inline(always)]
pub fn run<V: Vectorize>(task: V) -> V::Output {
    // `Arch` would take AVX-512 for everything.
    #[cfg(target_arch = "x86_64")]
    if let Some(usual) = usual() {
        return usual.vectorize(task);
    }
    Arch::new().dispatch(task)
}

#[doc(hidden)]
#[inline(always)]
pub fn run_wide<V: Vectorize>(task: V) -> V::Output {
    #[cfg(target_arch = "x86_64")]
    if let Some(wide) = wide() {
        return wide.vectorize(task);
    }
    run(task)
}

/// AVX2 and fused multiply-adds, if the machine has them.
#[cfg(target_arch = "x86_64")]
pub(crate) fn usual() -> Option<pulp::x86::V3> {
    *x86::USUAL
}

/// AVX-512 as every processor has it but the first, if the machine has it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn wide() -> Option<pulp::x86::V4> {
    *x86::WIDE
}

/// Whether a `wide fn` has registers of 64 bytes.
pub fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    let wide = wide().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    let wide = false;
    wide
}

/// `sum of term(a, b)` over two slices (`b` at least as long as `a`), in a fixed order.
#[inline(always)]
pub fn reduce<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    fold(a, b, |sum, x, y| sum + term(x, y), |a, b| a + b)
}

/// Folds `step` over two slices in [`LANES`] independent lanes that start at zero, then joins the lanes in a fixed order.
///
/// The tail is taken in pieces of 8, 4 and 1, each in lanes of its own: the compiler turns a loop over lanes into vector
/// instructions only while nothing else touches them and every index into them is a constant. (It does so from
/// `opt-level` 3 on.)
#[inline(always)]
fn fold<T: Real>(a: &[T], b: &[T], step: impl Fn(T, T, T) -> T, join: impl Fn(T, T) -> T) -> T {
    let mut lane = [T::zero(); LANES];
    let (ca, ra) = a.as_chunks::<LANES>();
    let (cb, rb) = b[..a.len()].as_chunks::<LANES>();
    for (x, y) in ca.iter().zip(cb) {
        for l in 0..LANES {
            lane[l] = step(lane[l], x[l], y[l]);
        }
    }
    let mut all = if ca.is_empty() { T::zero() } else { join_lanes(whole(lane), &join) };
    let (ca, ra) = ra.as_chunks::<8>();
    let (cb, rb) = rb.as_chunks::<8>();
    if let (Some(x), Some(y)) = (ca.first(), cb.first()) {
        let mut lane = [T::zero(); 8];
        for l in 0..8 {
            lane[l] = step(lane[l], x[l], y[l]);
        }
        all = join(all, join_lanes(lane, &join));
    }
    let (ca, ra) = ra.as_chunks::<4>();
    let (cb, rb) = rb.as_chunks::<4>();
    if let (Some(x), Some(y)) = (ca.first(), cb.first()) {
        let mut lane = [T::zero(); 4];
        for l in 0..4 {
            lane[l] = step(lane[l], x[l], y[l]);
        }
        all = join(all, join_lanes(lane, &join));
    }
    for (x, y) in ra.iter().zip(rb) {
        all = join(all, step(T::zero(), *x, *y));
    }
    all
}

/// The lanes, as they are. The compiler does not see that: otherwise it fits the width of the loop's vectors to the
/// narrow ones in which the lanes are joined at the end.
#[inline(always)]
fn whole<T: Real>(lane: [T; LANES]) -> [T; LANES] {
    std::hint::black_box(lane)
}

/// Joins lanes pairwise, halving their number (a power of two) each time.
#[inline(always)]
fn join_lanes<T: Real, const N: usize>(mut lane: [T; N], join: &impl Fn(T, T) -> T) -> T {
    let mut width = N / 2;
    while width > 0 {
        for l in 0..width {
            lane[l] = join(lane[l], lane[l + width]);
        }
        width /= 2;
    }
    lane[0]
}

/// `sum_a x_a y_a`; to be called inside a vectorized function.
#[inline(always)]
pub fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    reduce(x, y, |a, b| a * b)
}

/// `sum_a (x_a - y_a)^2`; to be called inside a vectorized function.
#[inline(always)]
pub fn squared_difference<T: Real>(x: &[T], y: &[T]) -> T {
    reduce(x, y, |a, b| (a - b) * (a - b))
}

/// `sum_a |x_a - y_a|`; to be called inside a vectorized function.
#[inline(always)]
pub fn absolute_difference<T: Real>(x: &[T], y: &[T]) -> T {
    reduce(x, y, |a, b| absolute(a - b))
}

/// `max_a |x_a - y_a|`, 0 over nothing; to be called inside a vectorized function.
#[inline(always)]
pub fn largest_difference<T: Real>(x: &[T], y: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    fold(x, y, |m, a, b| larger(m, absolute(a - b)), larger)
}

/// `sum_a s_a (x_a - y_a)^2`; to be called inside a vectorized function.
#[inline(always)]
pub fn weighted_squared_difference<T: Real>(s: &[T], x: &[T], y: &[T]) -> T {
    let mut lane = [T::zero(); LANES];
    let (cs, rs) = s.as_chunks::<LANES>();
    let (cx, rx) = x[..s.len()].as_chunks::<LANES>();
    let (cy, ry) = y[..s.len()].as_chunks::<LANES>();
    for ((s, x), y) in cs.iter().zip(cx).zip(cy) {
        for l in 0..LANES {
            let e = x[l] - y[l];
            lane[l] += s[l] * e * e;
        }
    }
    let mut sum = if cs.is_empty() { T::zero() } else { join_lanes(whole(lane), &|a, b| a + b) };
    for ((s, x), y) in rs.iter().zip(rx).zip(ry) {
        let e = *x - *y;
        sum += *s * e * e;
    }
    sum
}

/// `sum_a x_a`; to be called inside a vectorized function.
#[inline(always)]
pub fn total<T: Real>(x: &[T]) -> T {
    reduce(x, x, |a, _| a)
}

/// The sum of the values whose label is `label`, and the sum of all: equal where all others are 0. To be called inside a vectorized
/// function.
#[inline(always)]
pub fn totals<T: Real>(x: &[T], labels: &[u32], label: u32) -> (T, T) {
    let (mut own, mut all) = ([T::zero(); LANES], [T::zero(); LANES]);
    let (cx, rx) = x.as_chunks::<LANES>();
    let (cl, rl) = labels[..x.len()].as_chunks::<LANES>();
    for (x, labels) in cx.iter().zip(cl) {
        for l in 0..LANES {
            own[l] += if labels[l] == label { x[l] } else { T::zero() };
            all[l] += x[l];
        }
    }
    let (mut own, mut all) =
        (join_lanes(whole(own), &|a, b| a + b), join_lanes(whole(all), &|a, b| a + b));
    for (x, l) in rx.iter().zip(rl) {
        own += if *l == label { *x } else { T::zero() };
        all += *x;
    }
    (own, all)
}

/// The least value, infinity over nothing; NaN is passed over. To be called inside a vectorized function.
#[inline(always)]
pub fn least<T: Real>(x: &[T]) -> T {
    // Independent lanes: a chain of minima would wait for each comparison.
    let mut lane = [T::infinity(); LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for l in 0..LANES {
            lane[l] = if x[l] < lane[l] { x[l] } else { lane[l] };
        }
    }
    let lesser = |a: T, b: T| if b < a { b } else { a };
    let least = if chunks.is_empty() { T::infinity() } else { join_lanes(whole(lane), &lesser) };
    rest.iter().fold(least, |a, b| lesser(a, *b))
}

/// `|x|`; a function because two of the traits behind [`Real`] have an `abs`.
#[inline(always)]
pub fn absolute<T: Real>(x: T) -> T {
    num_traits::Float::abs(x)
}

/// `y += alpha x`; to be called inside a vectorized function.
#[inline(always)]
pub fn axpy<T: Real>(y: &mut [T], alpha: T, x: &[T]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += alpha * *x;
    }
}

crate::vectorized! {
    /// `sum_a x_a y_a`.
    pub fn inner<T>(x: &[T], y: &[T]) -> T {
        dot(x, y)
    }

    /// `y += alpha x`.
    pub fn add_scaled<T>(y: &mut [T], alpha: T, x: &[T]) {
        axpy(y, alpha, x);
    }

    /// `sum_a (x_a - y_a)^2`.
    pub fn squared_distance<T>(x: &[T], y: &[T]) -> T {
        squared_difference(x, y)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every tail length, against the plain loop: integers, so that sums are exact in any order.
    #[test]
    fn reductions_of_every_length() {
        for n in 0..70usize {
            let x: Vec<f64> = (0..n).map(|i| ((i * 7) % 11) as f64 - 5.0).collect();
            let y: Vec<f64> = (0..n).map(|i| ((i * 5) % 13) as f64 - 6.0).collect();
            let s: Vec<f64> = (0..n).map(|i| (i % 3) as f64).collect();
            let e: Vec<f64> = x.iter().zip(&y).map(|(a, b)| a - b).collect();
            assert_eq!(inner(&x, &y), x.iter().zip(&y).map(|(a, b)| a * b).sum::<f64>());
            assert_eq!(squared_distance(&x, &y), e.iter().map(|e| e * e).sum::<f64>());
            assert_eq!(absolute_difference(&x, &y), e.iter().map(|e| e.abs()).sum::<f64>());
            assert_eq!(total(&x), x.iter().sum::<f64>());
            assert_eq!(least(&x), x.iter().copied().fold(f64::INFINITY, f64::min));
            let labels: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
            let own: f64 = x.iter().step_by(3).sum();
            assert_eq!(totals(&x, &labels, 0), (own, x.iter().sum()));
            assert_eq!(largest_difference(&x, &y), e.iter().fold(0.0, |m, e| e.abs().max(m)));
            assert_eq!(
                weighted_squared_difference(&s, &x, &y),
                s.iter().zip(&e).map(|(s, e)| s * e * e).sum::<f64>()
            );
        }
    }
}
