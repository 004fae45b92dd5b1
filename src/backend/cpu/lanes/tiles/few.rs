//! Few short prototypes: the search for winner pairs by differences, and a whole step of them that reads a row once from memory.
//!
//! A step looks for winners by products first, `|x - w|^2 = |x|^2 + 2 (|w|^2/2 - x.w)`, which is half the work. What that costs of the digits is known, as
//! the terms are: a tile in which a distance is less than [`PART`] of them is searched by differences.

use super::Room;
use super::nearest::{Found, Nearest};
use super::packed::Packed;
use super::products::sums_and_norms_of;
use super::registers::Registers;
use super::short::{Grouped, Source};
use super::sums::{Pull, Pulled, Pulls};
use super::tile::{Ahead, Between, LARGEST, Nothing, Tiles, registers_of, tile};
use crate::backend::cpu::lanes::{Judged, Labelled, are_summed, products_pay};
use crate::parts::metric::Squares;
use crate::parts::objective::{EPS, PairObjective};
use pulp::NullaryFnOnce;
use std::ops::Range;

/// A distance of so much of its terms is told by products.
const PART: f32 = 1.0 / 128.0;

/// So many tiles may be searched twice, beside a fourth of all.
const TWICE: usize = 8;

/// Whether tiles are searched by products still.
pub(super) struct Trust {
    by_products: bool,
    /// Tiles that were, and those of them that were searched again.
    seen: usize,
    twice: usize,
}

impl Trust {
    #[inline(always)]
    pub fn by_products(&self) -> bool {
        self.by_products
    }

    /// Learns whether products told the distances of a tile.
    #[inline(always)]
    pub fn learn(&mut self, told: bool) {
        self.seen += 1;
        if !told {
            self.twice += 1;
            self.by_products = self.twice < TWICE + self.seen / 4;
        }
    }
}

/// Few short prototypes, laid out for both.
pub struct Few<S: Registers> {
    pub(super) simd: S,
    pub(super) packed: Packed<S::Operand>,
    /// In groups of the same size.
    pub(super) halves: Packed<f32>,
    /// The largest squared norm.
    largest: f32,
    lam: Vec<f32>,
    pub(super) summed: Summed<S>,
}

/// How sums over rows are formed.
pub(super) enum Summed<S: Registers> {
    /// Of the winners.
    Pulls(Pulls<S>),
    /// Of all prototypes, as they are so few.
    All(Grouped),
}

/// Calls something for the number of prototypes of a group.
macro_rules! with_size {
    ($few:expr, |$n:ident| $call:expr) => {{
        macro_rules! with {
            ($size:literal) => {{
                const $n: usize = $size;
                $call
            }};
        }
        match $few.packed.size {
            2 => with!(2),
            4 => with!(4),
            6 if S::DIFFERENCES >= 6 => with!(6),
            8 if S::DIFFERENCES >= 8 => with!(8),
            size => unreachable!("groups of {size} prototypes"),
        }
    }};
}

pub(super) use with_size;

impl<S: Registers> Few<S> {
    /// Lays out prototypes of the classes `labels`.
    pub fn new(simd: S, Squares { w, lam, .. }: Squares<'_, f32>, labels: &[u32]) -> Self {
        let d = w.len() / labels.len();
        let halves = Packed::halves(w, w, labels, S::DIFFERENCES);
        let summed = match are_summed(d, labels.len()) {
            true => Summed::All(Grouped::new(w, d)),
            false => Summed::Pulls(Pulls::new(simd, w, d)),
        };
        Few {
            simd,
            largest: halves.largest(),
            halves,
            summed,
            packed: Packed::new(w, labels, S::DIFFERENCES, S::operand),
            lam: lam.unwrap_or_default().to_vec(),
        }
    }

    pub fn simd(&self) -> S {
        self.simd
    }

    /// The nearest of its class and of all others for each row, the first on ties ([`NOBODY`] where no distance is below infinity), and their
    /// distances, both sides one after the other.
    ///
    /// [`NOBODY`]: crate::parts::cooperation::winner_pair::NOBODY
    pub fn search(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room<S>,
        winners: &mut [[u32; 2]],
        least: &mut [f32],
    ) {
        self.simd.run(Search { few: self, rows, room, winners, least });
    }

    /// [`by_differences_of`](Few::by_differences_of), for whatever size groups have.
    #[inline(always)]
    pub(super) fn by_differences(
        &self,
        turned: &[[S::Floats; 2]],
        classes: [S::Words; 2],
        between: &mut impl Between,
    ) -> Nearest<S> {
        with_size!(self, |N| match self.lam.is_empty() {
            true => self.by_differences_of::<N, false>(turned, classes, between),
            false => self.by_differences_of::<N, true>(turned, classes, between),
        })
    }

