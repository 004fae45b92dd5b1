//! The nearest of many prototypes by products: `x.w - |w|^2/2` is largest where `|x - w|^2` is least.
//!
//! Two registers of rows are held against up to twelve prototypes at a time. A sum of each pair stays in its register from the first feature to
//! the last, and the search takes it from there: distances are nowhere in memory.

use super::{ROWS, interleaved, turn};
use crate::backend::cpu::lanes::Labelled;
use crate::backend::cpu::prefetch::prefetch;
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::Squares;
use std::arch::x86_64::*;

/// Rows of a tile.
pub(super) const TILE: usize = 2 * ROWS;
/// Prototypes of a group at most: their sums, the rows, and a value of a prototype are 27 registers of 32.
const GROUP: usize = 12;

/// Prototypes laid out for the search, once a step.
pub struct Packed {
    pub(super) d: usize,
    pub(super) p: usize,
    /// Prototypes of a group: 2, 4, .. 12.
    size: usize,
    /// For each group its first feature of all prototypes, then its second, times its relevance.
    w: Vec<f32>,
    /// `-|w|^2/2`; of those that fill up the last group minus infinity.
    pub(super) starts: Vec<f32>,
    pub(super) labels: Vec<i32>,
}

impl Packed {
    /// Lays out prototypes of the classes `labels`, if this machine has the instructions.
    pub fn new(Squares { w, lam, .. }: Squares<'_, f32>, labels: &[u32]) -> Option<Packed> {
        if !super::there() {
            return None;
        }
        let p = labels.len();
        let d = w.len() / p;
        let groups = p.div_ceil(GROUP);
        // Of like size, so that few sums are formed for nothing.
        let size = p.div_ceil(groups).next_multiple_of(2);
        let mut packed = vec![0.0; groups * size * d];
        let mut starts = vec![f32::NEG_INFINITY; groups * size];
        for (j, w) in w.chunks_exact(d).enumerate() {
            let group = &mut packed[j / size * size * d..][..size * d];
            let mut sum = 0.0;
            for (a, w) in w.iter().enumerate() {
                let weighted = lam.map_or(*w, |lam| lam[a] * w);
                group[a * size + j % size] = weighted;
                sum += f64::from(weighted) * f64::from(*w);
            }
            starts[j] = (-0.5 * sum) as f32;
        }
        let of = |j: usize| labels.get(j).map_or(-1, |label| *label as i32);
        let labels = (0..groups * size).map(of).collect();
        Some(Packed { d, p, size, w: packed, starts, labels })
    }

