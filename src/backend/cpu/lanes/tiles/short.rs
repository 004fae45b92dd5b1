//! Soft steps of short rows and few prototypes, some tiles at a time.
//!
//! What a tile waits for (the least of its keys, powers, quotients) takes longer than what there is to be done for it: each part of the work is done for
//! all of the tiles before the next begins. `sum_i G_ij (x_i - w_j)` is `sum_i G_ij x_i - w_j sum_i G_ij`; such a sum of one feature and one prototype is a
//! register, a place for each row of a tile, until all rows are through.
//!
//! To turn rows takes half as many instructions as to hold them against eight prototypes. Where a training goes over all of them again and again, they are
//! [turned once](Turned) and kept so.

use super::Room;
use super::products::{Products, run_by_size, sums_of};
use super::registers::Registers;
use super::soft::{Loss, Losses, lessen};
use super::sums::sum_of;
use super::tile::{Coming, LARGEST, ask_for_codes, ask_for_next_pages, tile, turn_tile, values_of};
use crate::backend::cpu::lanes::{Labelled, SoftSums};
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::objective::Shares;
use pulp::NullaryFnOnce;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ptr;

/// Rows that are kept turned: for each tile both registers of each feature. Beside the last row of the last tile there are zeros.
pub struct Turned<S: Registers> {
    d: usize,
    rows: usize,
    tiles: Vec<[S::Floats; 2]>,
}

/// Tiles that are turned at a time.
const TURNED: usize = 64;

impl<S: Registers + Sync> Turned<S>
where
    S::Floats: Send,
{
    /// So many rows of `d` features; `fill` writes those from a row on, as many as there is room for.
    pub fn new(simd: S, d: usize, rows: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let count = rows.div_ceil(tile::<S>()) * d;
        let mut tiles = Vec::with_capacity(count);
        let room: &mut [MaybeUninit<[S::Floats; 2]>] = &mut tiles.spare_capacity_mut()[..count];
        room.par_chunks_mut(TURNED * d).enumerate().for_each_init(Vec::new, |x, (i, tiles)| {
            // (By the thread that fills them: each page of memory comes into being when it is first written.)
            tiles.fill_with(|| MaybeUninit::new([simd.zero(); 2]));
            let tiles = ptr::from_mut(tiles) as *mut [[S::Floats; 2]];
            // SAFETY: they are all initialized.
            let tiles = unsafe { &mut *tiles };
            let first = i * TURNED * tile::<S>();
            x.resize((rows - first).min(TURNED * tile::<S>()) * d, 0.0);
            fill(first, x);
            for (x, turned) in x.chunks(tile::<S>() * d).zip(tiles.chunks_exact_mut(d)) {
                turn_tile(simd, x, &[], turned);
            }
        });
        // SAFETY: so many were initialized.
        unsafe { tiles.set_len(count) };
        Turned { d, rows, tiles }
    }
}

/// Where rows come from.
pub(super) enum Source<'a, S: Registers> {
    /// As they stand in memory.
    Rows(&'a Labelled<'a, f32>),
    /// Turned.
    Turned(&'a [[S::Floats; 2]]),
}

impl<S: Registers> Products<S> {
    /// [`Products::soft_step`] of rows that are kept turned, from number `start` on, the first of a tile; their classes are `of`.
    pub fn soft_step_of_turned(
        &self,
        (turned, start): (&Turned<S>, usize),
        of: &[u32],
        room: &mut Room<S>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: SoftSums<'_, f32>,
    ) {
        assert!(turned.d == self.packed.d && start + of.len() <= turned.rows);
        assert!(start.is_multiple_of(tile::<S>()), "row {start} is the first of no tile");
        let tiles = &turned.tiles[start / tile::<S>() * turned.d..];
        self.short_step(Source::Turned(tiles), of, room, loss, out);
    }

