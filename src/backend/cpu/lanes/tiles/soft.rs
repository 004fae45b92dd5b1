//! Posteriors of all prototypes and the slopes of a loss that depends on them, a tile of rows at a time.
//!
//! `exp(-D_j/(2 sigma^2))` over its largest is `exp((min k - k_j)/sigma^2)` with `k_j = |w_j|^2/2 - x.w_j`: the row's own norm cancels.

use super::panels::Panels;
use super::products::Products;
use super::registers::Registers;
use super::short::Source;
use super::tile::{LARGEST, Tile, Tiles, registers_of, tile, turn_back, values_of};
use super::{Room, exp2, ln};
use crate::backend::cpu::lanes::{Labelled, Slopes, SoftSums};
use crate::parts::objective::Shares;
use pulp::NullaryFnOnce;

/// A loss by the posteriors of right and of wrong prototypes.
#[derive(Clone, Copy)]
pub struct Loss<F> {
    pub sigma: f32,
    pub shares: F,
}

impl<S: Registers> Products<S> {
    /// Fills `out`.
    pub fn posteriors(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room<S>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: Slopes<'_, f32>,
    ) {
        self.simd.run(Posteriors { products: self, rows, room, loss, out });
    }

    /// Losses, and the sums over rows. Panics where rows are turned and prototypes are not short and few.
    pub fn soft_step(
        &self,
        rows: Source<'_, S>,
        room: &mut Room<S>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: SoftSums<'_, f32>,
    ) {
        match rows {
            _ if self.short => self.short_step(rows, room, loss, out),
            Source::Rows(rows) => {
                self.simd.run(LongStep { products: self, rows, room, loss, out });
            }
            Source::Turned { .. } => panic!("turned rows of many prototypes"),
        }
    }

    /// Likelihoods over the largest of their row, in place of the keys `|w|^2/2 - x.w`; what [`Losses`] are made of, and what makes slopes of the likelihoods of
    /// right and of wrong prototypes.
    #[inline(always)]
    fn sides(
        &self,
        tile: &Tile<S>,
        loss: &Loss<impl Fn(f32, f32) -> Shares<f32>>,
        factors: &[f32],
        losses: &mut [f32],
        keys: &mut [[S::Floats; 2]],
    ) -> [[S::Floats; 2]; 2] {
        self.simd.run(Sides { products: self, tile, loss, factors, losses, keys })
    }

    /// `dL/dD` in place of likelihoods; what each prototype's add up to is added to `totals`.
    #[inline(always)]
    pub(super) fn weigh(
        &self,
        classes: [S::Words; 2],
        [right, wrong]: [[S::Floats; 2]; 2],
        slopes: &mut [[S::Floats; 2]],
        totals: &mut [S::Floats],
    ) {
        let (simd, p) = (self.simd, self.packed.p);
        let mut rest = (&mut slopes[..p], &mut totals[..p]);
        for (label, count) in &self.packed.runs {
            let label = simd.splat_word(*label);
            let mut share = [simd.zero(); 2];
            for half in 0..2 {
                let hit = simd.same(classes[half], label);
                share[half] = simd.select(hit, right[half], wrong[half]);
            }
            let (slopes, totals);
            (slopes, rest.0) = rest.0.split_at_mut(*count);
            (totals, rest.1) = rest.1.split_at_mut(*count);
            for (slope, total) in slopes.iter_mut().zip(totals) {
                for half in 0..2 {
                    slope[half] = simd.mul(slope[half], share[half]);
                }
                *total = simd.add(*total, simd.add(slope[0], slope[1]));
            }
        }
    }