    /// The nearest of its class and of all others for each row, the first on ties; [`NOBODY`] where no product is a number.
    pub fn search(&self, rows: &Labelled<'_, f32>, winners: &mut [[u32; 2]]) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe {
            match self.size {
                2 => self.tiles::<2>(rows, winners),
                4 => self.tiles::<4>(rows, winners),
                6 => self.tiles::<6>(rows, winners),
                8 => self.tiles::<8>(rows, winners),
                10 => self.tiles::<10>(rows, winners),
                _ => self.tiles::<12>(rows, winners),
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    fn tiles<const N: usize>(&self, rows: &Labelled<'_, f32>, winners: &mut [[u32; 2]]) {
        let mut tiles = Tiles::new(rows, self.d);
        for winners in winners.chunks_mut(TILE) {
            let classes = tiles.next();
            let mut found = [[0; 2]; TILE];
            let (first, second) = tiles.turned.split_at(self.d);
            self.tile::<N>(first, second, &classes, &mut found);
            winners.copy_from_slice(&found[..winners.len()]);
        }
    }

    /// What `starts` and the products of the rows `tiles` holds come to for all prototypes.
    #[target_feature(enable = "avx512f")]
    pub(super) fn products(&self, tiles: &Tiles<'_>, sums: &mut [[__m512; 2]]) {
        match self.size {
            2 => self.products_of::<2>(tiles, sums),
            4 => self.products_of::<4>(tiles, sums),
            6 => self.products_of::<6>(tiles, sums),
            8 => self.products_of::<8>(tiles, sums),
            10 => self.products_of::<10>(tiles, sums),
            _ => self.products_of::<12>(tiles, sums),
        }
    }

    #[target_feature(enable = "avx512f")]
    fn products_of<const N: usize>(&self, tiles: &Tiles<'_>, all: &mut [[__m512; 2]]) {
        let (first, second) = tiles.turned.split_at(self.d);
        let groups = self.w.chunks_exact(N * self.d).zip(self.starts.as_chunks::<N>().0);
        for ((w, starts), all) in groups.zip(all.as_chunks_mut::<N>().0) {
            *all = sums::<N>(first, second, w.as_chunks::<N>().0, starts);
        }
    }

    /// The winners of the rows whose features are `first` and `second`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn tile<const N: usize>(
        &self,
        first: &[__m512],
        second: &[__m512],
        classes: &[u32; TILE],
        winners: &mut [[u32; 2]; TILE],
    ) {
        let mut nearest = Nearest::new(classes);
        let groups = self.w.chunks_exact(N * self.d);
        let rest = self.starts.as_chunks::<N>().0.iter().zip(self.labels.as_chunks::<N>().0);
        for (g, (w, (starts, labels))) in groups.zip(rest).enumerate() {
            let sums = sums::<N>(first, second, w.as_chunks::<N>().0, starts);
            for n in 0..N {
                nearest.see(sums[n], labels[n], g * N + n);
            }
        }
        nearest.store(winners);
    }

    /// [`Packed::search`] for the least of the exponential kernel's keys.
    pub fn search_exponential(&self, rows: &Labelled<'_, f32>, winners: &mut [[u32; 2]]) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.exponential_tiles(rows, winners) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn exponential_tiles(&self, rows: &Labelled<'_, f32>, winners: &mut [[u32; 2]]) {
        let mut tiles = Tiles::new(rows, self.d);
        let mut keys = vec![[_mm512_setzero_ps(); 2]; self.labels.len()];
        for winners in winners.chunks_mut(TILE) {
            let classes = tiles.next();
            self.products(&tiles, &mut keys);
            let keys = &mut keys[..self.p];
            self.exponential_keys(&tiles, keys);
            let mut nearest = Nearest::new(&classes);
            let zero = _mm512_setzero_ps();
            for (j, (key, label)) in keys.iter().zip(&self.labels).enumerate() {
                nearest.see(key.map(|key| _mm512_sub_ps(zero, key)), *label, j);
            }
            let mut found = [[0; 2]; TILE];
            nearest.store(&mut found);
            winners.copy_from_slice(&found[..winners.len()]);
        }
    }
}

/// The prototypes with the largest sums so far, of each row's class and of all others; both for two registers of rows.
struct Nearest {
    classes: [__m512i; 2],
    best: [[__m512; 2]; 2],
    at: [[__m512i; 2]; 2],
}

impl Nearest {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(classes: &[u32; TILE]) -> Self {
        Nearest {
            classes: [half_of(classes, 0), half_of(classes, 1)],
            best: [[_mm512_set1_ps(f32::NEG_INFINITY); 2]; 2],
            at: [[_mm512_set1_epi32(NOBODY as i32); 2]; 2],
        }
    }