    pub(super) fn short_step(
        &self,
        source: Source<'_, S>,
        of: &[u32],
        room: &mut Room<S>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: SoftSums<'_, f32>,
    ) {
        let products = self;
        run_by_size!(self, Step<_> { products, source, of, room, loss, out });
    }
}

/// Bytes of some tiles and their slopes at most: they stay in the nearest cache, beside what is brought in meanwhile.
const SOME: usize = 24 << 10;
/// Tiles at a time at most.
const TILES: usize = 16;
/// Prototypes whose slopes are summed at a time.
const GROUP: usize = 4;

/// [`Products::short_step`] of groups of `N` prototypes.
struct Step<'a, S: Registers, F, const N: usize> {
    products: &'a Products<S>,
    source: Source<'a, S>,
    of: &'a [u32],
    room: &'a mut Room<S>,
    loss: Loss<F>,
    out: SoftSums<'a, f32>,
}

impl<S: Registers, F: Fn(f32, f32) -> Shares<f32>, const N: usize> NullaryFnOnce
    for Step<'_, S, F, N>
{
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Step { products, source, of, room, loss, out } = self;
        let SoftSums { factors, losses, sums } = out;
        let Products { simd, packed, .. } = products;
        let (simd, d, p, n) = (*simd, packed.d, packed.p, of.len());
        let Room { panel, slopes, h, .. } = room;
        let all = packed.labels.len().next_multiple_of(GROUP);
        let some = SOME / size_of::<[S::Floats; 2]>() / (d + all);
        let some = some.clamp(1, TILES);
        panel.resize(some * d, [simd.zero(); 2]);
        slopes.clear();
        slopes.resize(some * all, [simd.zero(); 2]);
        h.clear();
        h.resize(all * d + p, simd.zero());
        let (h, totals) = h.split_at_mut(all * d);
        let mut least = [[simd.zero(); 2]; TILES];
        let mut sides = [[[simd.zero(); 2]; 2]; TILES];
        let mut of_rows = OfRows::new(simd, of, factors, losses);
        let some_rows = some * tile::<S>();
        let mut coming = Coming::new(simd, d);
        for first in (0..n).step_by(some_rows) {
            let end = (first + some_rows).min(n);
            let tiles = (end - first).div_ceil(tile::<S>());
            ask_for_next_pages(&of[first..end]);
            let x = match &source {
                Source::Turned(turned) => {
                    let x = &turned[first / tile::<S>() * d..][..tiles * d];
                    ask_for_next_pages(x);
                    coming.begin(x.as_ptr().cast(), true, tiles);
                    for (t, x) in x.chunks_exact(d).enumerate() {
                        let slopes = &mut slopes[t * all..][..all];
                        least[t] = products.keys_and_least::<N>(x, &mut coming, slopes);
                    }
                    x
                }
                Source::Rows(rows) => {
                    let x = &rows.x[first * d..end * d];
                    if rows.stored {
                        ask_for_next_pages(x);
                    }
                    coming.begin(x.as_ptr(), rows.stored, tiles);
                    for (t, x) in x.chunks(tile::<S>() * d).enumerate() {
                        let turned = &mut panel[t * d..][..d];
                        turn_tile(simd, x, rows.centre, turned);
                        let slopes = &mut slopes[t * all..][..all];
                        least[t] = products.keys_and_least::<N>(turned, &mut coming, slopes);
                    }
                    &panel[..tiles * d]
                }
            };
            for t in 0..tiles {
                let classes = of_rows.classes(first + t * tile::<S>());
                let keys = &mut slopes[t * all..][..all];
                coming.ask_beside_powers();
                sides[t] = products.likelihoods(classes, loss.sigma, least[t], keys);
            }
            for t in 0..tiles {
                let start = first + t * tile::<S>();
                let likelihoods;
                (likelihoods, sides[t]) = loss.shared(simd, of_rows.factors(start), sides[t]);
                of_rows.put_losses(start, likelihoods);
            }
            if sums.is_none() {
                coming.ask_one_in(1);
                continue;
            }
            for t in 0..tiles {
                let classes = of_rows.classes(first + t * tile::<S>());
                let slopes = &mut slopes[t * all..][..all];
                products.weigh(classes, sides[t], slopes, totals);
            }
            let sums = Sums { simd, d, all, tiles, x, slopes };
            if S::ROWS < 16 {
                sums.add::<2>(h, &mut coming)
            } else {
                sums.add::<4>(h, &mut coming)
            }
            coming.ask_one_in(1);
        }
        of_rows.finish();
        simd.run(Losses(losses));
        let Some(sums) = sums else { return };
        for j in 0..p {
            let total = sum_of(simd, totals[j]);
            let w = &products.w[j * d..][..d];
            let h = &h.as_chunks::<GROUP>().0[j / GROUP * d..][..d];
            let features = h.chunks(S::ROWS).zip(w.chunks(S::ROWS));
            for ((h, w), sums) in features.zip(sums[j * d..][..d].chunks_mut(S::ROWS)) {
                let mut square = S::square(simd.zero());
                for (a, h) in h.iter().enumerate() {
                    square[a] = h[j % GROUP];
                }
                let products = values_of(simd, [simd.totals(square), simd.zero()]);
                let all = products.iter().zip(w).zip(sums);
                all.for_each(|((product, w), sum)| *sum += product - total * w);
            }
        }
    }
}