    /// Likelihoods over the largest of their row, in place of the keys; their sums over right and over wrong prototypes. `least`: the least keys.
    #[inline(always)]
    pub(super) fn likelihoods(
        &self,
        classes: [S::Words; 2],
        sigma: f32,
        least: [S::Floats; 2],
        keys: &mut [[S::Floats; 2]],
    ) -> [[S::Floats; 2]; 2] {
        let simd = self.simd;
        let keys = &mut keys[..self.packed.p];
        // (In powers of two.)
        let mut scale = simd.splat(std::f32::consts::LOG2_E / (sigma * sigma));
        let mut from = [simd.mul(least[0], scale), simd.mul(least[1], scale)];
        let coarse = simd.splat(COARSE);
        let fine = from.map(|from| simd.less(simd.abs(from), coarse));
        let both = simd.and(fine[0], fine[1]);
        if simd.any(simd.and_not(both, simd.first(S::ROWS))) {
            // Each of them times the scale may be out of range, or what is left of the nearest far from 0: their differences first.
            for key in &mut *keys {
                for half in 0..2 {
                    key[half] = simd.mul(simd.sub(key[half], least[half]), scale);
                }
            }
            (scale, from) = (simd.splat(1.0), [simd.zero(); 2]);
        }
        let [mut right, mut wrong] = [[simd.zero(); 2]; 2];
        let mut rest = keys;
        for (label, count) in &self.packed.runs {
            let label = simd.splat_word(*label);
            let keys;
            (keys, rest) = rest.split_at_mut(*count);
            let mut sum = [simd.zero(); 2];
            for key in keys {
                for half in 0..2 {
                    let e = exp2(simd, simd.sub_product(key[half], scale, from[half]));
                    sum[half] = simd.add(sum[half], e);
                    key[half] = e;
                }
            }
            for half in 0..2 {
                let hit = simd.same(classes[half], label);
                right[half] = simd.add_where(hit, right[half], sum[half]);
                wrong[half] = simd.add_elsewhere(hit, wrong[half], sum[half]);
            }
        }
        [right, wrong]
    }
}

/// Below this numbers are no further apart than 1/4: a power of two of one of them is off by a tenth at most, and so are all of a row.
const COARSE: f32 = (1u32 << 22) as f32;

/// [`Products::posteriors`]
struct Posteriors<'a, S: Registers, F> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    loss: Loss<F>,
    out: Slopes<'a, f32>,
}

impl<S: Registers, F: Fn(f32, f32) -> Shares<f32>> NullaryFnOnce for Posteriors<'_, S, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Posteriors { products, rows, room, loss, out: Slopes { factors, losses, g } } = self;
        let Products { simd, packed, .. } = products;
        let (simd, p) = (*simd, packed.p);
        let Room { turned, slopes, h, .. } = room;
        let mut tiles = Tiles::new(simd, rows, packed.d, turned);
        slopes.resize(packed.labels.len(), [simd.zero(); 2]);
        // (Nobody asks for their sums.)
        h.clear();
        h.resize(packed.labels.len(), simd.zero());
        for g in g.chunks_mut(tile::<S>() * p) {
            let Some(tile) = tiles.next() else { break };
            products.products(tiles.turned, tile.ahead, slopes);
            let sides = products.sides(&tile, &loss, factors, losses, slopes);
            products.weigh(tile.classes, sides, slopes, h);
            for (half, g) in g.chunks_mut(S::ROWS * p).enumerate() {
                turn_back(simd, &slopes[..p], half, (0, p), g);
            }
        }
        simd.run(Losses(losses));
    }
}

/// [`Products::sides`]
struct Sides<'a, S: Registers, F> {
    products: &'a Products<S>,
    tile: &'a Tile<S>,
    loss: &'a Loss<F>,
    factors: &'a [f32],
    losses: &'a mut [f32],
    keys: &'a mut [[S::Floats; 2]],
}

impl<S: Registers, F: Fn(f32, f32) -> Shares<f32>> NullaryFnOnce for Sides<'_, S, F> {
    type Output = [[S::Floats; 2]; 2];

    #[inline(always)]
    fn call(self) -> Self::Output {
        let Sides { products, tile, loss, factors, losses, keys } = self;
        let simd = products.simd;
        let mut least = [simd.splat(f32::INFINITY); 2];
        lessen(simd, &mut least, &keys[..products.packed.p]);
        let sides = products.likelihoods(tile.classes, loss.sigma, least, keys);
        let (likelihoods, sides) = loss.shared(simd, tile.load(factors), sides);
        tile.store(likelihoods, losses);
        sides
    }
}

