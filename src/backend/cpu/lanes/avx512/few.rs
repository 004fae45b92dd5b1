//! Few short prototypes, by differences: the search for winner pairs, and a whole step of them that reads a row once from memory.

use super::nearest::Nearest;
use super::packed::Packed;
use super::sums::Whole;
use super::tiles::{TILE, Tiles};
use super::{ROWS, Room, interleaved};
use crate::backend::cpu::lanes::{Judged, Labelled};
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::Squares;
use std::arch::x86_64::*;

/// Prototypes of a group at most: their sums are half of the registers.
const GROUP: usize = 8;
/// Rows whose winners are judged at a time: what there is of them stays in the first cache.
const PIECE: usize = 4 * TILE;
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
            let classes = tiles.next();
            let (mut found, mut distances) = ([[0; 2]; TILE], [0.0; 2 * TILE]);
            let nearest = self.nearest(tiles.turned, &classes);
            nearest.store(&mut found);
            for half in 0..2 {
                let pairs = interleaved(nearest.least(half).map(|d| _mm512_castps_si512(d)));
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
    fn nearest(&self, turned: &[[__m512; 2]], classes: &[u32; TILE]) -> Nearest {
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

    #[target_feature(enable = "avx512f")]
    fn nearest_of<const N: usize, const WEIGHTED: bool>(
        &self,
        turned: &[[__m512; 2]],
        classes: &[u32; TILE],
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

    /// Winners, what `out.judge` makes of their distances, and the sums of differences, from rows as they stand in memory. For prototypes without
    /// relevances.
    pub fn step(&self, rows: &Labelled<'_, f32>, room: &mut Room, out: Judged<'_, f32>) {
        debug_assert!(self.lam.is_empty(), "nothing is summed for relevances");
        // SAFETY: `new` has seen that the instructions are there.
        unsafe {
            self.step_of_tiles(rows, room, out)
        }
    }

    #[target_feature(enable = "avx512f")]
    fn step_of_tiles(&self, rows: &Labelled<'_, f32>, room: &mut Room, out: Judged<'_, f32>) {
        let Judged { judge, any, sums } = out;
        let (d, p) = (self.packed.d, self.packed.p);
        let Room { turned, slopes, h } = room;
        let mut tiles = Tiles::new(rows, d, turned);
        h.clear();
        h.resize(self.whole.len(), _mm512_setzero_ps());
        slopes.resize(p.next_multiple_of(8), [_mm512_setzero_ps(); 2]);
        let count = rows.of.len();
        let mut winners = [[NOBODY; PIECE]; 2];
        let mut least = [[0.0; PIECE]; 2];
        for start in (0..count).step_by(PIECE) {
            let range = start..(start + PIECE).min(count);
            let n = range.len();
            self.winners(&mut tiles, &mut winners, &mut least, n);
            for (side, winners) in winners.iter_mut().enumerate() {
                let greatest = |winners: &[u32]| winners.iter().fold(0, |g: u32, j| g.max(*j));
                // Where no distance is a number.
                if greatest(&winners[..n]) == NOBODY {
                    for (winner, class) in winners.iter_mut().zip(&rows.of[range.clone()]) {
                        *winner = if *winner == NOBODY { any(*class)[side] } else { *winner };
                    }
                }
                assert!((greatest(&winners[..n]) as usize) < p);
            }
            let [plus, minus] = &mut least;
            judge(range.clone(), &mut plus[..n], &mut minus[..n]);
            if sums.is_some() {
                // Rows beside the last.
                plus[n..].fill(0.0);
                minus[n..].fill(0.0);
                for t in 0..n.div_ceil(TILE) {
                    spread(t, &winners, &least, &mut slopes[..p]);
                    let first = start + t * TILE;
                    self.whole.add(rows, first..(first + TILE).min(count), slopes, h);
                }
            }
        }
        if let Some(sums) = sums {
            self.whole.finish(h, sums);
        }
    }

    /// Winners of the next `n` rows and their distances, each side on its own.
    #[target_feature(enable = "avx512f")]
    fn winners(
        &self,
        tiles: &mut Tiles<'_>,
        winners: &mut [[u32; PIECE]; 2],
        least: &mut [[f32; PIECE]; 2],
        n: usize,
    ) {
        let [own, other] = winners.each_mut().map(|side| side.as_chunks_mut::<TILE>().0);
        let [plus, minus] = least.each_mut().map(|side| side.as_chunks_mut::<TILE>().0);
        for t in 0..n.div_ceil(TILE) {
            let classes = tiles.next();
            let nearest = self.nearest(tiles.turned, &classes);
            nearest.store_sides([&mut own[t], &mut other[t]], [&mut plus[t], &mut minus[t]]);
        }
    }
}

/// The slopes of all prototypes for the rows of a tile of a piece, 0 but for the winners'.
#[inline]
#[target_feature(enable = "avx512f")]
fn spread(
    t: usize,
    winners: &[[u32; PIECE]; 2],
    slopes: &[[f32; PIECE]; 2],
    out: &mut [[__m512; 2]],
) {
    for half in 0..2 {
        let at = t * TILE + half * ROWS;
        // SAFETY: sixteen values each.
        let (winners, slopes) = unsafe {
            (
                winners.each_ref().map(|w| _mm512_loadu_si512(w[at..][..ROWS].as_ptr().cast())),
                slopes.each_ref().map(|g| _mm512_loadu_ps(g[at..][..ROWS].as_ptr())),
            )
        };
        for (j, out) in out.iter_mut().enumerate() {
            let j = _mm512_set1_epi32(j as i32);
            let [own, other] = winners.map(|winner| _mm512_cmpeq_epi32_mask(winner, j));
            out[half] = _mm512_mask_mov_ps(_mm512_maskz_mov_ps(own, slopes[0]), other, slopes[1]);
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
