//! The search of few short prototypes, by differences.

use super::{ROWS, interleaved, turn};
use crate::backend::cpu::lanes::{FEATURES, Labelled};
use crate::backend::cpu::prefetch::prefetch;
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::Squares;
use std::arch::x86_64::*;

/// Prototypes whose sums are formed at a time.
const AT_ONCE: usize = 4;

/// What [`super::winner_pairs`] does, if this machine has the instructions; else false.
pub fn search(
    rows: &Labelled<'_, f32>,
    Squares { w, lam, .. }: Squares<'_, f32>,
    winners: &mut [[u32; 2]],
    least: &mut [f32],
) -> bool {
    let there = super::there();
    if there {
        // SAFETY: the instructions are there.
        unsafe {
            match lam {
                None => tiles::<false>(rows, w, &[], winners, least),
                Some(lam) => tiles::<true>(rows, w, lam, winners, least),
            }
        }
    }
    there
}

#[target_feature(enable = "avx512f")]
fn tiles<const WEIGHTED: bool>(
    rows: &Labelled<'_, f32>,
    w: &[f32],
    lam: &[f32],
    winners: &mut [[u32; 2]],
    least: &mut [f32],
) {
    let d = w.len() / rows.labels.len();
    let mut room = [_mm512_setzero_ps(); FEATURES];
    let turned = &mut room[..d];
    let mut padded = [0.0; ROWS * FEATURES];
    let all = rows.x.chunks(ROWS * d).zip(rows.of.chunks(ROWS));
    let mut ahead = rows.ahead.chunks(ROWS * d);
    let results = winners.chunks_mut(ROWS).zip(least.chunks_mut(2 * ROWS));
    for ((x, of), (winners, least)) in all.zip(results) {
        // The memory has nothing to do meanwhile.
        ahead.next().into_iter().for_each(prefetch);
        if let (Ok(of), Ok(winners), Ok(least)) =
            (of.try_into(), (&mut *winners).try_into(), (&mut *least).try_into())
        {
            turn(x, turned);
            tile::<WEIGHTED>(turned, of, rows.labels, w, lam, winners, least);
            continue;
        }
        // The last rows: what is beside them is not looked at.
        padded[..x.len()].copy_from_slice(x);
        let mut classes = [NOBODY; ROWS];
        classes[..of.len()].copy_from_slice(of);
        turn(&padded, turned);
        let (mut some, mut distances) = ([[0; 2]; ROWS], [0.0; 2 * ROWS]);
        tile::<WEIGHTED>(turned, &classes, rows.labels, w, lam, &mut some, &mut distances);
        winners.copy_from_slice(&some[..of.len()]);
        least.copy_from_slice(&distances[..2 * of.len()]);
    }
}

/// Distances of prototypes `j .. j + N` to the rows that `turned` holds.
#[inline]
#[target_feature(enable = "avx512f")]
fn distances<const WEIGHTED: bool, const N: usize>(
    turned: &[__m512],
    w: &[f32],
    j: usize,
    lam: &[f32],
) -> [__m512; N] {
    let d = turned.len();
    let w = &w[j * d..][..N * d];
    let mut sums = [_mm512_setzero_ps(); N];
    for (a, x) in turned.iter().enumerate() {
        for n in 0..N {
            let e = _mm512_sub_ps(*x, _mm512_set1_ps(w[n * d + a]));
            let first = if WEIGHTED { _mm512_mul_ps(_mm512_set1_ps(lam[a]), e) } else { e };
            sums[n] = _mm512_fmadd_ps(first, e, sums[n]);
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx512f")]
fn tile<const WEIGHTED: bool>(
    turned: &[__m512],
    of: &[u32; ROWS],
    labels: &[u32],
    w: &[f32],
    lam: &[f32],
    winners: &mut [[u32; 2]; ROWS],
    least: &mut [f32; 2 * ROWS],
) {
    // SAFETY: sixteen values.
    let classes = unsafe { _mm512_loadu_si512(of.as_ptr().cast()) };
    let mut nearest = [_mm512_set1_ps(f32::INFINITY); 2];
    let mut at = [_mm512_set1_epi32(NOBODY as i32); 2];
    let mut see = |sums: __m512, j: usize| {
        let label = _mm512_set1_epi32(labels[j] as i32);
        let own = _mm512_cmpeq_epi32_mask(classes, label);
        let number = _mm512_set1_epi32(j as i32);
        for (side, mask) in [own, !own].into_iter().enumerate() {
            let nearer = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(mask, sums, nearest[side]);
            nearest[side] = _mm512_mask_mov_ps(nearest[side], nearer, sums);
            at[side] = _mm512_mask_mov_epi32(at[side], nearer, number);
        }
    };
    let mut j = 0;
    while j + AT_ONCE <= labels.len() {
        let sums = distances::<WEIGHTED, AT_ONCE>(turned, w, j, lam);
        for (n, sums) in sums.into_iter().enumerate() {
            see(sums, j + n);
        }
        j += AT_ONCE;
    }
    while j < labels.len() {
        let [sums] = distances::<WEIGHTED, 1>(turned, w, j, lam);
        see(sums, j);
        j += 1;
    }
    let both = interleaved(at);
    let distances = interleaved(nearest.map(|d| _mm512_castps_si512(d)));
    for half in 0..2 {
        // SAFETY: each half takes sixteen values of the thirty-two.
        unsafe {
            _mm512_storeu_si512(winners[8 * half..].as_mut_ptr().cast(), both[half]);
            _mm512_storeu_si512(least[16 * half..].as_mut_ptr().cast(), distances[half]);
        }
    }
}
