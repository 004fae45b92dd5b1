//! Squared distances of rows to their two winners, by differences.

use super::ROWS;
use crate::parts::metric::Squares;
use std::arch::x86_64::*;

/// Rows at a time: sixteen pairs.
const AT_ONCE: usize = ROWS / 2;

/// `sum_a lam_a (x_ia - w_ja)^2` of each row and its winners, both one after the other.
///
/// Panics if a winner is not a prototype. The instructions must be there.
#[target_feature(enable = "avx512f")]
pub fn squares(
    x: &[f32],
    Squares { w, lam, .. }: Squares<'_, f32>,
    d: usize,
    winners: &[[u32; 2]],
    out: &mut [f32],
) {
    let greatest = winners.as_flattened().iter().fold(0, |g: u32, j| g.max(*j));
    assert!((greatest as usize + 1) * d <= w.len() && x.len() == winners.len() * d);
    assert!(lam.is_none_or(|lam| lam.len() == d) && out.len() == 2 * winners.len());
    let rows = x.chunks(AT_ONCE * d).zip(winners.chunks(AT_ONCE));
    for ((x, winners), out) in rows.zip(out.chunks_mut(ROWS)) {
        // SAFETY: every winner is a prototype, and there are as many rows as winners.
        let sums = unsafe {
            match lam {
                None => of_rows::<false>(x, w, &[], d, winners),
                Some(lam) => of_rows::<true>(x, w, lam, d, winners),
            }
        };
        let mask = u16::MAX >> (ROWS - out.len());
        // SAFETY: as many values as the mask has ones.
        unsafe { _mm512_mask_storeu_ps(out.as_mut_ptr(), mask, sums) };
    }
}

/// Of at most [`AT_ONCE`] rows; nothing of use for rows beside the last.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn of_rows<const WEIGHTED: bool>(
    x: &[f32],
    w: &[f32],
    lam: &[f32],
    d: usize,
    winners: &[[u32; 2]],
) -> __m512 {
    let mut sums = [_mm512_setzero_ps(); ROWS];
    let rest = u16::MAX >> (ROWS - (d - 1) % ROWS - 1);
    for i in 0..AT_ONCE {
        let row = i.min(winners.len() - 1);
        let [own, other] = winners[row].map(|j| j as usize * d);
        let [mut plus, mut minus] = [_mm512_setzero_ps(); 2];
        let mut a = 0;
        while a < d {
            let mask = if a + ROWS <= d { u16::MAX } else { rest };
            // SAFETY: each has as many values from there on as the mask has ones.
            let [x, own, other] = unsafe {
                [
                    _mm512_maskz_loadu_ps(mask, x.as_ptr().add(row * d + a)),
                    _mm512_maskz_loadu_ps(mask, w.as_ptr().add(own + a)),
                    _mm512_maskz_loadu_ps(mask, w.as_ptr().add(other + a)),
                ]
            };
            let [mut own, mut other] = [_mm512_sub_ps(x, own), _mm512_sub_ps(x, other)];
            let [e_own, e_other] = [own, other];
            if WEIGHTED {
                // SAFETY: as above.
                let lam = unsafe { _mm512_maskz_loadu_ps(mask, lam.as_ptr().add(a)) };
                (own, other) = (_mm512_mul_ps(own, lam), _mm512_mul_ps(other, lam));
            }
            plus = _mm512_fmadd_ps(own, e_own, plus);
            minus = _mm512_fmadd_ps(other, e_other, minus);
            a += ROWS;
        }
        (sums[2 * i], sums[2 * i + 1]) = (plus, minus);
    }
    totals(sums)
}

/// The sum of the values of register i in lane i.
#[inline]
#[target_feature(enable = "avx512f")]
fn totals(r: [__m512; ROWS]) -> __m512 {
    // Each quarter of fours[k] has the quarter's sums of four registers.
    let mut fours = [_mm512_setzero_ps(); 4];
    for k in 0..4 {
        let mut twos = [_mm512_setzero_pd(); 2];
        for i in 0..2 {
            let (a, b) = (r[4 * k + 2 * i], r[4 * k + 2 * i + 1]);
            let sums = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            twos[i] = _mm512_castps_pd(sums);
        }
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(twos[0], twos[1]));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(twos[0], twos[1]));
        fours[k] = _mm512_add_ps(low, high);
    }
    let mut eights = [_mm512_setzero_ps(); 2];
    for k in 0..2 {
        let (a, b) = (fours[2 * k], fours[2 * k + 1]);
        let (upper, lower) =
            (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
        eights[k] = _mm512_add_ps(upper, lower);
    }
    let [a, b] = eights;
    _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
}
