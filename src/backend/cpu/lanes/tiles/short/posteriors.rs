//! Posteriors of all prototypes, and the slopes of a loss that depends on them.

use super::{Grouped, Lot, OfRows, Parts, Short, Source, TILES};
use crate::backend::cpu::lanes::SoftSums;
use crate::backend::cpu::lanes::tiles::Room;
use crate::backend::cpu::lanes::tiles::products::{Products, run_by_size, sums_of};
use crate::backend::cpu::lanes::tiles::registers::Registers;
use crate::backend::cpu::lanes::tiles::soft::{Loss, Losses, lessen};
use crate::backend::cpu::lanes::tiles::tile::Coming;
use crate::parts::objective::Shares;
use pulp::NullaryFnOnce;

impl<S: Registers> Products<S> {
    pub(in super::super) fn short_step(
        &self,
        source: Source<'_, S>,
        room: &mut Room<S>,
        loss: Loss<impl Fn(f32, f32) -> Shares<f32>>,
        out: SoftSums<'_, f32>,
    ) {
        let products = self;
        run_by_size!(self, Step<_> { products, source, room, loss, out });
    }
}

/// [`Products::short_step`] of groups of `N` prototypes.
struct Step<'a, S: Registers, F, const N: usize> {
    products: &'a Products<S>,
    source: Source<'a, S>,
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
        let Step { products, source, room, loss, out } = self;
        let Products { simd, packed, w, .. } = products;
        let (simd, d, room_for) = (*simd, packed.d, packed.labels.len());
        let SoftSums { factors, losses, sums } = out;
        let out = SoftSums { factors, losses: &mut *losses, sums };
        let (least, sides) = ([[simd.zero(); 2]; TILES], [[[simd.zero(); 2]; 2]; TILES]);
        let short = Short { simd, w, d, room_for, source, room, out };
        short.run(Posteriors::<S, F, N> { products, loss, least, sides });
        simd.run(Losses(losses));
    }
}

struct Posteriors<'a, S: Registers, F, const N: usize> {
    products: &'a Products<S>,
    loss: Loss<F>,
    /// The least key of each row of some tiles.
    least: [[S::Floats; 2]; TILES],
    /// Likelihoods of right and of wrong prototypes.
    sides: [[[S::Floats; 2]; 2]; TILES],
}

impl<S: Registers, F: Fn(f32, f32) -> Shares<f32>, const N: usize> Parts<S>
    for Posteriors<'_, S, F, N>
{
    const DIFFERENCES: bool = false;

    #[inline(always)]
    fn hold(
        &mut self,
        (t, _): (usize, usize),
        x: &[[S::Floats; 2]],
        _: &OfRows<'_, S>,
        coming: &mut Coming<S>,
        slopes: &mut [[S::Floats; 2]],
    ) {
        self.least[t] = self.products.keys_and_least::<N>(x, coming, slopes);
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
        let Posteriors { products, loss, least, sides } = self;
        let (simd, all) = (products.simd, lot.all);
        for (t, start) in lot.tiles() {
            let classes = of_rows.classes(start);
            let keys = &mut slopes[t * all..][..all];
            coming.ask_beside_slopes();
            sides[t] = products.likelihoods(classes, loss.sigma, least[t], keys);
        }
        for (t, start) in lot.tiles() {
            let likelihoods;
            (likelihoods, sides[t]) = loss.shared(simd, of_rows.factors(start), sides[t]);
            of_rows.put_losses(start, likelihoods);
        }
        let Some(totals) = totals else { return };
        for (t, start) in lot.tiles() {
            let classes = of_rows.classes(start);
            let slopes = &mut slopes[t * all..][..all];
            products.weigh(classes, sides[t], slopes, totals);
        }
    }

    #[inline(always)]
    fn differences(&self, _: usize) -> Option<&Grouped> {
        None
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
