//! Posteriors of all prototypes and the slopes of a loss that depends on them, a tile of rows at a time.
//!
//! `exp(-D_j/(2 sigma^2))` over its largest is `exp((min k - k_j)/sigma^2)` with `k_j = |w_j|^2/2 - x.w_j`: the row's own norm cancels.

use super::products::Products;
use super::tiles::{TILE, Tiles, half_of, shift};
use super::{ROWS, exp2, transposed};
use crate::backend::cpu::lanes::{Labelled, Slopes, SoftSums};
use crate::parts::objective::Shares;
use std::arch::x86_64::*;
use std::ops::Range;

/// Prototypes whose sums over rows stay in registers at a time.
const AT_ONCE: usize = 8;

/// A loss by the posteriors of right and of wrong prototypes.
#[derive(Clone, Copy)]
pub struct Loss<F> {
    pub sigma: f32,
    pub shares: F,
}

impl Products {
    /// Fills `out`.
    pub fn posteriors(
        &self,
        rows: &Labelled<'_, f32>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: Slopes<'_, f32>,
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.posteriors_of_tiles(rows, loss, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn posteriors_of_tiles(
        &self,
        rows: &Labelled<'_, f32>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        Slopes { factors, losses, g }: Slopes<'_, f32>,
    ) {
        let p = self.packed.p;
        let mut tiles = Tiles::new(rows, self.packed.d);
        let mut slopes = vec![[_mm512_setzero_ps(); 2]; self.packed.labels.len()];
        let all = factors.chunks(TILE).zip(losses.chunks_mut(TILE)).zip(g.chunks_mut(TILE * p));
        for ((factors, losses), g) in all {
            self.slopes(&mut tiles, &loss, factors, losses, &mut slopes);
            for (half, g) in g.chunks_mut(ROWS * p).enumerate() {
                for (c, all) in slopes[..p].chunks(ROWS).enumerate() {
                    let mut columns = [_mm512_setzero_ps(); ROWS];
                    for (column, slope) in columns.iter_mut().zip(all) {
                        *column = slope[half];
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

    /// `dL/dD` of the next rows for all prototypes, times the rows' factors, and their losses.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn slopes(
        &self,
        tiles: &mut Tiles<'_>,
        loss: &Loss<impl Fn(f32, f32) -> Shares<f32>>,
        factors: &[f32],
        losses: &mut [f32],
        slopes: &mut [[__m512; 2]],
    ) {
        let classes = tiles.next();
        self.products(tiles, slopes);
        let slopes = &mut slopes[..self.packed.p];
        let [mut right, mut wrong] = self.likelihoods(&classes, loss.sigma, slopes);
        let (mut weights, mut all) = ([0.0; TILE], [0.0; TILE]);
        weights[..factors.len()].copy_from_slice(factors);
        for l in 0..TILE {
            let unit = 1.0 / (right[l] + wrong[l]);
            let shares = (loss.shares)(right[l] * unit, wrong[l] * unit);
            all[l] = shares.loss;
            right[l] = shares.right * weights[l] * unit;
            wrong[l] = shares.wrong * weights[l] * unit;
        }
        losses.copy_from_slice(&all[..losses.len()]);
        let halves = [0, 1].map(|half| {
            // SAFETY: sixteen values of the thirty-two.
            let [right, wrong] = [&right, &wrong]
                .map(|side| unsafe { _mm512_loadu_ps(side[half * ROWS..].as_ptr()) });
            (half_of(&classes, half), right, wrong)
        });
        for (slope, label) in slopes.iter_mut().zip(&self.packed.labels) {
            let label = _mm512_set1_epi32(*label);
            for (slope, (classes, right, wrong)) in slope.iter_mut().zip(halves) {
                let hit = _mm512_cmpeq_epi32_mask(classes, label);
                *slope = _mm512_mul_ps(*slope, _mm512_mask_blend_ps(hit, wrong, right));
            }
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
        // (In powers of two.)
        let scale = _mm512_set1_ps(std::f32::consts::LOG2_E / (sigma * sigma));
        let classes = [half_of(classes, 0), half_of(classes, 1)];
        let mut least = [_mm512_set1_ps(f32::INFINITY); 2];
        for key in &*keys {
            for half in 0..2 {
                least[half] = _mm512_min_ps(least[half], key[half]);
            }
        }
        let mut of_side = [[_mm512_setzero_ps(); 2]; 2];
        for (key, label) in keys.iter_mut().zip(&self.packed.labels) {
            let label = _mm512_set1_epi32(*label);
            for half in 0..2 {
                let [right, wrong] = &mut of_side[half];
                let e = exp2(_mm512_mul_ps(_mm512_sub_ps(least[half], key[half]), scale));
                let hit = _mm512_cmpeq_epi32_mask(classes[half], label);
                *right = _mm512_mask_add_ps(*right, hit, *right, e);
                *wrong = _mm512_mask_add_ps(*wrong, !hit, *wrong, e);
                key[half] = e;
            }
        }
        let mut sums = [[0.0; TILE]; 2];
        for (half, sides) in of_side.into_iter().enumerate() {
            for (sums, side) in sums.iter_mut().zip(sides) {
                // SAFETY: sixteen values of the thirty-two.
                unsafe { _mm512_storeu_ps(sums[half * ROWS..].as_mut_ptr(), side) };
            }
        }
        sums
    }

    /// Losses, and the sums over rows of short rows as they stand in memory.
    pub fn soft_step(
        &self,
        rows: &Labelled<'_, f32>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: SoftSums<'_, f32>,
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe {
            match self.packed.d.div_ceil(ROWS) {
                1 => self.soft_step_of::<1>(rows, loss, out),
                2 => self.soft_step_of::<2>(rows, loss, out),
                registers => unreachable!("rows of {registers} registers"),
            }
        }
    }

    /// [`Products::soft_step`] for rows of `C` registers.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn soft_step_of<const C: usize>(
        &self,
        rows: &Labelled<'_, f32>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        SoftSums { factors, losses, sums }: SoftSums<'_, f32>,
    ) {
        let (d, p) = (self.packed.d, self.packed.p);
        let whole = self.packed.labels.len().next_multiple_of(AT_ONCE);
        let mut tiles = Tiles::new(rows, d);
        let mut slopes = vec![[_mm512_setzero_ps(); 2]; whole];
        let mut h = vec![[_mm512_setzero_ps(); C]; whole];
        let mut totals = vec![_mm512_setzero_ps(); p];
        let all = factors.chunks(TILE).zip(losses.chunks_mut(TILE));
        for (t, (factors, losses)) in all.enumerate() {
            self.slopes(&mut tiles, &loss, factors, losses, &mut slopes);
            if sums.is_none() {
                continue;
            }
            for (total, slopes) in totals.iter_mut().zip(&slopes) {
                *total = _mm512_add_ps(*total, _mm512_add_ps(slopes[0], slopes[1]));
            }
            let range = t * TILE..t * TILE + factors.len();
            self.add_products(rows, range, &slopes, &mut h);
        }
        let Some((sums, gs)) = sums else { return };
        for (h, sums) in h.iter().zip(sums.chunks_exact_mut(d)) {
            for (h, sums) in h.iter().zip(sums.chunks_mut(ROWS)) {
                let mask = u16::MAX >> (ROWS - sums.len());
                // SAFETY: as many values as the mask has ones.
                unsafe {
                    let before = _mm512_maskz_loadu_ps(mask, sums.as_ptr());
                    _mm512_mask_storeu_ps(sums.as_mut_ptr(), mask, _mm512_add_ps(before, *h));
                }
            }
        }
        for (g, total) in gs.iter_mut().zip(totals) {
            *g += _mm512_reduce_add_ps(total);
        }
    }

    /// `H_j += G_ij x_i` for the rows `range`, a tile at most.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn add_products<const C: usize>(
        &self,
        rows: &Labelled<'_, f32>,
        range: Range<usize>,
        slopes: &[[__m512; 2]],
        h: &mut [[__m512; C]],
    ) {
        let d = self.packed.d;
        let masks: [u16; C] = std::array::from_fn(|c| u16::MAX >> (ROWS - (d - c * ROWS).min(ROWS)));
        let mut centre = [_mm512_setzero_ps(); C];
        for c in 0..C {
            centre[c] = shift(rows.centre, c, masks[c]);
        }
        let x = &rows.x[range.start * d..range.end * d];
        let groups = slopes.as_chunks::<AT_ONCE>().0.iter().zip(h.as_chunks_mut::<AT_ONCE>().0);
        for (slopes, h) in groups {
            let mut sums = *h;
            // SAFETY: two registers of a prototype are its thirty-two values.
            let slopes: &[[f32; TILE]; AT_ONCE] = unsafe { &*slopes.as_ptr().cast() };
            for (i, x) in x.chunks_exact(d).enumerate() {
                let mut centred = [_mm512_setzero_ps(); C];
                for c in 0..C {
                    // SAFETY: the row's values from there on are as many as the mask has ones.
                    let x = unsafe { _mm512_maskz_loadu_ps(masks[c], x.as_ptr().add(c * ROWS)) };
                    centred[c] = _mm512_sub_ps(x, centre[c]);
                }
                for (sum, slopes) in sums.iter_mut().zip(slopes) {
                    let g = _mm512_set1_ps(slopes[i]);
                    for c in 0..C {
                        sum[c] = _mm512_fmadd_ps(g, centred[c], sum[c]);
                    }
                }
            }
            *h = sums;
        }
    }
}