    /// The nearest for the rows of a tile. What is done `between` the features is done once.
    #[inline(always)]
    fn by_differences_of<const N: usize, const WEIGHTED: bool>(
        &self,
        turned: &[[S::Floats; 2]],
        classes: [S::Words; 2],
        between: &mut impl Between,
    ) -> Nearest<S> {
        let (simd, lam) = (self.simd, &self.lam);
        let mut nearest = Nearest::new(simd, classes);
        for (g, (w, starts, labels)) in self.packed.groups::<N>().enumerate() {
            let sums = distances_of::<S, N, WEIGHTED>(simd, g, turned, (w, starts), lam, between);
            for n in 0..N {
                nearest.see(sums[n], labels[n], g * N + n);
            }
        }
        nearest.settle();
        nearest
    }

    /// The same by products, and whether they tell the distances of the rows of `masks`.
    #[inline(always)]
    fn by_products_of<const N: usize>(
        &self,
        turned: &[[S::Floats; 2]],
        classes: [S::Words; 2],
        masks: [S::Mask; 2],
        between: &mut impl Between,
    ) -> (Nearest<S>, bool) {
        let simd = self.simd;
        let mut nearest = Nearest::new(simd, classes);
        let mut norms = [simd.zero(); 2];
        for (g, (w, starts, labels)) in self.halves.groups::<N>().enumerate() {
            let group = (w, starts);
            let sums = sums_and_norms_of::<S, N>(simd, g, turned, between, group, &mut norms);
            for n in 0..N {
                nearest.see(sums[n], labels[n], g * N + n);
            }
        }
        nearest.settle();
        let mut least = nearest.sides.map(|side| side.least);
        let told = self.are_told(masks, norms, &mut least);
        for (side, least) in nearest.sides.iter_mut().zip(least) {
            side.least = least;
        }
        (nearest, told)
    }

    /// Makes distances of the least `|w|^2/2 - x.w` of both sides, and says whether they tell those of the rows of `masks`.
    #[inline(always)]
    pub(super) fn are_told(
        &self,
        masks: [S::Mask; 2],
        norms: [S::Floats; 2],
        [plus, minus]: &mut [[S::Floats; 2]; 2],
    ) -> bool {
        let simd = self.simd;
        let (part, two) = (simd.splat(PART), simd.splat(2.0));
        let largest = simd.splat(PART * self.largest);
        let mut told = true;
        for half in 0..2 {
            plus[half] = simd.mul_add(plus[half], two, norms[half]);
            minus[half] = simd.mul_add(minus[half], two, norms[half]);
            let lesser = simd.min(plus[half], minus[half]);
            // Not so either where a term is no number, or out of range.
            let tells = simd.less(simd.mul_add(norms[half], part, largest), lesser);
            told &= !simd.any(simd.and_not(tells, masks[half]));
        }
        told
    }

    /// Distances of all prototypes by differences.
    #[inline(always)]
    pub(super) fn values_by_differences<const N: usize>(
        &self,
        turned: &[[S::Floats; 2]],
        between: &mut impl Between,
        values: &mut [[S::Floats; 2]],
    ) {
        let groups = self.packed.groups::<N>().zip(values.as_chunks_mut::<N>().0);
        for (g, ((w, starts, _), values)) in groups.enumerate() {
            let group = (w, starts);
            *values = distances_of::<S, N, false>(self.simd, g, turned, group, &[], between);
        }
    }

    /// The nearest for the rows of a tile, by products where those are to be trusted.
    #[inline(always)]
    fn nearest<const N: usize>(
        &self,
        trust: &mut Trust,
        turned: &[[S::Floats; 2]],
        classes: [S::Words; 2],
        masks: [S::Mask; 2],
        between: &mut impl Between,
    ) -> Nearest<S> {
        if !trust.by_products() {
            return self.by_differences_of::<N, false>(turned, classes, between);
        }
        let (nearest, told) = self.by_products_of::<N>(turned, classes, masks, between);
        trust.learn(told);
        match told {
            true => nearest,
            false => self.simd.run(Again { few: self, turned, classes }),
        }
    }

    /// What a step begins with.
    pub(super) fn trust(&self) -> Trust {
        let by_products = products_pay(self.packed.d, self.packed.p);
        Trust { by_products, seen: 0, twice: 0 }
    }

