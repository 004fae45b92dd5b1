//! Winner pairs, and the slopes of a loss that depends on their distances.
//!
//! A winner is where a value is the least of its side: who that is need not be known, but where several are as near.

use super::{Grouped, Lot, OfRows, Parts, Short, Source, TILES};
use crate::backend::cpu::lanes::tiles::Room;
use crate::backend::cpu::lanes::tiles::few::{Few, Trust, with_size};
use crate::backend::cpu::lanes::tiles::nearest::Found;
use crate::backend::cpu::lanes::tiles::products::sums_and_norms_of;
use crate::backend::cpu::lanes::tiles::registers::Registers;
use crate::backend::cpu::lanes::tiles::tile::{Coming, LARGEST, Nothing, tile};
use crate::backend::cpu::lanes::{Judged, SoftSums};
use crate::parts::objective::{EPS, PairObjective};
use pulp::NullaryFnOnce;

impl<S: Registers> Few<S> {
    pub(in super::super) fn short_step<O: PairObjective<f32>>(
        &self,
        grouped: &Grouped,
        source: Source<'_, S>,
        room: &mut Room<S>,
        objective: &O,
        out: Judged<'_, f32>,
    ) {
        let few = self;
        with_size!(self, |N| self.simd.run(Step::<S, O, N> {
            few,
            grouped,
            source,
            room,
            objective,
            out
        }))
    }
}

/// [`Few::short_step`] of groups of `N` prototypes.
struct Step<'a, S: Registers, O, const N: usize> {
    few: &'a Few<S>,
    grouped: &'a Grouped,
    source: Source<'a, S>,
    room: &'a mut Room<S>,
    objective: &'a O,
    out: Judged<'a, f32>,
}

impl<S: Registers, O: PairObjective<f32>, const N: usize> NullaryFnOnce for Step<'_, S, O, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Step { few, grouped, source, room, objective, out } = self;
        let Few { simd, packed, .. } = few;
        let Judged { factors, scale, losses, any, sums } = out;
        let (simd, d, w, room_for) = (*simd, packed.d, &grouped.w, packed.labels.len());
        let out = SoftSums { factors, losses, sums };
        let short = Short { simd, w, d, room_for, source, room, out };
        short.run(Winners::<S, O, N> {
            few,
            grouped,
            objective,
            scale,
            any,
            trust: few.trust(),
            least: [[[simd.zero(); 2]; 2]; TILES],
            distances: [[0.0; TILES * LARGEST]; 2],
            eps: [0.0; TILES * LARGEST],
            told: [false; TILES],
        });
    }
}

struct Winners<'a, S: Registers, O, const N: usize> {
    few: &'a Few<S>,
    grouped: &'a Grouped,
    objective: &'a O,
    /// A factor of all sums.
    scale: f32,
    /// Any prototype of a class and any of others, for rows without a winner.
    any: &'a dyn Fn(u32) -> [u32; 2],
    trust: Trust,
    /// The least value of its class and of all others for each row of some tiles.
    least: [[[S::Floats; 2]; 2]; TILES],
    /// Their distances, then the slopes.
    distances: [[f32; TILES * LARGEST]; 2],
    eps: [f32; TILES * LARGEST],
    /// Whether products tell the distances of a tile. Where they do, sums of products tell its slopes as well.
    told: [bool; TILES],
}

