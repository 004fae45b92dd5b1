//! `e^x` by plain arithmetic.
//!
//! A loop over a slice of them becomes vector instructions, inside [`vectorized!`](crate::vectorized), where a call into the C library would
//! not; and the result is the same on every machine.
//!
//! `x = k ln 2 + r` with `|r| <= ln 2 / 2` (`ln 2` as a sum of two, so that r is exact but for a rounding), then `e^x = 2^k e^r` with the series
//! of `e^r` as far as it changes the last digit.

use super::real::Real;

/// Numbers with this exponential: what [`Real`] asks for.
pub trait Exponential {
    /// `e^x`, within 1.5 units in the last place. 0 where it would be below about twice the smallest normal number, infinity where it
    /// overflows, NaN of NaN.
    fn exponential(self) -> Self;
}

macro_rules! exponential {
    ($t:ty, $magic:expr, $high:expr, $low:expr, $least:expr, $most:expr, $mantissa:expr, $series:expr) => {
        impl Exponential for $t {
            #[inline(always)]
            fn exponential(self) -> $t {
                const HALF: u32 = $mantissa;
                let x = self;
                // Adding a number whose last place is 1 rounds to an integer, and leaves it in the last bits.
                let shifted = x * std::f64::consts::LOG2_E as $t + $magic;
                let k = shifted - $magic;
                let r = (x - k * $high) - k * $low;
                // (e^r - 1 - r) / r^2
                let mut q = 0.0;
                let mut i = 0;
                while i < $series.len() {
                    q = q * r + $series[i];
                    i += 1;
                }
                let e = 1.0 + (r + r * r * q);
                // 2^(k - 1): 2^k may be infinite where the product is not.
                let half = <$t>::from_bits(
                    (shifted.to_bits() << HALF).wrapping_add((0.5 as $t).to_bits()),
                );
                let e = 2.0 * (e * half);
                let e = if x < $least { 0.0 } else { e };
                if x > $most { <$t>::INFINITY } else { e }
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

exponential!(
    f64,
    6_755_399_441_055_744.0,
    6.931_471_803_691_238e-1,
    1.908_214_929_270_587_7e-10,
    -708.0,
    709.782_712_893_384,
    52,
    SERIES
);
exponential!(f32, 12_582_912.0, 0.693_359_4, -2.121_944_4e-4, -86.9, 88.722_83, 23, SHORT_SERIES);

/// `e^x`; to be called inside a vectorized function.
#[inline(always)]
pub fn exp<T: Real>(x: T) -> T {
    x.exponential()
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
            let x = -86.9 + (88.72 + 86.9) * i as f32 / 4_000_000.0;
            worst = worst.max(ulps(f64::from(x.exponential()), f64::from(x).exp(), 23));
        }
        assert!(worst < 1.5, "{worst}");
    }

    #[test]
    fn as_the_library_in_double_precision() {
        let mut worst = 0.0f64;
        for i in 0..1_000_000 {
            let x = -708.0 + (709.7 + 708.0) * f64::from(i) / 1_000_000.0;
            // The library's own error is below 0.6 units.
            worst = worst.max(ulps(x.exponential(), x.exp(), 52));
            let small = x * 1e-4;
            worst = worst.max(ulps(small.exponential(), small.exp(), 52));
        }
        assert!(worst < 1.6, "{worst}");
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
