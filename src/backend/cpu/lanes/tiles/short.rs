//! Steps of short rows and few prototypes, some tiles at a time: [posteriors], and [winner pairs](winners) of fewer.
//!
//! What a tile waits for (the least of its values, powers, quotients) takes longer than what there is to be done for it: each part of the work is done for
//! all of the tiles before the next begins. `sum_i G_ij (x_i - w_j)` is `sum_i G_ij x_i - w_j sum_i G_ij`; such a sum of one feature and one prototype is a
//! register, a place for each row of a tile, until all rows are through. Of winners, G has two entries a row: to form sums of all prototypes takes less than
//! to find those of the winners in memory, while they are few. Where a row is so near its winner that the difference of sums would cost digits, terms are
//! differences.
//!
//! To turn rows takes half as many instructions as to hold them against eight prototypes. Where a training goes over all of them again and again, they are
//! [turned once](Turned) and kept so.

mod posteriors;
mod winners;

use super::Room;
use super::registers::Registers;
use super::sums::sum_of;
use super::tile::{Coming, LARGEST, ask_for_codes, ask_for_next_pages, tile, turn_tile, values_of};
use crate::backend::cpu::lanes::{Labelled, SoftSums};
use crate::parts::cooperation::winner_pair::NOBODY;
use rayon::prelude::*;
use std::mem::MaybeUninit;
use std::ops::Range;
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
#[derive(Clone, Copy)]
pub enum Source<'a, S: Registers> {
    /// As they stand in memory.
    Rows(&'a Labelled<'a, f32>),
    /// Turned, from number `start` on, the first of a tile.
    Turned {
        rows: &'a Turned<S>,
        start: usize,
        /// Their classes.
        of: &'a [u32],
    },
}

impl<'a, S: Registers> Source<'a, S> {
    /// The rows' classes.
    fn of(&self) -> &'a [u32] {
        match self {
            Source::Rows(rows) => rows.of,
            Source::Turned { of, .. } => of,
        }
    }

    /// Those that are turned.
    fn turned(&self, d: usize) -> &'a [[S::Floats; 2]] {
        let Source::Turned { rows, start, of } = *self else { return &[] };
        assert!(rows.d == d && start + of.len() <= rows.rows, "rows {start}.. of {}", rows.rows);
        assert!(start.is_multiple_of(tile::<S>()), "row {start} is the first of no tile");
        &rows.tiles[start / tile::<S>() * d..]
    }
}

/// Prototypes as they are, for differences: groups of [`GROUP`], for each its first feature of all, then its second.
pub(super) struct Grouped {
    w: Vec<f32>,
    groups: Vec<[f32; GROUP]>,
}

impl Grouped {
    pub fn new(w: &[f32], d: usize) -> Self {
        let mut groups = vec![[0.0; GROUP]; w.len().div_ceil(d * GROUP) * d];
        for (i, w) in w.iter().enumerate() {
            let (j, a) = (i / d, i % d);
            groups[j / GROUP * d + a][j % GROUP] = *w;
        }
        Grouped { w: w.to_vec(), groups }
    }
}

/// Bytes of some tiles and their slopes at most: they stay in the nearest cache, beside what is brought in meanwhile.
const SOME: usize = 24 << 10;
/// Tiles at a time at most.
const TILES: usize = 16;
/// Prototypes whose slopes are summed at a time.
const GROUP: usize = 4;

/// What a step makes of rows.
trait Parts<S: Registers> {
    /// Whether there are tiles whose sums are formed of differences.
    const DIFFERENCES: bool;

    /// Holds tile number `t` of some, whose first row is `start`, against all prototypes. `values`: room for something of each.
    fn hold(
        &mut self,
        tile: (usize, usize),
        x: &[[S::Floats; 2]],
        of_rows: &OfRows<'_, S>,
        coming: &mut Coming<S>,
        values: &mut [[S::Floats; 2]],
    );

    /// Losses of some tiles; if `totals` are wanted, slopes in place of the values as well, and what each prototype's add up to (not in tiles of
    /// differences).
    fn weigh(
        &mut self,
        lot: &Lot<'_, S>,
        of_rows: &mut OfRows<'_, S>,
        coming: &mut Coming<S>,
        slopes: &mut [[S::Floats; 2]],
        totals: Option<&mut [S::Floats]>,
    );

    /// The prototypes for such sums, if those of tile number `t` of some are formed so.
    fn differences(&self, t: usize) -> Option<&Grouped>;
}

/// Some tiles that go through each part together.
struct Lot<'a, S: Registers> {
    /// Their rows.
    rows: Range<usize>,
    /// Both registers of each feature.
    x: &'a [[S::Floats; 2]],
    /// Prototypes that each tile has room for: they fill up whole groups.
    all: usize,
}

