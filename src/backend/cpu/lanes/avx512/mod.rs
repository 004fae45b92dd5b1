//! Rows side by side in AVX-512 registers, of single precision.

pub mod few;
pub mod products;

use std::arch::x86_64::*;

/// Rows of a register.
const ROWS: usize = super::ROWS;

/// [`ROWS`] rows, of which each feature becomes a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(x: &[f32], turned: &mut [__m512]) {
    let d = turned.len();
    for (c, columns) in turned.chunks_mut(ROWS).enumerate() {
        let mask = u16::MAX >> (ROWS - columns.len());
        let row = |l: usize| -> __m512 {
            let from = &x[l * d + c * ROWS..][..columns.len()];
            // SAFETY: as many values as the mask has ones.
            unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
        };
        // Pairs of rows, then fours, within each quarter of a register.
        let mut pairs = [_mm512_setzero_ps(); ROWS];
        for i in 0..ROWS / 2 {
            let (a, b) = (row(2 * i), row(2 * i + 1));
            pairs[2 * i] = _mm512_unpacklo_ps(a, b);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(a, b);
        }
        let mut fours = [_mm512_setzero_ps(); ROWS];
        for i in 0..ROWS / 4 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|k| _mm512_castps_pd(pairs[4 * i + k]));
            fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
            fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
            fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
            fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
        }
        // Quarter q of fours[4 i + k] is feature 4 q + k of rows 4 i .. 4 i + 4.
        for k in 0..4 {
            let even = _mm512_shuffle_f32x4::<0x88>(fours[k], fours[4 + k]);
            let odd = _mm512_shuffle_f32x4::<0xdd>(fours[k], fours[4 + k]);
            let even_rest = _mm512_shuffle_f32x4::<0x88>(fours[8 + k], fours[12 + k]);
            let odd_rest = _mm512_shuffle_f32x4::<0xdd>(fours[8 + k], fours[12 + k]);
            let features = [
                _mm512_shuffle_f32x4::<0x88>(even, even_rest),
                _mm512_shuffle_f32x4::<0x88>(odd, odd_rest),
                _mm512_shuffle_f32x4::<0xdd>(even, even_rest),
                _mm512_shuffle_f32x4::<0xdd>(odd, odd_rest),
            ];
            for (q, feature) in features.into_iter().enumerate() {
                if let Some(column) = columns.get_mut(4 * q + k) {
                    *column = feature;
                }
            }
        }
    }
}

/// Lane l of the one and lane l of the other side by side: 0, 16, 1, 17 and so on.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleaved([one, other]: [__m512i; 2]) -> [__m512i; 2] {
    let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    [first, second].map(|lanes| _mm512_permutex2var_epi32(one, lanes, other))
}
