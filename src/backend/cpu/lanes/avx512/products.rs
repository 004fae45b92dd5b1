//! The nearest of many prototypes by products: `|w|^2/2 - x.w` is least where `|x - w|^2` is.
//!
//! Two registers of rows are held against up to twelve prototypes at a time. A sum of each pair stays in its register from the first feature to
//! the last, and the search takes it from there: distances are nowhere in memory.

use super::Room;
use super::nearest::Nearest;
use super::packed::Packed;
use super::sums::Whole;
use super::tiles::{TILE, Tiles};
use crate::backend::cpu::lanes::{Labelled, pays};
use crate::parts::metric::Squares;
use std::arch::x86_64::*;

/// Prototypes of a group at most: their sums, the rows, and a value of a prototype are 27 registers of 32.
const GROUP: usize = 12;

/// Prototypes laid out for products, once a step.
pub struct Products {
    /// Times the relevances.
    pub(super) packed: Packed,
    /// Where they are short and few.
    pub(super) whole: Option<Whole>,
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
        let mut packed = Packed::new(&weighted, labels, GROUP, 0.0, f32::INFINITY);
        let all = w.chunks_exact(d).zip(weighted.chunks_exact(d));
        for (start, (w, weighted)) in packed.starts.iter_mut().zip(all) {
            let terms = w.iter().zip(weighted).map(|(w, v)| f64::from(*v) * f64::from(*w));
            *start = (0.5 * terms.sum::<f64>()) as f32;
        }
        // SAFETY: the instructions are there.
        let whole = pays(d, labels.len()).then(|| unsafe { Whole::new(w, d) });
        Some(Products { packed, whole })
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
                let sums = sums::<N>(tiles.turned, w, starts);
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

    /// `|w|^2/2 - x.w` of the rows that `turned` holds and all prototypes.
    #[target_feature(enable = "avx512f")]
    pub(super) fn products(&self, turned: &[[__m512; 2]], sums: &mut [[__m512; 2]]) {
        match self.packed.size {
            2 => self.products_of::<2>(turned, sums),
            4 => self.products_of::<4>(turned, sums),
            6 => self.products_of::<6>(turned, sums),
            8 => self.products_of::<8>(turned, sums),
            10 => self.products_of::<10>(turned, sums),
            _ => self.products_of::<12>(turned, sums),
        }
    }

    #[target_feature(enable = "avx512f")]
    fn products_of<const N: usize>(&self, turned: &[[__m512; 2]], all: &mut [[__m512; 2]]) {
        for ((w, starts, _), all) in self.packed.groups::<N>().zip(all.as_chunks_mut::<N>().0) {
            *all = sums::<N>(turned, w, starts);
        }
    }
}

/// `x.w` of two registers of rows and `N` prototypes, each taken from what `starts` gives.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums<const N: usize>(
    turned: &[[__m512; 2]],
    w: &[[f32; N]],
    starts: &[f32; N],
) -> [[__m512; 2]; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for n in 0..N {
        sums[n] = [_mm512_set1_ps(starts[n]); 2];
    }
    for ([first, second], w) in turned.iter().zip(w) {
        for n in 0..N {
            let w = _mm512_set1_ps(w[n]);
            sums[n][0] = _mm512_fnmadd_ps(*first, w, sums[n][0]);
            sums[n][1] = _mm512_fnmadd_ps(*second, w, sums[n][1]);
        }
    }
    sums
}