/// The least of both registers of `least` and of those of each key.
#[inline(always)]
pub(super) fn lessen<S: Registers>(simd: S, least: &mut [S::Floats; 2], keys: &[[S::Floats; 2]]) {
    // (Four at a time: none waits for the one before.)
    let (four, rest) = keys.as_chunks::<4>();
    for key in four {
        for half in 0..2 {
            let [a, b, c, d] = [key[0][half], key[1][half], key[2][half], key[3][half]];
            least[half] = simd.min(least[half], simd.min(simd.min(a, b), simd.min(c, d)));
        }
    }
    for key in rest {
        for half in 0..2 {
            least[half] = simd.min(least[half], key[half]);
        }
    }
}

impl<F: Fn(f32, f32) -> Shares<f32>> Loss<F> {
    /// What [`Losses`] are made of, and what makes slopes of the likelihoods of right and of wrong prototypes, whose sums are given.
    #[inline(always)]
    pub(super) fn shared<S: Registers>(
        &self,
        simd: S,
        weights: [S::Floats; 2],
        [right, wrong]: [[S::Floats; 2]; 2],
    ) -> ([S::Floats; 2], [[S::Floats; 2]; 2]) {
        let (mut right, mut wrong) = (values_of(simd, right), values_of(simd, wrong));
        let weights = values_of(simd, weights);
        let mut likelihoods = [0.0; LARGEST];
        for l in 0..tile::<S>() {
            let unit = 1.0 / (right[l] + wrong[l]);
            let shares = (self.shares)(right[l] * unit, wrong[l] * unit);
            likelihoods[l] = shares.likelihood;
            let weight = weights[l] * unit;
            (right[l], wrong[l]) = (shares.right * weight, shares.wrong * weight);
        }
        let sides = [registers_of(simd, &right), registers_of(simd, &wrong)];
        (registers_of(simd, &likelihoods), sides)
    }
}

/// Losses in place of what they are the negative logarithms of: of all rows at once, so that none waits for another.
pub(super) struct Losses<'a>(pub &'a mut [f32]);

impl NullaryFnOnce for Losses<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for loss in self.0 {
            *loss = -ln(*loss);
        }
    }
}

/// [`Products::soft_step`] of others: so many tiles at a time as [`Panels`] takes.
struct LongStep<'a, S: Registers, F> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    loss: Loss<F>,
    out: SoftSums<'a, f32>,
}

impl<S: Registers, F: Fn(f32, f32) -> Shares<f32>> NullaryFnOnce for LongStep<'_, S, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let LongStep { products, rows, room, loss, out } = self;
        let SoftSums { factors, losses, mut sums } = out;
        let Products { simd, packed, .. } = products;
        let (simd, n) = (*simd, rows.of.len());
        let Room { turned, slopes, keys, panel, h, .. } = room;
        let mut tiles = Tiles::new(simd, rows, packed.d, turned);
        keys.resize(packed.labels.len(), [simd.zero(); 2]);
        let mut panels = Panels::new(products, slopes, h, panel);
        let some = panels.tiles * tile::<S>();
        for start in (0..n).step_by(some) {
            for k in 0..panels.tiles {
                let Some(tile) = tiles.next() else { break };
                products.products(tiles.turned, tile.ahead, keys);
                let sides = products.sides(&tile, &loss, factors, losses, keys);
                if sums.is_some() {
                    products.weigh(tile.classes, sides, keys, panels.totals);
                    // What fills up the last group.
                    keys[packed.p..].fill([simd.zero(); 2]);
                    panels.put(k, keys);
                }
            }
            if let Some(sums) = &mut sums {
                panels.add(rows, start..(start + some).min(n), sums);
            }
        }
        simd.run(Losses(losses));
    }
}
