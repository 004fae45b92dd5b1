//! Rows side by side in AVX-512 registers, of single precision.
#![expect(
    clippy::needless_range_loop,
    reason = "both registers of a tile by their number, in all that there are two of"
)]

mod exponential;
pub mod few;
mod nearest;
mod packed;
pub mod pairs;
pub mod products;
pub mod soft;
mod sums;
mod tiles;

use std::arch::x86_64::*;

/// Rows of a register.
const ROWS: usize = super::ROWS;

/// Working memory of one thread.
#[derive(Default)]
pub struct Room {
    /// Features of the rows of a tile.
    turned: Vec<[__m512; 2]>,
    /// Keys or slopes of all prototypes and those rows.
    slopes: Vec<[__m512; 2]>,
    /// The same of the next tile.
    keys: Vec<[__m512; 2]>,
    /// Sums of all prototypes.
    h: Vec<__m512>,
}

/// Whether this machine has the instructions: those that every processor with AVX-512 has but the first.
pub fn there() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

/// Value j of register i becomes value i of register j.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512; ROWS]) -> [__m512; ROWS] {
    // Pairs of rows, then fours, within each quarter of a register.
    let mut pairs = [_mm512_setzero_ps(); ROWS];
    for i in 0..ROWS / 2 {
        pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
    }
    let mut fours = [_mm512_setzero_ps(); ROWS];
    for i in 0..ROWS / 4 {
        let [a, b] = [_mm512_castps_pd(pairs[4 * i]), _mm512_castps_pd(pairs[4 * i + 1])];
        let [c, d] = [_mm512_castps_pd(pairs[4 * i + 2]), _mm512_castps_pd(pairs[4 * i + 3])];
        fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // Quarter q of fours[4 i + k] is value 4 q + k of rows 4 i .. 4 i + 4.
    let mut columns = [_mm512_setzero_ps(); ROWS];
    for k in 0..4 {
        let even = _mm512_shuffle_f32x4::<0x88>(fours[k], fours[4 + k]);
        let odd = _mm512_shuffle_f32x4::<0xdd>(fours[k], fours[4 + k]);
        let even_rest = _mm512_shuffle_f32x4::<0x88>(fours[8 + k], fours[12 + k]);
        let odd_rest = _mm512_shuffle_f32x4::<0xdd>(fours[8 + k], fours[12 + k]);
        columns[k] = _mm512_shuffle_f32x4::<0x88>(even, even_rest);
        columns[4 + k] = _mm512_shuffle_f32x4::<0x88>(odd, odd_rest);
        columns[8 + k] = _mm512_shuffle_f32x4::<0xdd>(even, even_rest);
        columns[12 + k] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_rest);
    }
    columns
}

/// `2^x` for `x <= 0`, within 2 units in the last place, but not below the least normal number; NaN of NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn exp2(x: __m512) -> __m512 {
    let (k, more) = power(x);
    _mm512_scalef_ps(_mm512_add_ps(more, _mm512_set1_ps(1.0)), k)
}

/// k, a whole number, and `2^(x - k) - 1` for `x <= 0`, with x at least -126.
#[inline]
#[target_feature(enable = "avx512f")]
fn power(x: __m512) -> (__m512, __m512) {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    // (The second operand is what the maximum is where one is not a number.)
    let x = _mm512_max_ps(_mm512_set1_ps(-126.0), x);
    let k = _mm512_roundscale_ps::<NEAREST>(x);
    let f = _mm512_sub_ps(x, k);
    // The polynomial of its degree whose largest relative error from 2^f for |f| <= 1/2 is least: 1.9e-9.
    let mut sum = _mm512_set1_ps(1.534_581_2e-4);
    for term in [1.339_993_1e-3, 9.618_489e-3, 5.550_328_6e-2, 2.402_264_6e-1, 6.931_472e-1f32] {
        sum = _mm512_fmadd_ps(sum, f, _mm512_set1_ps(term));
    }
    (k, _mm512_mul_ps(sum, f))
}

/// Lane l of the one and lane l of the other side by side: 0, 16, 1, 17 and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleaved([one, other]: [__m512i; 2]) -> [__m512i; 2] {
    let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    [_mm512_permutex2var_epi32(one, first, other), _mm512_permutex2var_epi32(one, second, other)]
}