    /// Winners, what `objective` makes of their distances, and the sums of differences. For prototypes without relevances. Panics where rows are turned
    /// and sums are not of all prototypes.
    pub fn step<O: PairObjective<f32>>(
        &self,
        rows: Source<'_, S>,
        room: &mut Room<S>,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        assert!(self.lam.is_empty(), "nothing is summed for relevances");
        let (pulls, rows) = match (&self.summed, rows) {
            (Summed::All(grouped), rows) => {
                return self.short_step(grouped, rows, room, objective, out);
            }
            (Summed::Pulls(pulls), Source::Rows(rows)) => (pulls, rows),
            (Summed::Pulls(_), Source::Turned { .. }) => panic!("turned rows of winners alone"),
        };
        match pulls.registers() {
            1 => self.step_of_rows::<1, O>(pulls, rows, room, objective, out),
            2 => self.step_of_rows::<2, O>(pulls, rows, room, objective, out),
            4 => self.step_of_rows::<4, O>(pulls, rows, room, objective, out),
            8 if S::ROWS < 16 => self.step_of_rows::<8, O>(pulls, rows, room, objective, out),
            registers => unreachable!("rows of {registers} registers"),
        }
    }

    fn step_of_rows<const C: usize, O: PairObjective<f32>>(
        &self,
        pulls: &Pulls<S>,
        rows: &Labelled<'_, f32>,
        room: &mut Room<S>,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        let few = self;
        with_size!(self, |N| self.simd.run(Step::<S, O, C, N> {
            few,
            pulls,
            rows,
            room,
            objective,
            out
        }))
    }
}

/// [`Few::search`]
struct Search<'a, S: Registers> {
    few: &'a Few<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    winners: &'a mut [[u32; 2]],
    least: &'a mut [f32],
}

impl<S: Registers> NullaryFnOnce for Search<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Search { few, rows, room, winners, least } = self;
        let mut tiles = Tiles::new(few.simd, rows, few.packed.d, &mut room.turned);
        let mut found = Found::default();
        let out = winners.chunks_mut(tile::<S>()).zip(least.chunks_mut(2 * tile::<S>()));
        for (winners, least) in out {
            let Some(tile) = tiles.next() else { return };
            let nearest = few.by_differences(tiles.turned, tile.classes, &mut { tile.ahead });
            nearest.leave(tile.masks, &mut found);
            let (pairs, distances) = found.pairs(few.simd);
            winners.copy_from_slice(&pairs[..winners.len()]);
            least.copy_from_slice(&distances.as_flattened()[..least.len()]);
        }
    }
}

/// [`Few::step`] of rows of `C` registers and groups of `N` prototypes.
struct Step<'a, S: Registers, O, const C: usize, const N: usize> {
    few: &'a Few<S>,
    pulls: &'a Pulls<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    objective: &'a O,
    out: Judged<'a, f32>,
}

/// The search is held up by arithmetic, the sums by memory: a tile's sums are formed beside the search of the next.
impl<S: Registers, O: PairObjective<f32>, const C: usize, const N: usize> NullaryFnOnce
    for Step<'_, S, O, C, N>
{
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Step { few, pulls, rows, room, objective, out } = self;
        let Few { simd, packed, .. } = few;
        let Judged { factors, scale, losses, any, sums } = out;
        let (simd, d) = (*simd, packed.d);
        let Room { turned, h, .. } = room;
        let mut tiles = Tiles::new(simd, rows, d, turned);
        h.clear();
        h.resize(pulls.len(), simd.zero());
        let at = h.as_mut_ptr();
        let pull = pulls.of_rows::<C>(rows);
        let (mut found, mut pulled) = (Found::default(), Pulled::default());
        // The rows whose sums are to be formed, and those of them where they are.
        let (mut judged, mut done) = (0..0, 0);
        // So many of them a feature are all by the last.
        let some = tile::<S>().div_ceil(d);
        let mut trust = few.trust();
        while let Some(tile) = tiles.next() {
            let mut beside = Beside {
                ahead: tile.ahead,
                pull: &pull,
                pulled: &pulled,
                at,
                start: judged.start,
                done,
                n: if S::BESIDE { judged.len() } else { 0 },
                some,
            };
            let (turned, classes) = (&*tiles.turned, tile.classes);
            let nearest = few.nearest::<N>(&mut trust, turned, classes, tile.masks, &mut beside);
            nearest.leave(tile.masks, &mut found);
            done = beside.done;
            if found.is_short {
                found.fill(&rows.of[tile.range.clone()], any, packed.p);
            }
            let [mut plus, mut minus] = found.least;
            let (mut eps, mut loss) = ([EPS as f32; LARGEST], [0.0; LARGEST]);
            let n = 2 * S::ROWS;
            let (plus_of, minus_of) = (&mut plus[..n], &mut minus[..n]);
            objective.pairs(plus_of, minus_of, &mut eps[..n], &mut loss[..n]);
            tile.store(registers_of(simd, &loss), losses);
            if sums.is_none() {
                continue;
            }
            let slopes = [registers_of(simd, &plus), registers_of(simd, &minus)];
            for (half, factors) in tile.load(factors).into_iter().enumerate() {
                // Rows that do not count are left out, whatever their slopes are.
                let counts = simd.not_zero(factors);
                let factors = simd.mul(factors, simd.splat(scale));
                for side in 0..2 {
                    let slopes = simd.mul(slopes[side][half], factors);
                    let slopes = simd.select(counts, slopes, simd.zero());
                    let to = pulled.slopes[side][half * S::ROWS..][..S::ROWS].as_mut_ptr();
                    // SAFETY: there is room for as many values.
                    unsafe { simd.store(to, slopes) };
                }
            }
            pull.place(&found.winners, &mut pulled);
            (judged, done) = (tile.range, 0);
            if !S::BESIDE {
                // SAFETY: as of `Beside`.
                unsafe { pull.add(judged.start, 0..judged.len(), &pulled, at) };
                done = judged.len();
            }
        }
        if let Some(sums) = sums {
            // SAFETY: as of `Beside`.
            unsafe { pull.add(judged.start, done..judged.len(), &pulled, at) };
            pulls.finish(h, sums);
        }
    }
}

