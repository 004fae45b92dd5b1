//! `e^x`, `e^x - 1` and `ln x` by plain arithmetic.
//!
//! A loop over a slice of them becomes vector instructions, inside [`vectorized!`](crate::vectorized), where a call into the C library would
//! not; and the result is the same on every machine.
//!
//! `x = k ln 2 + r` with `|r| <= ln 2 / 2` (`ln 2` as a sum of two, so that r is exact but for a rounding), then `e^x = 2^k e^r` with the series
//! of `e^r` as far as it changes the last digit.
//!
//! [`share`] is for what counts beside numbers near 1 only: a likelihood beside the largest of its row, say. What would be nothing beside them is
//! nothing then. Otherwise their products would be subnormal numbers, for each of which some processors take a hundred times as long as for others.

use super::real::Real;

/// Numbers with these functions: what [`Real`] asks for.
pub trait Exponential {
    /// `e^x`, within 1.5 units in the last place. 0 where it would be below four times the smallest normal number, infinity where it
    /// overflows, NaN of NaN.
    fn exponential(self) -> Self;

    /// Up to this [`exponential`](Exponential::exponential) is 0.
    const LEAST: Self;

    /// `e^x` up to this counts for nothing as a [`share`]: `2^-62` in single precision, less than a rounding error of [`EPS`](super::objective::EPS),
    /// and `2^-923` in double.
    const FAINT: Self;

    /// `e^x` for `x <= 1`, within 1.5 units in the last place; 0 up to `faint`, which is where `e^x` is a normal number; NaN of NaN.
    fn exponential_from(self, faint: Self) -> Self;

    /// `e^x - 1` for `x <= 1`, without cancellation.
    fn exponential_minus_one(self) -> Self;

    /// `ln x`, within 2 units in the last place; minus infinity of 0, NaN of NaN and below 0.
    fn logarithm(self) -> Self;
}

macro_rules! exponential {
    ($t:ident, $bits:ident, $magic:expr, $high:expr, $low:expr, $least:expr, $faint:expr, $most:expr, $mantissa:expr, $series:expr, $inverse:expr) => {
        /// k, r, `(e^r - 1)` and `2^(k - 1)`.
        #[inline(always)]
        fn parts(x: $t) -> ($t, $t) {
            // Adding a number whose last place is 1 rounds to an integer, and leaves it in the last bits.
            let shifted = x * std::$t::consts::LOG2_E + $magic;
            let k = shifted - $magic;
            let r = (x - k * $high) - k * $low;
            // (e^r - 1 - r) / r^2
            let mut q = 0.0;
            let mut i = 0;
            while i < $series.len() {
                q = q * r + $series[i];
                i += 1;
            }
            // 2^k may be infinite where the product is not.
            let half = (0.5 as $t).to_bits();
            let half = $t::from_bits((shifted.to_bits() << $mantissa).wrapping_add(half));
            (r + r * r * q, half)
        }

        impl super::Exponential for $t {
            const LEAST: $t = $least;
            const FAINT: $t = $faint;

            #[inline(always)]
            fn exponential(self) -> $t {
                let e = self.exponential_from(Self::LEAST);
                if self > $most { $t::INFINITY } else { e }
            }

            #[inline(always)]
            fn exponential_from(self, faint: $t) -> $t {
                // (Were the same asked of x itself, the compiler would leave out the first question, and form subnormal numbers for nothing.)
                let x = if self < faint { faint } else { self };
                let (less_one, half) = parts(x);
                let e = 2.0 * ((1.0 + less_one) * half);
                if x <= faint { 0.0 } else { e }
            }

            #[inline(always)]
            fn exponential_minus_one(self) -> $t {
                // From there on it is -1.
                let x = if self < $faint { $faint } else { self };
                let (less_one, half) = parts(x);
                2.0 * (less_one * half) + (2.0 * half - 1.0)
            }

            #[inline(always)]
            fn logarithm(self) -> $t {
                let x = self;
                // Subnormal numbers are enlarged first.
                let small = x < $t::MIN_POSITIVE;
                let enlarged = x * ((1 as $bits) << $mantissa) as $t;
                let bits = (if small { enlarged } else { x }).to_bits();
                // x = 2^k m with m in [sqrt(1/2), sqrt(2))
                let root = std::$t::consts::FRAC_1_SQRT_2.to_bits();
                let moved = bits.wrapping_sub(root);
                let m = $t::from_bits((moved & ((1 << $mantissa) - 1)).wrapping_add(root));
                // The exponent as a number, through the last bits of a large one.
                let steps = (moved >> $mantissa).wrapping_add($magic.to_bits());
                let wrapped = $t::from_bits(steps) - $magic;
                let cycle = ((1 as $bits) << ($bits::BITS - $mantissa)) as $t;
                let k = if wrapped >= 0.5 * cycle { wrapped - cycle } else { wrapped };
                let k = if small { k - $mantissa as $t } else { k };
                // ln m = 2 (s + s^3/3 + s^5/5 + ..), s = (m - 1)/(m + 1)
                let f = m - 1.0;
                let s = f / (2.0 + f);
                let z = s * s;
                let mut q = 0.0;
                let mut i = 0;
                while i < $inverse.len() {
                    q = q * z + $inverse[i];
                    i += 1;
                }
                // 2 s = f - f s: that leaves the larger part unrounded.
                let ln = k * $high + ((k * $low + (2.0 * s * z * q - f * s)) + f);
                let ln = if x > 0.0 { ln } else { $t::NEG_INFINITY };
                let ln = if x < 0.0 { $t::NAN } else { ln };
                if x < $t::INFINITY { ln } else { x + x }
            }
        }
    };
}

