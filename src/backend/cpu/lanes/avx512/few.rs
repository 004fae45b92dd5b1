//! Few short prototypes, by differences: the search for winner pairs, and a whole step of them that reads a row once from memory.

use super::nearest::Nearest;
use super::packed::Packed;
use super::sums::{self, Whole};
use super::tiles::{TILE, Tiles, registers_of, values_of};
use super::{ROWS, Room, interleaved};
use crate::backend::cpu::lanes::{Judged, Labelled};
use crate::parts::metric::Squares;
use crate::parts::objective::{EPS, PairObjective};
use std::arch::x86_64::*;

/// Prototypes of a group at most: their sums are half of the registers.
const GROUP: usize = 8;

/// Few short prototypes, laid out for both.
pub struct Few {
    packed: Packed,
    lam: Vec<f32>,
    whole: Whole,
}

impl Few {
    /// Lays out prototypes of the classes `labels`, if this machine has the instructions.
    pub fn new(Squares { w, lam, .. }: Squares<'_, f32>, labels: &[u32]) -> Option<Few> {
        if !super::there() {
            return None;
        }
        let d = w.len() / labels.len();
        // SAFETY: the instructions are there.
        let whole = unsafe { Whole::new(w, d) };
        Some(Few {
            whole,
            packed: Packed::new(w, labels, GROUP, 0.0, f32::INFINITY),
            lam: lam.unwrap_or_default().to_vec(),
        })
    }