impl<S: Registers, O: PairObjective<f32>, const N: usize> Parts<S> for Winners<'_, S, O, N> {
    const DIFFERENCES: bool = true;

    #[inline(always)]
    fn hold(
        &mut self,
        (t, start): (usize, usize),
        x: &[[S::Floats; 2]],
        of_rows: &OfRows<'_, S>,
        coming: &mut Coming<S>,
        values: &mut [[S::Floats; 2]],
    ) {
        let Winners { few, trust, least, distances, told, .. } = self;
        let simd = few.simd;
        let (classes, masks) = (of_rows.classes(start), of_rows.masks(start));
        let found = few.least_values::<N>(trust, x, (classes, masks), coming, values);
        (least[t], told[t]) = (found.least, found.told);
        for side in 0..2 {
            for half in 0..2 {
                let to = &mut distances[side][t * tile::<S>() + half * S::ROWS..][..S::ROWS];
                // SAFETY: there is room for as many values.
                unsafe { simd.store(to.as_mut_ptr(), found.distances[side][half]) };
            }
        }
    }

    #[inline(always)]
    fn weigh(
        &mut self,
        lot: &Lot<'_, S>,
        of_rows: &mut OfRows<'_, S>,
        coming: &mut Coming<S>,
        slopes: &mut [[S::Floats; 2]],
        totals: Option<&mut [S::Floats]>,
    ) {
        let Winners { few, objective, scale, any, least, distances, eps, told, .. } = self;
        let (simd, packed) = (few.simd, &few.packed);
        let (n, all) = (lot.rows.len(), lot.all);
        eps[..n].fill(EPS as f32);
        let [plus, minus] = distances;
        let losses = &mut of_rows.losses[lot.rows.clone()];
        objective.pairs(&mut plus[..n], &mut minus[..n], &mut eps[..n], losses);
        let Some(totals) = totals else { return };
        let scale = simd.splat(*scale);
        for (t, start) in lot.tiles() {
            let (classes, masks) = (of_rows.classes(start), of_rows.masks(start));
            coming.ask_beside_slopes();
            let factors = of_rows.factors(start);
            let mut sides = [[simd.zero(); 2]; 2];
            for half in 0..2 {
                // Rows that do not count are left out, whatever their slopes are.
                let counts = simd.not_zero(factors[half]);
                let factors = simd.mul(factors[half], scale);
                for (side, values) in [&*plus, &*minus].into_iter().enumerate() {
                    let from = values[t * tile::<S>() + half * S::ROWS..][..S::ROWS].as_ptr();
                    // SAFETY: there are as many values.
                    let slope = unsafe { simd.load(from) };
                    sides[side][half] = simd.select(counts, simd.mul(slope, factors), simd.zero());
                }
            }
            let slopes = &mut slopes[t * all..][..packed.p];
            if !few.share(classes, masks, least[t], sides, slopes) {
                let of = &of_rows.of[start..(start + tile::<S>()).min(lot.rows.end)];
                let x = &lot.x[t * packed.d..][..packed.d];
                let (any, slopes) = (*any, &mut *slopes);
                simd.run(Ties { few, any, of, classes, masks, x, sides, slopes });
            }
            if !told[t] {
                continue;
            }
            for (total, slope) in totals.iter_mut().zip(&*slopes) {
                *total = simd.add(*total, simd.add(slope[0], slope[1]));
            }
        }
    }

    #[inline(always)]
    fn differences(&self, t: usize) -> Option<&Grouped> {
        (!self.told[t]).then_some(self.grouped)
    }
}

/// Slopes of a tile in which a side has several winners, or none.
struct Ties<'a, S: Registers> {
    few: &'a Few<S>,
    any: &'a dyn Fn(u32) -> [u32; 2],
    of: &'a [u32],
    classes: [S::Words; 2],
    masks: [S::Mask; 2],
    x: &'a [[S::Floats; 2]],
    sides: [[S::Floats; 2]; 2],
    slopes: &'a mut [[S::Floats; 2]],
}

impl<S: Registers> NullaryFnOnce for Ties<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Ties { few, any, of, classes, masks, x, sides, slopes } = self;
        let simd = few.simd;
        let mut found = Found::default();
        few.by_differences(x, classes, &mut Nothing).leave(masks, &mut found);
        if found.is_short {
            found.fill(of, any, few.packed.p);
        }
        for (j, slope) in slopes.iter_mut().enumerate() {
            let number = simd.splat_word(j as i32);
            for half in 0..2 {
                let mut wins = [simd.first(0); 2];
                for side in 0..2 {
                    let from = found.winners[side][half * S::ROWS..][..S::ROWS].as_ptr();
                    // SAFETY: there are as many values.
                    wins[side] = simd.same(unsafe { simd.load_words(from) }, number);
                }
                let other = simd.select(wins[1], sides[1][half], simd.zero());
                slope[half] = simd.select(wins[0], sides[0][half], other);
            }
        }
    }
}

/// What is found of a tile.
struct Held<S: Registers> {
    /// The least value of its class and of all others for each row.
    least: [[S::Floats; 2]; 2],
    /// Their distances.
    distances: [[S::Floats; 2]; 2],
    /// Whether products tell those: values are `|w|^2/2 - x.w` then, else the distances.
    told: bool,
}

