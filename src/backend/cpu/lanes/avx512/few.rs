//! Few short prototypes, by differences: the search for winner pairs, and a whole step of them that reads a row once from memory.

use super::nearest::{Found, Nearest};
use super::packed::{Packed, Twice};
use super::sums::{Pulled, Pulls};
use super::tiles::{TILE, Tile, Tiles, registers_of};
use super::{ROWS, Room};
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
            let (pairs, distances) = found.pairs();
            winners.copy_from_slice(&pairs[..winners.len()]);
            least.copy_from_slice(&distances.as_flattened()[..least.len()]);
        }
    }

    #[target_feature(enable = "avx512f")]
    fn find(&self, turned: &[[__m512; 2]], tile: &Tile, found: &mut Found) {
        let ask = |feature| tile.ahead.ask(feature);
        match (self.packed.size, self.lam.is_empty()) {
            (2, true) => self.find_of::<2, false>(turned, tile, found, ask),
            (4, true) => self.find_of::<4, false>(turned, tile, found, ask),
            (6, true) => self.find_of::<6, false>(turned, tile, found, ask),
            (_, true) => self.find_of::<GROUP, false>(turned, tile, found, ask),
            (2, false) => self.find_of::<2, true>(turned, tile, found, ask),
            (4, false) => self.find_of::<4, true>(turned, tile, found, ask),
            (6, false) => self.find_of::<6, true>(turned, tile, found, ask),
            (_, false) => self.find_of::<GROUP, true>(turned, tile, found, ask),
        }
    }

    /// What is done `between` the features is done once.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn find_of<const N: usize, const WEIGHTED: bool>(
        &self,
        turned: &[[__m512; 2]],
        tile: &Tile,
        found: &mut Found,
        mut between: impl FnMut(usize),
    ) {
        let mut nearest = Nearest::new(tile.classes);
        for (g, (w, starts, labels)) in self.packed.groups::<N>().enumerate() {
            let sums = if g == 0 {
                distances::<N, WEIGHTED>(turned, w, starts, &self.lam, &mut between)
            } else {
                distances::<N, WEIGHTED>(turned, w, starts, &self.lam, |_| ())
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
            match self.pulls.registers() {
                1 => self.step_of_rows::<1, O>(rows, room, objective, out),
                2 => self.step_of_rows::<2, O>(rows, room, objective, out),
                4 => self.step_of_rows::<4, O>(rows, room, objective, out),
                registers => unreachable!("rows of {registers} registers"),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn step_of_rows<const C: usize, O: PairObjective<f32>>(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        match self.packed.size {
            2 => self.step_of::<C, 2, O>(rows, room, objective, out),
            4 => self.step_of::<C, 4, O>(rows, room, objective, out),
            6 => self.step_of::<C, 6, O>(rows, room, objective, out),
            _ => self.step_of::<C, GROUP, O>(rows, room, objective, out),
        }
    }

    /// The search is held up by arithmetic, the sums by memory: a tile's sums are formed beside the search of the next.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn step_of<const C: usize, const N: usize, O: PairObjective<f32>>(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        let Judged { factors, scale, losses, any, sums } = out;
        let d = self.packed.d;
        let Room { turned, h, .. } = room;
        let mut tiles = Tiles::new(rows, d, turned);
        h.clear();
        h.resize(self.pulls.len(), _mm512_setzero_ps());
        let at = h.as_mut_ptr();
        let pull = self.pulls.of_rows::<C>(rows.centre);
        let (mut found, mut pulled) = (Found::default(), Pulled::default());
        // The rows whose sums are to be formed.
        let mut judged = 0..0;
        // So many of them a feature are all by the last.
        let some = TILE.div_ceil(d);
        while let Some(tile) = tiles.next() {
            let x = rows.x[judged.start * d..judged.end * d].as_ptr();
            let (mut i, n) = (0, judged.len());
            self.find_of::<N, false>(tiles.turned, &tile, &mut found, |feature| {
                tile.ahead.ask(feature);
                let end = (i + some).min(n);
                while i < end {
                    // SAFETY: winners that are found are prototypes, and `fill` has seen that the others are.
                    unsafe { pull.add(x.add(i * d), i, &pulled, at) };
                    i += 1;
                }
            });
            if found.is_short {
                found.fill(&rows.of[tile.range.clone()], any, self.packed.p);
            }
            let [mut plus, mut minus] = found.least;
            let (mut eps, mut loss) = ([EPS as f32; TILE], [0.0; TILE]);
            objective.pairs(&mut plus, &mut minus, &mut eps, &mut loss);
            tile.store(registers_of(&loss), losses);
            if sums.is_none() {
                continue;
            }
            let slopes = [registers_of(&plus), registers_of(&minus)];
            for (half, factors) in tile.load(factors).into_iter().enumerate() {
                // Rows that do not count are left out, whatever their slopes are.
                let counts = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(factors, _mm512_setzero_ps());
                let factors = _mm512_mul_ps(factors, _mm512_set1_ps(scale));
                for side in 0..2 {
                    let slopes = _mm512_maskz_mul_ps(counts, slopes[side][half], factors);
                    // SAFETY: sixteen values.
                    unsafe {
                        let to = pulled.slopes[side].as_mut_ptr().add(half * ROWS);
                        _mm512_storeu_ps(to, slopes);
                    }
                }
            }
            pulled.winners = found.winners;
            judged = tile.range;
        }
        if let Some(sums) = sums {
            let x = rows.x[judged.start * d..judged.end * d].as_ptr();
            for i in 0..judged.len() {
                // SAFETY: as above.
                unsafe { pull.add(x.add(i * d), i, &pulled, at) };
            }
            self.pulls.finish(h, sums);
        }
    }
}

/// Distances of the prototypes of a group to the rows that `turned` holds, and what is to be done between their features.
#[inline]
#[target_feature(enable = "avx512f")]
fn distances<const N: usize, const WEIGHTED: bool>(
    turned: &[[__m512; 2]],
    w: &[[Twice; N]],
    starts: &[f32; N],
    lam: &[f32],
    mut between: impl FnMut(usize),
) -> [[__m512; 2]; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for n in 0..N {
        sums[n] = [_mm512_set1_ps(starts[n]); 2];
    }
    for (a, (x, w)) in turned.iter().zip(w).enumerate() {
        between(a);
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