    /// The nearest of its class and of all others for each row, the first on ties ([`NOBODY`] where no distance is below infinity), and their
    /// distances, both sides one after the other.
    pub fn search(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        winners: &mut [[u32; 2]],
        least: &mut [f32],
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.search_tiles(rows, room, winners, least) }
    }

    #[target_feature(enable = "avx512f")]
    fn search_tiles(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        winners: &mut [[u32; 2]],
        least: &mut [f32],
    ) {
        let mut tiles = Tiles::new(rows, self.packed.d, &mut room.turned);
        for (winners, least) in winners.chunks_mut(TILE).zip(least.chunks_mut(2 * TILE)) {
            let Some(tile) = tiles.next() else { return };
            let (mut found, mut distances) = ([[0; 2]; TILE], [0.0; 2 * TILE]);
            let nearest = self.nearest(tiles.turned, tile.classes);
            nearest.store(&mut found);
            for half in 0..2 {
                let [own, other] = &nearest.sides;
                let own = _mm512_castps_si512(own.least[half]);
                let pairs = interleaved([own, _mm512_castps_si512(other.least[half])]);
                for (quarter, pairs) in pairs.into_iter().enumerate() {
                    let to = &mut distances[(2 * half + quarter) * ROWS..][..ROWS];
                    // SAFETY: sixteen values.
                    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs) };
                }
            }
            winners.copy_from_slice(&found[..winners.len()]);
            least.copy_from_slice(&distances[..least.len()]);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn nearest(&self, turned: &[[__m512; 2]], classes: [__m512i; 2]) -> Nearest {
        match (self.packed.size, self.lam.is_empty()) {
            (2, true) => self.nearest_of::<2, false>(turned, classes),
            (4, true) => self.nearest_of::<4, false>(turned, classes),
            (6, true) => self.nearest_of::<6, false>(turned, classes),
            (_, true) => self.nearest_of::<GROUP, false>(turned, classes),
            (2, false) => self.nearest_of::<2, true>(turned, classes),
            (4, false) => self.nearest_of::<4, true>(turned, classes),
            (6, false) => self.nearest_of::<6, true>(turned, classes),
            (_, false) => self.nearest_of::<GROUP, true>(turned, classes),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn nearest_of<const N: usize, const WEIGHTED: bool>(
        &self,
        turned: &[[__m512; 2]],
        classes: [__m512i; 2],
    ) -> Nearest {
        let mut nearest = Nearest::new(classes);
        for (g, (w, starts, labels)) in self.packed.groups::<N>().enumerate() {
            let sums = distances::<N, WEIGHTED>(turned, w, starts, &self.lam);
            for n in 0..N {
                nearest.see(sums[n], labels[n], g * N + n);
            }
        }
        nearest.settle();
        nearest
    }

    /// Winners, what `objective` makes of their distances, and the sums of differences, from rows as they stand in memory. For prototypes without
    /// relevances.
    pub fn step<O: PairObjective<f32>>(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        assert!(self.lam.is_empty(), "nothing is summed for relevances");
        // SAFETY: `new` has seen that the instructions are there.
        unsafe {
            match self.packed.size {
                2 => self.step_of::<2, O>(rows, room, objective, out),
                4 => self.step_of::<4, O>(rows, room, objective, out),
                6 => self.step_of::<6, O>(rows, room, objective, out),
                _ => self.step_of::<GROUP, O>(rows, room, objective, out),
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn step_of<const N: usize, O: PairObjective<f32>>(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        let Judged { factors, scale, losses, any, sums } = out;
        let p = self.packed.p;
        let Room { turned, slopes, h, .. } = room;
        let mut tiles = Tiles::new(rows, self.packed.d, turned);
        h.clear();
        h.resize(self.whole.len(), _mm512_setzero_ps());
        slopes.resize(p.next_multiple_of(sums::GROUP), [_mm512_setzero_ps(); 2]);
        let mut next = tiles.next();
        while let Some(tile) = next {
            let mut nearest = self.nearest_of::<N, false>(tiles.turned, tile.classes);
            if nearest.is_missing(tile.masks) {
                nearest.fill(tile.masks, any);
            }
            let [own, other] = nearest.sides;
            let (mut plus, mut minus) = (values_of(own.least), values_of(other.least));
            let (mut eps, mut loss) = ([EPS as f32; TILE], [0.0; TILE]);
            objective.pairs(&mut plus, &mut minus, &mut eps, &mut loss);
            tile.store(registers_of(&loss), losses);
            // What comes next need not wait for quotients.
            next = tiles.next();
            if sums.is_none() {
                continue;
            }
            let [plus, minus] = [registers_of(&plus), registers_of(&minus)];
            for (half, factors) in tile.load(factors).into_iter().enumerate() {
                // Rows that do not count are left out, whatever their slopes are.
                let counts = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(factors, _mm512_setzero_ps());
                let factors = _mm512_mul_ps(factors, _mm512_set1_ps(scale));
                let plus = _mm512_maskz_mul_ps(counts, plus[half], factors);
                let minus = _mm512_maskz_mul_ps(counts, minus[half], factors);
                // The slopes of all prototypes, 0 but for the winners'.
                for (j, slopes) in slopes[..p].iter_mut().enumerate() {
                    let j = _mm512_set1_epi32(j as i32);
                    let own = _mm512_cmpeq_epi32_mask(own.at[half], j);
                    let other = _mm512_cmpeq_epi32_mask(other.at[half], j);
                    let slope = _mm512_maskz_mov_ps(own, plus);
                    slopes[half] = _mm512_mask_mov_ps(slope, other, minus);
                }
            }
            self.whole.add(rows, tile.range, slopes, h);
        }
        if let Some(sums) = sums {
            self.whole.finish(h, sums);
        }
    }
}

/// Distances of the prototypes of a group to the rows that `turned` holds.
#[inline]
#[target_feature(enable = "avx512f")]
fn distances<const N: usize, const WEIGHTED: bool>(
    turned: &[[__m512; 2]],
    w: &[[f32; N]],
    starts: &[f32; N],
    lam: &[f32],
) -> [[__m512; 2]; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for n in 0..N {
        sums[n] = [_mm512_set1_ps(starts[n]); 2];
    }
    for (a, (x, w)) in turned.iter().zip(w).enumerate() {
        for n in 0..N {
            let w = _mm512_set1_ps(w[n]);
            for half in 0..2 {
                let e = _mm512_sub_ps(x[half], w);
                let first = if WEIGHTED { _mm512_mul_ps(_mm512_set1_ps(lam[a]), e) } else { e };
                sums[n][half] = _mm512_fmadd_ps(first, e, sums[n][half]);
            }
        }
    }
    sums
}