/// Memory is asked for, and some rows of the tile before are added.
struct Beside<'a, S: Registers, const C: usize> {
    ahead: Ahead<S>,
    pull: &'a Pull<'a, S, C>,
    pulled: &'a Pulled,
    at: *mut S::Floats,
    /// The first of them.
    start: usize,
    /// So many were added, of `n`.
    done: usize,
    n: usize,
    /// So many a feature.
    some: usize,
}

impl<S: Registers, const C: usize> Between for Beside<'_, S, C> {
    #[inline(always)]
    fn features(&mut self, some: Range<usize>) {
        let end = (self.done + self.some * some.len()).min(self.n);
        self.ahead.features(some);
        // SAFETY: winners that are found are prototypes, and `fill` has seen that the others are.
        unsafe { self.pull.add(self.start, self.done..end, self.pulled, self.at) };
        self.done = end;
    }
}

/// [`Few::by_differences`] where products did not tell. (By itself: it is seldom.)
struct Again<'a, S: Registers> {
    few: &'a Few<S>,
    turned: &'a [[S::Floats; 2]],
    classes: [S::Words; 2],
}

impl<S: Registers> NullaryFnOnce for Again<'_, S> {
    type Output = Nearest<S>;

    #[inline(always)]
    fn call(self) -> Nearest<S> {
        self.few.by_differences(self.turned, self.classes, &mut Nothing)
    }
}

/// Distances of the prototypes of group `g` to the rows that `turned` holds. What is to be done between the features is done between those of the first.
#[inline(always)]
fn distances_of<S: Registers, const N: usize, const WEIGHTED: bool>(
    simd: S,
    g: usize,
    turned: &[[S::Floats; 2]],
    (w, starts): (&[[S::Operand; N]], &[f32; N]),
    lam: &[f32],
    between: &mut impl Between,
) -> [[S::Floats; 2]; N] {
    if g == 0 {
        distances::<S, N, WEIGHTED>(simd, turned, w, starts, lam, between)
    } else {
        distances::<S, N, WEIGHTED>(simd, turned, w, starts, lam, &mut Nothing)
    }
}

/// Distances of the prototypes of a group to the rows that `turned` holds, and what is to be done between their features.
#[inline(always)]
fn distances<S: Registers, const N: usize, const WEIGHTED: bool>(
    simd: S,
    turned: &[[S::Floats; 2]],
    w: &[[S::Operand; N]],
    starts: &[f32; N],
    lam: &[f32],
    between: &mut impl Between,
) -> [[S::Floats; 2]; N] {
    let mut sums = [[simd.zero(); 2]; N];
    for n in 0..N {
        sums[n] = [simd.splat(starts[n]); 2];
    }
    for (a, (x, w)) in turned.iter().zip(w).enumerate() {
        between.features(a..a + 1);
        for n in 0..N {
            let w = simd.both(&w[n]);
            for half in 0..2 {
                let e = simd.sub(x[half], w[half]);
                let first = if WEIGHTED { simd.mul(simd.splat(lam[a]), e) } else { e };
                sums[n][half] = simd.mul_add(first, e, sums[n][half]);
            }
        }
    }
    sums
}