impl<S: Registers> Few<S> {
    /// The values of all prototypes and a tile's rows, and the least of them.
    #[inline(always)]
    fn least_values<const N: usize>(
        &self,
        trust: &mut Trust,
        x: &[[S::Floats; 2]],
        (classes, masks): ([S::Words; 2], [S::Mask; 2]),
        coming: &mut Coming<S>,
        values: &mut [[S::Floats; 2]],
    ) -> Held<S> {
        let simd = self.simd;
        if !trust.by_products() {
            self.values_by_differences::<N>(x, coming, values);
            let least = self.least(classes, values);
            return Held { least, distances: least, told: false };
        }
        let mut norms = [simd.zero(); 2];
        let groups = self.halves.groups::<N>().zip(values.as_chunks_mut::<N>().0);
        for (g, ((w, starts, _), values)) in groups.enumerate() {
            let group = (w, starts);
            *values = sums_and_norms_of::<S, N>(simd, g, x, coming, group, &mut norms);
        }
        let least = self.least(classes, values);
        let mut distances = least;
        let told = self.are_told(masks, norms, &mut distances);
        trust.learn(told);
        if told {
            return Held { least, distances, told };
        }
        let least = simd.run(Again { few: self, x, classes, values });
        Held { least, distances: least, told }
    }

    /// Slopes in place of the values of all prototypes: those of both sides where a value is the least, else 0. Returns whether each row of `masks` has
    /// one winner a side.
    #[inline(always)]
    fn share(
        &self,
        classes: [S::Words; 2],
        masks: [S::Mask; 2],
        least: [[S::Floats; 2]; 2],
        sides: [[S::Floats; 2]; 2],
        values: &mut [[S::Floats; 2]],
    ) -> bool {
        let simd = self.simd;
        let mut winners = [simd.zero(); 2];
        let mut rest = values;
        for (label, count) in &self.packed.runs {
            let label = simd.splat_word(*label);
            // Of the class or of the others, as the row is.
            let (mut slope, mut least_of) = (sides[0], least[0]);
            for half in 0..2 {
                let own = simd.same(classes[half], label);
                least_of[half] = simd.select(own, least[0][half], least[1][half]);
                slope[half] = simd.select(own, sides[0][half], sides[1][half]);
            }
            let run;
            (run, rest) = rest.split_at_mut(*count);
            for value in run {
                for half in 0..2 {
                    let wins = simd.equal(value[half], least_of[half]);
                    value[half] = simd.select(wins, slope[half], simd.zero());
                    winners[half] = simd.add_where(wins, winners[half], simd.splat(1.0));
                }
            }
        }
        let mut two = true;
        for half in 0..2 {
            let are_two = simd.equal(winners[half], simd.splat(2.0));
            two &= !simd.any(simd.and_not(are_two, masks[half]));
        }
        two
    }

    /// The least of its class and of all others, of the values of all prototypes.
    #[inline(always)]
    fn least(&self, classes: [S::Words; 2], values: &[[S::Floats; 2]]) -> [[S::Floats; 2]; 2] {
        let simd = self.simd;
        let infinity = simd.splat(f32::INFINITY);
        let mut sides = [[infinity; 2]; 2];
        let mut rest = values;
        for (label, count) in &self.packed.runs {
            let label = simd.splat_word(*label);
            let run;
            (run, rest) = rest.split_at(*count);
            let mut least = [infinity; 2];
            for value in run {
                for half in 0..2 {
                    // (The second operand is what the minimum is where one is not a number.)
                    least[half] = simd.min(value[half], least[half]);
                }
            }
            for half in 0..2 {
                let own = simd.same(classes[half], label);
                let [plus, minus] = [sides[0][half], sides[1][half]];
                sides[0][half] = simd.select(own, simd.min(least[half], plus), plus);
                sides[1][half] = simd.select(own, minus, simd.min(least[half], minus));
            }
        }
        sides
    }
}

/// [`Few::least_values`] by differences, where products did not tell. (By itself: it is seldom.)
struct Again<'a, S: Registers> {
    few: &'a Few<S>,
    x: &'a [[S::Floats; 2]],
    classes: [S::Words; 2],
    values: &'a mut [[S::Floats; 2]],
}

impl<S: Registers> NullaryFnOnce for Again<'_, S> {
    type Output = [[S::Floats; 2]; 2];

    #[inline(always)]
    fn call(self) -> [[S::Floats; 2]; 2] {
        let Again { few, x, classes, values } = self;
        with_size!(few, |N| few.values_by_differences::<N>(x, &mut Nothing, values));
        few.least(classes, values)
    }
}