/// `1/i!` from `i = N + 1` down to `i = 2`.
const fn inverse_factorials<const N: usize>() -> [f64; N] {
    let mut all = [0.0; N];
    let mut i = 0;
    while i < N {
        let mut factorial = 1.0;
        let mut f = 2;
        while f <= N + 1 - i {
            factorial *= f as f64;
            f += 1;
        }
        all[i] = 1.0 / factorial;
        i += 1;
    }
    all
}

const SERIES: [f64; 12] = inverse_factorials::<12>();
const SHORT_SERIES: [f32; 6] = {
    let series = inverse_factorials::<6>();
    let mut single = [0.0; 6];
    let mut i = 0;
    while i < 6 {
        single[i] = series[i] as f32;
        i += 1;
    }
    single
};

/// `1/(2 i + 1)` from `i = N` down to `i = 1`.
const fn inverse_odd<const N: usize>() -> [f64; N] {
    let mut all = [0.0; N];
    let mut i = 0;
    while i < N {
        all[i] = 1.0 / (2 * (N - i) + 1) as f64;
        i += 1;
    }
    all
}

const INVERSE: [f64; 11] = inverse_odd::<11>();
const SHORT_INVERSE: [f32; 5] = {
    let series = inverse_odd::<5>();
    let mut single = [0.0; 5];
    let mut i = 0;
    while i < 5 {
        single[i] = series[i] as f32;
        i += 1;
    }
    single
};

mod double {
    use super::{INVERSE, SERIES};
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    const HIGH: f64 = 6.931_471_803_691_238e-1;
    const LOW: f64 = 1.908_214_929_270_587_7e-10;
    exponential!(
        f64,
        u64,
        MAGIC,
        HIGH,
        LOW,
        -707.0,
        -640.0,
        709.782_712_893_384,
        52,
        SERIES,
        INVERSE
    );
}

mod single {
    use super::{SHORT_INVERSE, SHORT_SERIES};
    const MAGIC: f32 = 12_582_912.0;
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    exponential!(
        f32,
        u32,
        MAGIC,
        HIGH,
        LOW,
        -86.0,
        -43.0,
        88.722_83,
        23,
        SHORT_SERIES,
        SHORT_INVERSE
    );
}

/// `e^x`; to be called inside a vectorized function.
#[inline(always)]
pub fn exp<T: Real>(x: T) -> T {
    x.exponential()
}

/// `e^x`, `x <= 1`, of what counts beside numbers near 1; to be called inside a vectorized function.
#[inline(always)]
pub fn share<T: Real>(x: T) -> T {
    x.exponential_from(T::FAINT)
}

/// `e^x - 1`, `x <= 1`; to be called inside a vectorized function.
#[inline(always)]
pub fn exp_m1<T: Real>(x: T) -> T {
    x.exponential_minus_one()
}

