//! The nearest of many prototypes by products: `|w|^2/2 - x.w` is least where `|x - w|^2` is.
//!
//! Two registers of rows are held against up to twelve prototypes at a time. A sum of each pair stays in its register from the first feature to
//! the last, and the search takes it from there: distances are nowhere in memory.

use super::nearest::Nearest;
use super::packed::Packed;
use super::sums::Whole;
use super::tiles::{Ahead, TILE, Tiles};
use super::{ROWS, Room};
use crate::backend::cpu::lanes::{Labelled, pays};
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::Squares;
use std::arch::x86_64::*;

/// Prototypes of a group at most: their sums, the rows, and a value of a prototype are 27 registers of 32.
const GROUP: usize = 12;

/// Prototypes laid out for products, once a step.
pub struct Products {
    /// Times the relevances.
    pub(super) packed: Packed<f32>,
    /// Where they are short and few.
    pub(super) whole: Option<Whole>,
    /// The largest squared norm; none if features have relevances.
    largest: Option<f32>,
}

impl Products {
    /// Lays out prototypes of the classes `labels`, if this machine has the instructions.
    pub fn new(Squares { w, lam, .. }: Squares<'_, f32>, labels: &[u32]) -> Option<Products> {
        if !super::there() {
            return None;
        }
        let d = w.len() / labels.len();
        let weighted: Vec<f32> = match lam {
            Some(lam) => w.iter().enumerate().map(|(i, w)| lam[i % d] * w).collect(),
            None => w.to_vec(),
        };
        let mut packed = Packed::new(&weighted, labels, GROUP, |w| w);
        let all = w.chunks_exact(d).zip(weighted.chunks_exact(d));
        for (start, (w, weighted)) in packed.starts.iter_mut().zip(all) {
            let terms = w.iter().zip(weighted).map(|(w, v)| f64::from(*v) * f64::from(*w));
            *start = (0.5 * terms.sum::<f64>()) as f32;
        }
        // SAFETY: the instructions are there.
        let whole = pays(d, labels.len()).then(|| unsafe { Whole::new(w, d) });
        let norms = packed.starts[..labels.len()].iter().map(|half| 2.0 * half);
        let largest = lam.is_none().then(|| norms.fold(0.0, f32::max));
        Some(Products { packed, whole, largest })
    }

