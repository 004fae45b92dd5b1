//! Posteriors of all prototypes and the slopes of a loss that depends on them, a tile of rows at a time.
//!
//! `exp(-D_j/(2 sigma^2))` over its largest is `exp((k_j - max k)/sigma^2)` with `k_j = x.w_j - |w_j|^2/2`: the row's own norm cancels.

use super::products::{Packed, TILE, Tiles, half_of};
use super::{ROWS, exp, transposed};
use crate::backend::cpu::lanes::{Labelled, Slopes};
use crate::parts::objective::Shares;
use std::arch::x86_64::*;

impl Packed {
    /// Fills `out` for a loss whose shares are `shares(c, q)`, by the posteriors of right and of wrong prototypes.
    pub fn posteriors(
        &self,
        rows: &Labelled<'_, f32>,
        sigma: f32,
        shares: impl Fn(f32, f32) -> Shares<f32>,
        out: Slopes<'_, f32>,
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.posteriors_of_tiles(rows, sigma, shares, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn posteriors_of_tiles(
        &self,
        rows: &Labelled<'_, f32>,
        sigma: f32,
        shares: impl Fn(f32, f32) -> Shares<f32>,
        Slopes { factors, losses, g }: Slopes<'_, f32>,
    ) {
        let p = self.p;
        let mut tiles = Tiles::new(rows, self.d);
        let mut keys = vec![[_mm512_setzero_ps(); 2]; self.labels.len()];
        let all = factors.chunks(TILE).zip(losses.chunks_mut(TILE)).zip(g.chunks_mut(TILE * p));
        for ((factors, losses), g) in all {
            let classes = tiles.next();
            self.products(&tiles, &mut keys);
            let mut weights = [0.0; TILE];
            weights[..factors.len()].copy_from_slice(factors);
            let [mut right, mut wrong] = self.likelihoods(&classes, sigma, &mut keys);
            let mut loss = [0.0; TILE];
            for l in 0..TILE {
                let sum = right[l] + wrong[l];
                let shares = shares(right[l] / sum, wrong[l] / sum);
                loss[l] = shares.loss;
                right[l] = shares.right * weights[l] / sum;
                wrong[l] = shares.wrong * weights[l] / sum;
            }
            losses.copy_from_slice(&loss[..losses.len()]);
            self.slopes(&classes, [&right, &wrong], &keys, g);
        }
    }

    /// Likelihoods over the largest of their row, in place of the keys; their sums over right and over wrong prototypes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn likelihoods(
        &self,
        classes: &[u32; TILE],
        sigma: f32,
        keys: &mut [[__m512; 2]],
    ) -> [[f32; TILE]; 2] {
        let scale = _mm512_set1_ps(1.0 / (sigma * sigma));
        let mut sums = [[0.0; TILE]; 2];
        let keys = &mut keys[..self.p];
        for half in 0..2 {
            let classes = half_of(classes, half);
            let mut most = _mm512_set1_ps(f32::NEG_INFINITY);
            for key in &*keys {
                most = _mm512_max_ps(most, key[half]);
            }
            let mut of_side = [_mm512_setzero_ps(); 2];
            for (key, label) in keys.iter_mut().zip(&self.labels) {
                let e = exp(_mm512_mul_ps(_mm512_sub_ps(key[half], most), scale));
                let right = _mm512_cmpeq_epi32_mask(classes, _mm512_set1_epi32(*label));
                of_side[0] = _mm512_mask_add_ps(of_side[0], right, of_side[0], e);
                of_side[1] = _mm512_mask_add_ps(of_side[1], !right, of_side[1], e);
                key[half] = e;
            }
            for (sums, side) in sums.iter_mut().zip(of_side) {
                // SAFETY: sixteen values of the thirty-two.
                unsafe { _mm512_storeu_ps(sums[half * ROWS..].as_mut_ptr(), side) };
            }
        }
        sums
    }

    /// Every likelihood times what its row has for its side, into `g` (rows of `p`).
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn slopes(
        &self,
        classes: &[u32; TILE],
        sides: [&[f32; TILE]; 2],
        likelihoods: &[[__m512; 2]],
        g: &mut [f32],
    ) {
        let p = self.p;
        for (half, g) in g.chunks_mut(ROWS * p).enumerate() {
            let classes = half_of(classes, half);
            let [right, wrong] = sides.map(|side| {
                // SAFETY: sixteen values of the thirty-two.
                unsafe { _mm512_loadu_ps(side[half * ROWS..].as_ptr()) }
            });
            for (c, all) in likelihoods[..p].chunks(ROWS).enumerate() {
                let mut columns = [_mm512_setzero_ps(); ROWS];
                let labels = &self.labels[c * ROWS..];
                for ((column, e), label) in columns.iter_mut().zip(all).zip(labels) {
                    let hit = _mm512_cmpeq_epi32_mask(classes, _mm512_set1_epi32(*label));
                    *column = _mm512_mul_ps(e[half], _mm512_mask_blend_ps(hit, wrong, right));
                }
                let mask = u16::MAX >> (ROWS - all.len());
                for (g, row) in g.chunks_exact_mut(p).zip(transposed(columns)) {
                    let to = &mut g[c * ROWS..][..all.len()];
                    // SAFETY: as many values as the mask has ones.
                    unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), mask, row) };
                }
            }
        }
    }
}