impl<S: Registers> Products<S> {
    /// `|w|^2/2 - x.w` of a tile's rows and all prototypes, in groups of `N`, and the least of them.
    #[inline(always)]
    fn keys_and_least<const N: usize>(
        &self,
        turned: &[[S::Floats; 2]],
        coming: &mut Coming<S>,
        keys: &mut [[S::Floats; 2]],
    ) -> [S::Floats; 2] {
        let (simd, packed, d) = (self.simd, &self.packed, turned.len());
        let mut least = [simd.splat(f32::INFINITY); 2];
        let groups = keys.as_chunks_mut::<N>().0.iter_mut().zip(packed.starts.as_chunks::<N>().0);
        for (g, (keys, starts)) in groups.enumerate() {
            let w = &packed.values::<N>()[g * d..][..d];
            let sums = sums_of::<S, N>(simd, g, turned, coming, w, starts);
            lessen(simd, &mut least, &sums);
            *keys = sums;
        }
        least
    }
}

/// What is given of each row, and asked of it, a tile at a time: the last tile is filled up with rows that count for nothing.
struct OfRows<'a, S> {
    simd: S,
    of: &'a [u32],
    factors: &'a [f32],
    losses: &'a mut [f32],
    /// The first row of a tile that is not whole.
    whole: usize,
    of_last: [u32; LARGEST],
    factors_of_last: [f32; LARGEST],
    losses_of_last: [f32; LARGEST],
}

impl<'a, S: Registers> OfRows<'a, S> {
    #[inline(always)]
    fn new(simd: S, of: &'a [u32], factors: &'a [f32], losses: &'a mut [f32]) -> Self {
        let n = of.len();
        assert!(factors.len() == n && losses.len() == n, "values for each row");
        let whole = n - n % tile::<S>();
        let (mut of_last, mut factors_of_last) = ([NOBODY; LARGEST], [0.0; LARGEST]);
        of_last[..n - whole].copy_from_slice(&of[whole..]);
        factors_of_last[..n - whole].copy_from_slice(&factors[whole..]);
        let losses_of_last = [0.0; LARGEST];
        OfRows { simd, of, factors, losses, whole, of_last, factors_of_last, losses_of_last }
    }

    /// The classes of the tile that begins with row `start`.
    #[inline(always)]
    fn classes(&self, start: usize) -> [S::Words; 2] {
        let of = if start < self.whole { &self.of[start..self.whole] } else { &self.of_last };
        ask_for_codes(of);
        // SAFETY: there are as many as a tile has rows.
        unsafe { [self.simd.load_words(of.as_ptr()), self.simd.load_words(of[S::ROWS..].as_ptr())] }
    }