    /// Sees the sums of prototype `j`; the first keeps a tie.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn see(&mut self, sums: [__m512; 2], label: i32, j: usize) {
        let label = _mm512_set1_epi32(label);
        let number = _mm512_set1_epi32(j as i32);
        for (half, sum) in sums.into_iter().enumerate() {
            let own = _mm512_cmpeq_epi32_mask(self.classes[half], label);
            for (side, mask) in [own, !own].into_iter().enumerate() {
                let (best, at) = (&mut self.best[half][side], &mut self.at[half][side]);
                let nearer = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(mask, sum, *best);
                *best = _mm512_mask_mov_ps(*best, nearer, sum);
                *at = _mm512_mask_mov_epi32(*at, nearer, number);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(&self, winners: &mut [[u32; 2]; TILE]) {
        for (half, at) in self.at.into_iter().enumerate() {
            for (quarter, both) in interleaved(at).into_iter().enumerate() {
                let winners = &mut winners[half * ROWS + quarter * ROWS / 2..][..ROWS / 2];
                // SAFETY: eight pairs of values.
                unsafe { _mm512_storeu_si512(winners.as_mut_ptr().cast(), both) };
            }
        }
    }
}

/// Sixteen of the classes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn half_of(classes: &[u32; TILE], half: usize) -> __m512i {
    // SAFETY: sixteen values of the thirty-two.
    unsafe { _mm512_loadu_si512(classes[half * ROWS..].as_ptr().cast()) }
}

/// `x.w` of two registers of rows and `N` prototypes, each added to what `starts` gives.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums<const N: usize>(
    first: &[__m512],
    second: &[__m512],
    w: &[[f32; N]],
    starts: &[f32; N],
) -> [[__m512; 2]; N] {
    let mut sums = [[_mm512_setzero_ps(); 2]; N];
    for n in 0..N {
        sums[n] = [_mm512_set1_ps(starts[n]); 2];
    }
    for ((first, second), w) in first.iter().zip(second).zip(w) {
        for n in 0..N {
            let w = _mm512_set1_ps(w[n]);
            sums[n][0] = _mm512_fmadd_ps(*first, w, sums[n][0]);
            sums[n][1] = _mm512_fmadd_ps(*second, w, sums[n][1]);
        }
    }
    sums
}

/// Rows of a block, tile by tile.
pub(super) struct Tiles<'a> {
    rows: &'a Labelled<'a, f32>,
    d: usize,
    next: usize,
    /// The features of the first register of rows, then those of the second.
    pub turned: Vec<__m512>,
    padded: Vec<f32>,
}

impl<'a> Tiles<'a> {
    #[target_feature(enable = "avx512f")]
    pub fn new(rows: &'a Labelled<'a, f32>, d: usize) -> Self {
        Tiles { rows, d, next: 0, turned: vec![_mm512_setzero_ps(); 2 * d], padded: vec![] }
    }

    /// Turns the next rows; returns their classes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn next(&mut self) -> [u32; TILE] {
        let d = self.d;
        let of = &self.rows.of[self.next..];
        let of = &of[..of.len().min(TILE)];
        let span = |values: &'a [f32]| -> &'a [f32] {
            let values = values.get(self.next * d..).unwrap_or(&[]);
            &values[..values.len().min(TILE * d)]
        };
        // The memory has nothing to do meanwhile.
        prefetch(span(self.rows.ahead));
        let mut x = span(self.rows.x);
        let mut classes = [NOBODY; TILE];
        classes[..of.len()].copy_from_slice(of);
        if of.len() < TILE {
            // The last rows: what is beside them is not looked at.
            self.padded.extend_from_slice(x);
            self.padded.resize(TILE * d, 0.0);
            x = &self.padded;
        }
        let (upper, lower) = x.split_at(ROWS * d);
        let (first, second) = self.turned.split_at_mut(d);
        turn(upper, first);
        turn(lower, second);
        self.next += TILE;
        classes
    }

    /// Squared norms of the rows.
    #[target_feature(enable = "avx512f")]
    pub fn norms(&self) -> [__m512; 2] {
        let (first, second) = self.turned.split_at(self.d);
        [first, second].map(|rows| {
            let mut sum = _mm512_setzero_ps();
            for x in rows {
                sum = _mm512_fmadd_ps(*x, *x, sum);
            }
            sum
        })
    }
}