impl<S: Registers> Lot<'_, S> {
    /// The number of each tile and its first row.
    #[inline(always)]
    fn tiles(&self) -> impl Iterator<Item = (usize, usize)> + use<S> {
        self.rows.clone().step_by(tile::<S>()).enumerate()
    }
}

/// What every such step has.
struct Short<'a, S: Registers> {
    simd: S,
    /// The prototypes, `p x d`.
    w: &'a [f32],
    d: usize,
    /// How many prototypes there is room for, with those that fill up groups.
    room_for: usize,
    /// Where rows come from.
    source: Source<'a, S>,
    room: &'a mut Room<S>,
    out: SoftSums<'a, f32>,
}

impl<S: Registers> Short<'_, S> {
    #[inline(always)]
    fn run<P: Parts<S>>(self, mut parts: P) {
        let Short { simd, w, d, room_for, source, room, out } = self;
        let SoftSums { factors, losses, sums } = out;
        let of = source.of();
        let (p, n) = (w.len() / d, of.len());
        let turned = source.turned(d);
        let Room { panel, slopes, h, .. } = room;
        let all = room_for.next_multiple_of(GROUP);
        let some = SOME / size_of::<[S::Floats; 2]>() / (d + all);
        let some = some.clamp(1, TILES);
        panel.resize(some * d, [simd.zero(); 2]);
        slopes.clear();
        slopes.resize(some * all, [simd.zero(); 2]);
        h.clear();
        h.resize(all * d + p, simd.zero());
        let (h, totals) = h.split_at_mut(all * d);
        let mut of_rows = OfRows::new(simd, of, factors, losses);
        let some_rows = some * tile::<S>();
        let mut coming = Coming::new(simd, d);
        for first in (0..n).step_by(some_rows) {
            let end = (first + some_rows).min(n);
            let tiles = (end - first).div_ceil(tile::<S>());
            ask_for_next_pages(&of[first..end]);
            let x = match &source {
                Source::Turned { .. } => {
                    let x = &turned[first / tile::<S>() * d..][..tiles * d];
                    ask_for_next_pages(x);
                    coming.begin(x.as_ptr().cast(), true, tiles);
                    for (t, x) in x.chunks_exact(d).enumerate() {
                        let tile = (t, first + t * tile::<S>());
                        let values = &mut slopes[t * all..][..all];
                        parts.hold(tile, x, &of_rows, &mut coming, values);
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
                        let tile = (t, first + t * tile::<S>());
                        let values = &mut slopes[t * all..][..all];
                        parts.hold(tile, turned, &of_rows, &mut coming, values);
                    }
                    &panel[..tiles * d]
                }
            };
            let lot = Lot { rows: first..end, x, all };
            let wanted = sums.is_some().then_some(&mut *totals);
            parts.weigh(&lot, &mut of_rows, &mut coming, slopes, wanted);
            if sums.is_some() {
                let sums = Sums { simd, d, lot, slopes, parts: &parts };
                let differences = (0..tiles).any(|t| parts.differences(t).is_some());
                if !(P::DIFFERENCES && differences) {
                    sums.add_all::<false>(h, &mut coming);
                } else {
                    sums.add_all::<true>(h, &mut coming);
                }
            }
            coming.ask_one_in(1);
        }
        let Some(sums) = sums else { return };
        for j in 0..p {
            let total = sum_of(simd, totals[j]);
            let w = &w[j * d..][..d];
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
        OfRows { simd, of, factors, losses, whole, of_last, factors_of_last }
    }

    /// The classes of the tile that begins with row `start`.
    #[inline(always)]
    fn classes(&self, start: usize) -> [S::Words; 2] {
        let of = if start < self.whole { &self.of[start..self.whole] } else { &self.of_last };
        ask_for_codes(of);
        // SAFETY: there are as many as a tile has rows.
        unsafe { [self.simd.load_words(of.as_ptr()), self.simd.load_words(of[S::ROWS..].as_ptr())] }
    }

    /// The places where there are rows.
    #[inline(always)]
    fn masks(&self, start: usize) -> [S::Mask; 2] {
        if start < self.whole {
            return [self.simd.first(S::ROWS); 2];
        }
        let n = self.of.len() - start;
        [self.simd.first(n.min(S::ROWS)), self.simd.first(n.saturating_sub(S::ROWS).min(S::ROWS))]
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
        if start == self.whole {
            let last = &mut self.losses[start..];
            return last.copy_from_slice(&values_of(self.simd, losses)[..last.len()]);
        }
        let to = &mut self.losses[start..self.whole];
        for half in 0..2 {
            let to = to[half * S::ROWS..].as_mut_ptr();
            // SAFETY: there is room for as many as a tile has rows.
            unsafe { self.simd.store(to, losses[half]) };
        }
    }
}