    /// Their factors.
    #[inline(always)]
    fn factors(&self, start: usize) -> [S::Floats; 2] {
        let last = &self.factors_of_last;
        let factors = if start < self.whole { &self.factors[start..self.whole] } else { last };
        let lower = factors[S::ROWS..].as_ptr();
        // SAFETY: there are as many as a tile has rows.
        unsafe { [self.simd.load(factors.as_ptr()), self.simd.load(lower)] }
    }

    /// Takes their losses.
    #[inline(always)]
    fn put_losses(&mut self, start: usize, losses: [S::Floats; 2]) {
        let last = &mut self.losses_of_last;
        let to = if start < self.whole { &mut self.losses[start..self.whole] } else { last };
        for half in 0..2 {
            let to = to[half * S::ROWS..].as_mut_ptr();
            // SAFETY: there is room for as many as a tile has rows.
            unsafe { self.simd.store(to, losses[half]) };
        }
    }

    /// Hands over those of the last tile.
    #[inline(always)]
    fn finish(self) {
        let last = &mut self.losses[self.whole..];
        last.copy_from_slice(&self.losses_of_last[..last.len()]);
    }
}

/// Some tiles and their slopes.
struct Sums<'a, S: Registers> {
    simd: S,
    d: usize,
    /// Prototypes, filled up to whole groups.
    all: usize,
    tiles: usize,
    x: &'a [[S::Floats; 2]],
    slopes: &'a [[S::Floats; 2]],
}

impl<S: Registers> Sums<'_, S> {
    /// Adds all products of slopes and features to `h`, so many features at a time, whose sums stay in registers.
    #[inline(always)]
    fn add<const FEATURES: usize>(&self, h: &mut [S::Floats], coming: &mut Coming<S>) {
        let mut blocks = self.all / GROUP * (self.d / FEATURES);
        for (g, h) in h.chunks_exact_mut(GROUP * self.d).enumerate() {
            let mut a = 0;
            while a + FEATURES <= self.d {
                coming.ask_one_in(blocks);
                blocks -= 1;
                self.add_some::<FEATURES>(g * GROUP, a, &mut h[a * GROUP..]);
                a += FEATURES;
            }
            while a < self.d {
                self.add_some::<1>(g * GROUP, a, &mut h[a * GROUP..]);
                a += 1;
            }
        }
    }

    /// Those of a group from prototype `j` on, and of features from `a` on.
    #[inline(always)]
    fn add_some<const FEATURES: usize>(&self, j: usize, a: usize, h: &mut [S::Floats]) {
        let Sums { simd, d, all, tiles, x, slopes } = *self;
        assert!(a + FEATURES <= d && j + GROUP <= all);
        assert!(tiles * d <= x.len() && tiles * all <= slopes.len());
        let h = &mut h.as_chunks_mut::<GROUP>().0[..FEATURES];
        let mut sums = [[simd.zero(); GROUP]; FEATURES];
        sums.copy_from_slice(h);
        let (mut x, mut slopes) = (x.as_ptr().wrapping_add(a), slopes.as_ptr().wrapping_add(j));
        for _ in 0..tiles {
            for half in 0..2 {
                for n in 0..GROUP {
                    // SAFETY: there are as many prototypes, of as many tiles.
                    let slope = unsafe { (*slopes.add(n))[half] };
                    for f in 0..FEATURES {
                        // SAFETY: there are as many features, of as many tiles.
                        let x = unsafe { (*x.add(f))[half] };
                        sums[f][n] = simd.mul_add(slope, x, sums[f][n]);
                    }
                }
            }
            (x, slopes) = (x.wrapping_add(d), slopes.wrapping_add(all));
        }
        h.copy_from_slice(&sums);
    }
}
