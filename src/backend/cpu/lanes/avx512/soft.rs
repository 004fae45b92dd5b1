//! Posteriors of all prototypes and the slopes of a loss that depends on them, a tile of rows at a time.
//!
//! `exp(-D_j/(2 sigma^2))` over its largest is `exp((min k - k_j)/sigma^2)` with `k_j = |w_j|^2/2 - x.w_j`: the row's own norm cancels.

use super::products::Products;
use super::sums::GROUP;
use super::tiles::{TILE, Tile, Tiles, registers_of, values_of};
use super::{ROWS, Room, exp2, transposed};
use crate::backend::cpu::lanes::{Labelled, Slopes, SoftSums};
use crate::parts::objective::Shares;
use std::arch::x86_64::*;

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
        room: &mut Room,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: Slopes<'_, f32>,
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.posteriors_of_tiles(rows, room, loss, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn posteriors_of_tiles(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        Slopes { factors, losses, g }: Slopes<'_, f32>,
    ) {
        let p = self.packed.p;
        let Room { turned, slopes, .. } = room;
        let mut tiles = Tiles::new(rows, self.packed.d, turned);
        slopes.resize(self.packed.labels.len(), [_mm512_setzero_ps(); 2]);
        for g in g.chunks_mut(TILE * p) {
            let Some(tile) = tiles.next() else { return };
            self.products(tiles.turned, tile.ahead, slopes);
            let sides = self.sides(&tile, &loss, factors, losses, slopes);
            self.weigh(&tile, sides, slopes);
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

    /// Likelihoods over the largest of their row, in place of the keys `|w|^2/2 - x.w`; the losses, and what makes slopes of the likelihoods of right and
    /// of wrong prototypes.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn sides(
        &self,
        tile: &Tile,
        loss: &Loss<impl Fn(f32, f32) -> Shares<f32>>,
        factors: &[f32],
        losses: &mut [f32],
        keys: &mut [[__m512; 2]],
    ) -> [[__m512; 2]; 2] {
        let keys = &mut keys[..self.packed.p];
        let [right, wrong] = self.likelihoods(tile.classes, loss.sigma, keys);
        let (mut right, mut wrong) = (values_of(right), values_of(wrong));
        let weights = values_of(tile.load(factors));
        let mut all = [0.0; TILE];
        for l in 0..TILE {
            let unit = 1.0 / (right[l] + wrong[l]);
            let shares = (loss.shares)(right[l] * unit, wrong[l] * unit);
            all[l] = shares.loss;
            let weight = weights[l] * unit;
            (right[l], wrong[l]) = (shares.right * weight, shares.wrong * weight);
        }
        tile.store(registers_of(&all), losses);
        [registers_of(&right), registers_of(&wrong)]
    }

    /// `dL/dD` in place of likelihoods.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn weigh(&self, tile: &Tile, [right, wrong]: [[__m512; 2]; 2], slopes: &mut [[__m512; 2]]) {
        for (slope, label) in slopes[..self.packed.p].iter_mut().zip(&self.packed.labels) {
            let label = _mm512_set1_epi32(*label);
            for half in 0..2 {
                let hit = _mm512_cmpeq_epi32_mask(tile.classes[half], label);
                let share = _mm512_mask_blend_ps(hit, wrong[half], right[half]);
                slope[half] = _mm512_mul_ps(slope[half], share);
            }
        }
    }

    /// Likelihoods over the largest of their row, in place of the keys; their sums over right and over wrong prototypes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn likelihoods(
        &self,
        classes: [__m512i; 2],
        sigma: f32,
        keys: &mut [[__m512; 2]],
    ) -> [[__m512; 2]; 2] {
        // (In powers of two.)
        let scale = _mm512_set1_ps(std::f32::consts::LOG2_E / (sigma * sigma));
        let mut least = [_mm512_set1_ps(f32::INFINITY); 2];
        for key in &*keys {
            for half in 0..2 {
                least[half] = _mm512_min_ps(least[half], key[half]);
            }
        }
        let [mut right, mut wrong] = [[_mm512_setzero_ps(); 2]; 2];
        for (key, label) in keys.iter_mut().zip(&self.packed.labels) {
            let label = _mm512_set1_epi32(*label);
            for half in 0..2 {
                let e = exp2(_mm512_mul_ps(_mm512_sub_ps(least[half], key[half]), scale));
                let hit = _mm512_cmpeq_epi32_mask(classes[half], label);
                right[half] = _mm512_mask_add_ps(right[half], hit, right[half], e);
                wrong[half] = _mm512_mask_add_ps(wrong[half], !hit, wrong[half], e);
                key[half] = e;
            }
        }
        [right, wrong]
    }

    /// Losses, and the sums over short rows as they stand in memory.
    pub fn soft_step(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: SoftSums<'_, f32>,
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.soft_step_of_tiles(rows, room, loss, out) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn soft_step_of_tiles(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        SoftSums { factors, losses, sums }: SoftSums<'_, f32>,
    ) {
        let whole = self.whole.as_ref().expect("short prototypes");
        let Room { turned, slopes, keys, h } = room;
        let mut tiles = Tiles::new(rows, self.packed.d, turned);
        for keys in [&mut *slopes, &mut *keys] {
            keys.resize(self.packed.labels.len().next_multiple_of(GROUP), [_mm512_setzero_ps(); 2]);
        }
        h.clear();
        h.resize(whole.len(), _mm512_setzero_ps());
        let mut next = tiles.next();
        if let Some(tile) = &next {
            self.products(tiles.turned, tile.ahead, keys);
        }
        while let Some(tile) = next {
            std::mem::swap(slopes, keys);
            let sides = self.sides(&tile, &loss, factors, losses, slopes);
            // What comes next need not wait for quotients and logarithms.
            next = tiles.next();
            if let Some(tile) = &next {
                self.products(tiles.turned, tile.ahead, keys);
            }
            if sums.is_some() {
                self.weigh(&tile, sides, slopes);
                whole.add(rows, tile.range, slopes, h);
            }
        }
        if let Some(sums) = sums {
            whole.finish(h, sums);
        }
    }
}