    /// The nearest of its class and of all others for each row, the first on ties; [`NOBODY`] where no product is a number.
    pub fn search(&self, rows: &Labelled<'_, f32>, room: &mut Room, winners: &mut [[u32; 2]]) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe {
            match self.packed.size {
                2 => self.tiles::<2>(rows, room, winners),
                4 => self.tiles::<4>(rows, room, winners),
                6 => self.tiles::<6>(rows, room, winners),
                8 => self.tiles::<8>(rows, room, winners),
                10 => self.tiles::<10>(rows, room, winners),
                _ => self.tiles::<12>(rows, room, winners),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn tiles<const N: usize>(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        winners: &mut [[u32; 2]],
    ) {
        let mut tiles = Tiles::new(rows, self.packed.d, &mut room.turned);
        for winners in winners.chunks_mut(TILE) {
            let Some(tile) = tiles.next() else { return };
            let mut nearest = Nearest::new(tile.classes);
            for (g, (w, starts, labels)) in self.packed.groups::<N>().enumerate() {
                let sums = sums_of::<N>(g, tiles.turned, tile.ahead, w, starts);
                for n in 0..N {
                    nearest.see(sums[n], labels[n], g * N + n);
                }
            }
            nearest.settle();
            let mut found = [[0; 2]; TILE];
            nearest.store(&mut found);
            winners.copy_from_slice(&found[..winners.len()]);
        }
    }

    /// Whether features count the same: what [`Products::nearest_of_all`] needs.
    pub fn has_nearest_of_all(&self) -> bool {
        self.largest.is_some()
    }

    /// The nearest of all prototypes for each row; [`NOBODY`] where another is as near, as far as products tell.
    pub fn nearest_of_all(&self, rows: &Labelled<'_, f32>, room: &mut Room, nearest: &mut [u32]) {
        let largest = self.largest.expect("features that count the same");
        // SAFETY: `new` has seen that the instructions are there.
        unsafe {
            match self.packed.size {
                2 => self.nearest_of_tiles::<2>(rows, room, largest, nearest),
                4 => self.nearest_of_tiles::<4>(rows, room, largest, nearest),
                6 => self.nearest_of_tiles::<6>(rows, room, largest, nearest),
                8 => self.nearest_of_tiles::<8>(rows, room, largest, nearest),
                10 => self.nearest_of_tiles::<10>(rows, room, largest, nearest),
                _ => self.nearest_of_tiles::<12>(rows, room, largest, nearest),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn nearest_of_tiles<const N: usize>(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        largest: f32,
        nearest: &mut [u32],
    ) {
        let mut tiles = Tiles::new(rows, self.packed.d, &mut room.turned);
        while let Some(tile) = tiles.next() {
            let [mut first, mut second] = [[_mm512_set1_ps(f32::INFINITY); 2]; 2];
            let mut at = [_mm512_set1_epi32(NOBODY as i32); 2];
            for (g, (w, starts, _)) in self.packed.groups::<N>().enumerate() {
                let sums = sums_of::<N>(g, tiles.turned, tile.ahead, w, starts);
                for n in 0..N {
                    let number = _mm512_set1_epi32((g * N + n) as i32);
                    for half in 0..2 {
                        let sum = sums[n][half];
                        let nearer = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(sum, first[half]);
                        at[half] = _mm512_mask_mov_epi32(at[half], nearer, number);
                        second[half] = _mm512_min_ps(_mm512_max_ps(sum, first[half]), second[half]);
                        first[half] = _mm512_min_ps(sum, first[half]);
                    }
                }
            }
            let norms = tiles.norms();
            let mut found = [[0u32; ROWS]; 2];
            for half in 0..2 {
                // D = a + 2 k of the nearest, which its products leave uncertain by a few units in the last place of its terms.
                let two = _mm512_set1_ps(2.0);
                let d = _mm512_fmadd_ps(first[half], two, norms[half]);
                let terms = _mm512_add_ps(norms[half], _mm512_set1_ps(largest));
                let slack = _mm512_mul_ps(terms, _mm512_set1_ps(32.0 * f32::EPSILON));
                let slack = _mm512_fmadd_ps(_mm512_abs_ps(d), _mm512_set1_ps(1e-4), slack);
                let apart = _mm512_mul_ps(_mm512_sub_ps(second[half], first[half]), two);
                let told = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(apart, slack);
                let nobody = _mm512_set1_epi32(NOBODY as i32);
                let at = _mm512_mask_mov_epi32(nobody, told, at[half]);
                // SAFETY: sixteen values.
                unsafe { _mm512_storeu_si512(found[half].as_mut_ptr().cast(), at) };
            }
            let n = tile.range.len();
            nearest[tile.range].copy_from_slice(&found.as_flattened()[..n]);
        }
    }

    /// `|w|^2/2 - x.w` of the rows that `turned` holds and all prototypes.
    #[target_feature(enable = "avx512f")]
    pub(super) fn products(&self, turned: &[[__m512; 2]], ahead: Ahead, sums: &mut [[__m512; 2]]) {
        match self.packed.size {
            2 => self.products_of::<2>(turned, ahead, sums),
            4 => self.products_of::<4>(turned, ahead, sums),
            6 => self.products_of::<6>(turned, ahead, sums),
            8 => self.products_of::<8>(turned, ahead, sums),
            10 => self.products_of::<10>(turned, ahead, sums),
            _ => self.products_of::<12>(turned, ahead, sums),
        }
    }

    #[target_feature(enable = "avx512f")]
    fn products_of<const N: usize>(
        &self,
        turned: &[[__m512; 2]],
        ahead: Ahead,
        all: &mut [[__m512; 2]],
    ) {
        let groups = self.packed.groups::<N>().zip(all.as_chunks_mut::<N>().0);
        for (g, ((w, starts, _), all)) in groups.enumerate() {
            *all = sums_of::<N>(g, turned, ahead, w, starts);
        }
    }
}

/// `x.w` of two registers of rows and the `N` prototypes of a group, each taken from what `starts` gives. Beside the first, memory is asked for.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums_of<const N: usize>(
    group: usize,
    turned: &[[__m512; 2]],
    ahead: Ahead,
    w: &[[f32; N]],
    starts: &[f32; N],
) -> [[__m512; 2]; N] {
    if group == 0 {
        sums::<N>(turned, w, starts, |feature| ahead.ask(feature))
    } else {
        sums::<N>(turned, w, starts, |_| ())
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sums<const N: usize>(
    turned: &[[__m512; 2]],
    w: &[[f32; N]],
    starts: &[f32; N],
    between: impl Fn(usize),
) -> [[__m512; 2]; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for n in 0..N {
        sums[n] = [_mm512_set1_ps(starts[n]); 2];
    }
    for (a, ([first, second], w)) in turned.iter().zip(w).enumerate() {
        between(a);
        for n in 0..N {
            let w = _mm512_set1_ps(w[n]);
            sums[n][0] = _mm512_fnmadd_ps(*first, w, sums[n][0]);
            sums[n][1] = _mm512_fnmadd_ps(*second, w, sums[n][1]);
        }
    }
    sums
}
