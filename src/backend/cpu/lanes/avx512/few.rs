//! Few short prototypes, by differences: the search for winner pairs, and a whole step of them that reads a row once from memory.

use super::Room;
use super::nearest::{Found, Nearest};
use super::packed::{Packed, Twice};
use super::sums::Pulls;
use super::tiles::{Ahead, TILE, Tile, Tiles, registers_of, values_of};
use crate::backend::cpu::lanes::{Judged, Labelled};
use crate::parts::metric::Squares;
use crate::parts::objective::{EPS, PairObjective};
use std::arch::x86_64::*;

/// Prototypes of a group at most: their distances are half of the registers.
const GROUP: usize = 8;

/// Few short prototypes, laid out for both.
pub struct Few {
    packed: Packed<Twice>,
    lam: Vec<f32>,
    pulls: Pulls,
}

impl Few {
    /// Lays out prototypes of the classes `labels`, if this machine has the instructions.
    pub fn new(Squares { w, lam, .. }: Squares<'_, f32>, labels: &[u32]) -> Option<Few> {
        if !super::there() {
            return None;
        }
        let d = w.len() / labels.len();
        // SAFETY: the instructions are there.
        let pulls = unsafe { Pulls::new(w, d) };
        Some(Few {
            pulls,
            packed: Packed::new(w, labels, GROUP, |w| [w; 2]),
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
        let mut found = Found::default();
        for (winners, least) in winners.chunks_mut(TILE).zip(least.chunks_mut(2 * TILE)) {
            let Some(tile) = tiles.next() else { return };
            self.find(tiles.turned, &tile, &mut found);
            for (i, (winners, least)) in winners.iter_mut().zip(least.chunks_mut(2)).enumerate() {
                *winners = [0, 1].map(|side| found.winners[side][i]);
                least.copy_from_slice(&[0, 1].map(|side| found.least[side][i]));
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn find(&self, turned: &[[__m512; 2]], tile: &Tile, found: &mut Found) {
        match (self.packed.size, self.lam.is_empty()) {
            (2, true) => self.find_of::<2, false>(turned, tile, found),
            (4, true) => self.find_of::<4, false>(turned, tile, found),
            (6, true) => self.find_of::<6, false>(turned, tile, found),
            (_, true) => self.find_of::<GROUP, false>(turned, tile, found),
            (2, false) => self.find_of::<2, true>(turned, tile, found),
            (4, false) => self.find_of::<4, true>(turned, tile, found),
            (6, false) => self.find_of::<6, true>(turned, tile, found),
            (_, false) => self.find_of::<GROUP, true>(turned, tile, found),
        }
    }

    #[target_feature(enable = "avx512f")]
    fn find_of<const N: usize, const WEIGHTED: bool>(
        &self,
        turned: &[[__m512; 2]],
        tile: &Tile,
        found: &mut Found,
    ) {
        let mut nearest = Nearest::new(tile.classes);
        for (g, (w, starts, labels)) in self.packed.groups::<N>().enumerate() {
            let sums = if g == 0 {
                distances::<N, WEIGHTED, true>(turned, tile.ahead, w, starts, &self.lam)
            } else {
                distances::<N, WEIGHTED, false>(turned, tile.ahead, w, starts, &self.lam)
            };
            for n in 0..N {
                nearest.see(sums[n], labels[n], g * N + n);
            }
        }
        nearest.settle();
        nearest.leave(tile.masks, found);
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
        let Room { turned, h, .. } = room;
        let mut tiles = Tiles::new(rows, self.packed.d, turned);
        h.clear();
        h.resize(self.pulls.len(), _mm512_setzero_ps());
        let mut found = Found::default();
        let mut next = tiles.next();
        while let Some(tile) = next {
            self.find_of::<N, false>(tiles.turned, &tile, &mut found);
            if found.is_short {
                found.fill(&rows.of[tile.range.clone()], any, self.packed.p);
            }
            let [mut plus, mut minus] = found.least;
            let (mut eps, mut loss) = ([EPS as f32; TILE], [0.0; TILE]);
            objective.pairs(&mut plus, &mut minus, &mut eps, &mut loss);
            tile.store(registers_of(&loss), losses);
            // What comes next need not wait for quotients.
            next = tiles.next();
            if sums.is_none() {
                continue;
            }
            let mut slopes = [registers_of(&plus), registers_of(&minus)];
            for (half, factors) in tile.load(factors).into_iter().enumerate() {
                // Rows that do not count are left out, whatever their slopes are.
                let counts = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(factors, _mm512_setzero_ps());
                let factors = _mm512_mul_ps(factors, _mm512_set1_ps(scale));
                for slopes in &mut slopes {
                    slopes[half] = _mm512_maskz_mul_ps(counts, slopes[half], factors);
                }
            }
            let slopes = [values_of(slopes[0]), values_of(slopes[1])];
            // SAFETY: winners that are found are prototypes, and `fill` has seen that the others are.
            unsafe { self.pulls.add(rows, tile.range, &found.winners, &slopes, h) };
        }
        if let Some(sums) = sums {
            self.pulls.finish(h, sums);
        }
    }
}

/// Distances of the prototypes of a group to the rows that `turned` holds. Beside them, memory may be asked for.
#[inline]
#[target_feature(enable = "avx512f")]
fn distances<const N: usize, const WEIGHTED: bool, const ASKS: bool>(
    turned: &[[__m512; 2]],
    ahead: Ahead,
    w: &[[Twice; N]],
    starts: &[f32; N],
    lam: &[f32],
) -> [[__m512; 2]; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for n in 0..N {
        sums[n] = [_mm512_set1_ps(starts[n]); 2];
    }
    for (a, (x, w)) in turned.iter().zip(w).enumerate() {
        if ASKS {
            ahead.ask(a);
        }
        for n in 0..N {
            for half in 0..2 {
                let e = _mm512_sub_ps(x[half], _mm512_set1_ps(w[n][half]));
                let first = if WEIGHTED { _mm512_mul_ps(_mm512_set1_ps(lam[a]), e) } else { e };
                sums[n][half] = _mm512_fmadd_ps(first, e, sums[n][half]);
            }
        }
    }
    sums
}