/// `ln x`; to be called inside a vectorized function.
#[inline(always)]
pub fn ln<T: Real>(x: T) -> T {
    x.logarithm()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance of `got` from `exact` in units in the last place of a number with `digits` bits.
    fn ulps(got: f64, exact: f64, digits: i32) -> f64 {
        (got - exact).abs() / (exact.abs().log2().floor() - f64::from(digits)).exp2()
    }

    #[test]
    fn as_the_library_in_single_precision() {
        let mut worst = 0.0f64;
        for i in 0..4_000_000 {
            let x = -85.9 + (88.72 + 85.9) * i as f32 / 4_000_000.0;
            worst = worst.max(ulps(f64::from(x.exponential()), f64::from(x).exp(), 23));
        }
        assert!(worst < 1.5, "{worst}");
    }

    #[test]
    fn as_the_library_in_double_precision() {
        let mut worst = 0.0f64;
        for i in 0..1_000_000 {
            let x = -706.9 + (709.7 + 706.9) * f64::from(i) / 1_000_000.0;
            // The library's own error is below 0.6 units.
            worst = worst.max(ulps(x.exponential(), x.exp(), 52));
            let small = x * 1e-4;
            worst = worst.max(ulps(small.exponential(), small.exp(), 52));
        }
        assert!(worst < 1.6, "{worst}");
    }

    #[test]
    fn shares_are_powers_or_nothing() {
        macro_rules! shares {
            ($t:ty) => {
                let faint = <$t>::FAINT;
                for i in 0..100_000 {
                    let x = 1.2 * faint * (i as $t) / 100_000.0;
                    let expected = if x > faint { x.exponential() } else { 0.0 };
                    assert_eq!(share(x), expected, "{x}");
                }
                assert_eq!((share(<$t>::NEG_INFINITY), share(0.0 as $t)), (0.0, 1.0));
                assert!(share(<$t>::NAN).is_nan());
                // What counts leaves room for a product with another such, or with as small a weight.
                let least = share(faint * 0.999);
                assert!(least * least >= <$t>::MIN_POSITIVE || size_of::<$t>() == 8);
            };
        }
        shares!(f32);
        shares!(f64);
    }

    #[test]
    fn without_cancellation() {
        for i in 0..200_000 {
            let x = 1.0 - 40.0 * (f64::from(i) / 200_000.0).powi(9);
            let (got, exact) = (x.exponential_minus_one(), x.exp_m1());
            assert!((got - exact).abs() <= 4.5e-16 * exact.abs(), "{x} {got} {exact}");
            let x = x as f32;
            let exact = f64::from(x).exp_m1();
            let got = f64::from(x.exponential_minus_one());
            assert!((got - exact).abs() <= 2.4e-7 * exact.abs(), "{x} {got} {exact}");
        }
        assert_eq!((-1e9f64).exponential_minus_one(), -1.0);
        assert_eq!(0.0f32.exponential_minus_one(), 0.0);
    }

    #[test]
    fn logarithms() {
        let (mut worst, mut single) = (0.0f64, 0.0f64);
        for i in 0..400_000 {
            // All exponents, and close to 1.
            for x in
                [(f64::from(i) / 400_000.0 - 0.5) * 1490.0, (f64::from(i) / 400_000.0 - 0.5) * 0.1]
            {
                let x = x.exp();
                if x > 0.0 && x != 1.0 {
                    worst = worst.max(ulps(x.logarithm(), x.ln(), 52));
                }
                let x = x as f32;
                if x > 0.0 && x != 1.0 && x.is_finite() {
                    single = single.max(ulps(f64::from(x.logarithm()), f64::from(x).ln(), 23));
                }
            }
        }
        assert!(worst < 2.0 && single < 2.0, "{worst} {single}");
        assert_eq!([0.0f64.logarithm(), (-0.0f64).logarithm()], [f64::NEG_INFINITY; 2]);
        assert_eq!((1.0f32.logarithm(), f32::INFINITY.logarithm()), (0.0, f32::INFINITY));
        assert!((-1.0f64).logarithm().is_nan() && f32::NAN.logarithm().is_nan());
    }

    #[test]
    fn edges() {
        macro_rules! edges {
            ($t:ty, $last:expr) => {
                let e = |x: $t| x.exponential();
                assert_eq!([e(0.0), e(-0.0), e(<$t>::MIN_POSITIVE)], [1.0; 3]);
                assert_eq!([e(<$t>::NEG_INFINITY), e(<$t>::MIN), e(-1e4)], [0.0; 3]);
                assert_eq!([e(<$t>::INFINITY), e(<$t>::MAX), e(1e4)], [<$t>::INFINITY; 3]);
                assert!(e(<$t>::NAN).is_nan());
                assert!(e($last).is_finite() && e($last) > 0.99 * <$t>::MAX);
                assert!(e(<$t>::from_bits(($last as $t).to_bits() + 1)).is_infinite());
            };
        }
        edges!(f32, 88.722_83);
        edges!(f64, 709.782_712_893_384);
    }
}