/// Some tiles and their slopes.
struct Sums<'a, S: Registers, P> {
    simd: S,
    d: usize,
    lot: Lot<'a, S>,
    slopes: &'a [[S::Floats; 2]],
    parts: &'a P,
}

impl<S: Registers, P: Parts<S>> Sums<'_, S, P> {
    /// Adds all products of slopes and features, or `DIFFERENCES` in tiles that want them, to `h`.
    #[inline(always)]
    fn add_all<const DIFFERENCES: bool>(&self, h: &mut [S::Floats], coming: &mut Coming<S>) {
        if S::ROWS < 16 {
            self.add::<2, DIFFERENCES>(h, coming);
        } else {
            self.add::<4, DIFFERENCES>(h, coming);
        }
    }

    /// The same, so many features at a time, whose sums stay in registers.
    #[inline(always)]
    fn add<const FEATURES: usize, const DIFFERENCES: bool>(
        &self,
        h: &mut [S::Floats],
        coming: &mut Coming<S>,
    ) {
        let mut blocks = self.lot.all / GROUP * (self.d / FEATURES);
        for (g, h) in h.chunks_exact_mut(GROUP * self.d).enumerate() {
            let mut a = 0;
            while a + FEATURES <= self.d {
                coming.ask_one_in(blocks);
                blocks -= 1;
                self.add_some::<FEATURES, DIFFERENCES>(g, a, &mut h[a * GROUP..]);
                a += FEATURES;
            }
            while a < self.d {
                self.add_some::<1, DIFFERENCES>(g, a, &mut h[a * GROUP..]);
                a += 1;
            }
        }
    }

    /// Those of group `g`, and of features from `a` on.
    #[inline(always)]
    fn add_some<const FEATURES: usize, const DIFFERENCES: bool>(
        &self,
        g: usize,
        a: usize,
        h: &mut [S::Floats],
    ) {
        let Sums { simd, d, lot, slopes, parts } = self;
        let (tiles, all, j) = (lot.rows.len().div_ceil(tile::<S>()), lot.all, g * GROUP);
        assert!(a + FEATURES <= *d && j + GROUP <= all);
        assert!(tiles * d <= lot.x.len() && tiles * all <= slopes.len());
        let h = &mut h.as_chunks_mut::<GROUP>().0[..FEATURES];
        let mut sums = [[simd.zero(); GROUP]; FEATURES];
        sums.copy_from_slice(h);
        let (mut x, mut slopes) = (lot.x.as_ptr().wrapping_add(a), slopes.as_ptr().wrapping_add(j));
        for t in 0..tiles {
            // SAFETY: there are as many features and prototypes, of as many tiles.
            let (of_x, of_slopes) = unsafe { (&*x.cast(), &*slopes.cast()) };
            match parts.differences(t) {
                Some(grouped) if DIFFERENCES => {
                    let w = &grouped.groups[g * d + a..][..FEATURES];
                    add_differences::<S, FEATURES>(*simd, of_x, of_slopes, w, &mut sums);
                }
                _ => add_products::<S, FEATURES>(*simd, of_x, of_slopes, &mut sums),
            }
            (x, slopes) = (x.wrapping_add(*d), slopes.wrapping_add(all));
        }
        h.copy_from_slice(&sums);
    }
}

/// `G x` of a tile.
#[inline(always)]
fn add_products<S: Registers, const FEATURES: usize>(
    simd: S,
    x: &[[S::Floats; 2]; FEATURES],
    slopes: &[[S::Floats; 2]; GROUP],
    sums: &mut [[S::Floats; GROUP]; FEATURES],
) {
    for half in 0..2 {
        for n in 0..GROUP {
            for f in 0..FEATURES {
                sums[f][n] = simd.mul_add(slopes[n][half], x[f][half], sums[f][n]);
            }
        }
    }
}

/// `G (x - w)` of a tile.
#[inline(always)]
fn add_differences<S: Registers, const FEATURES: usize>(
    simd: S,
    x: &[[S::Floats; 2]; FEATURES],
    slopes: &[[S::Floats; 2]; GROUP],
    w: &[[f32; GROUP]],
    sums: &mut [[S::Floats; GROUP]; FEATURES],
) {
    for half in 0..2 {
        for n in 0..GROUP {
            for f in 0..FEATURES {
                let e = simd.sub(x[f][half], simd.splat(w[f][n]));
                sums[f][n] = simd.mul_add(slopes[n][half], e, sums[f][n]);
            }
        }
    }
}
