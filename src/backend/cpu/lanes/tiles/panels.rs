//! Sums over rows of any length, of which each pulls all prototypes: `H_j = sum_i G_ij x_i - w_j sum_i G_ij`, where the first is a product of slopes and
//! rows.
//!
//! Two registers of features are a panel. A panel of many rows stays in the nearest cache while the prototypes pass, a group at a time, whose sums stay in
//! registers from the first row to the last. Slopes are read as the tiles leave them, group by group: a value for each row of a tile.

use super::products::{Products, run_by_size};
use super::registers::Registers;
use super::sums::{add_row, sum_of};
use super::tile::{shift, tile};
use crate::backend::cpu::lanes::Labelled;
use pulp::NullaryFnOnce;
use std::ops::Range;

/// Bytes of a panel at most, beside which there is room for slopes.
const PANEL: usize = 24 << 10;
/// Bytes of slopes at most.
const SLOPES: usize = 1 << 20;

/// Slopes of as many tiles as are summed at a time.
pub(super) struct Panels<'a, S: Registers> {
    products: &'a Products<S>,
    /// So many tiles.
    pub tiles: usize,
    /// For each group of prototypes, for each tile: two registers a prototype.
    slopes: &'a mut [[S::Floats; 2]],
    /// The sum of each prototype's slopes, which whoever puts them adds.
    pub totals: &'a mut [S::Floats],
    panel: &'a mut Vec<[S::Floats; 2]>,
}

impl<'a, S: Registers> Panels<'a, S> {
    #[inline(always)]
    pub fn new(
        products: &'a Products<S>,
        slopes: &'a mut Vec<[S::Floats; 2]>,
        totals: &'a mut Vec<S::Floats>,
        panel: &'a mut Vec<[S::Floats; 2]>,
    ) -> Self {
        let (zero, all) = (products.simd.zero(), products.packed.labels.len());
        // A row of a panel, and a prototype's slopes of a tile, are two registers.
        let pair = size_of::<[S::Floats; 2]>();
        let tiles = (PANEL / pair / tile::<S>()).min(SLOPES / pair / all).max(1);
        slopes.resize(tiles * all, [zero; 2]);
        totals.clear();
        totals.resize(all, zero);
        Panels { products, tiles, slopes, totals, panel }
    }

    /// Takes the slopes of a tile.
    #[inline(always)]
    pub fn put(&mut self, tile: usize, slopes: &[[S::Floats; 2]]) {
        let size = self.products.packed.size;
        let groups = self.slopes.chunks_exact_mut(self.tiles * size);
        for (to, slopes) in groups.zip(slopes.chunks_exact(size)) {
            // (A copy would be a call for each.)
            for (to, slopes) in to[tile * size..][..size].iter_mut().zip(slopes) {
                *to = *slopes;
            }
        }
    }

    /// Adds what the rows `range` pull, whose tiles' slopes were put; then begins anew.
    #[inline(always)]
    pub fn add(&mut self, rows: &Labelled<'_, f32>, range: Range<usize>, sums: &mut [f32]) {
        let simd = self.products.simd;
        for total in &mut *self.totals {
            *total = simd.splat(sum_of(simd, *total));
        }
        let panels = &mut *self;
        run_by_size!(panels.products, Add { panels, rows, range, sums });
        self.totals.fill(simd.zero());
    }
}

/// [`Panels::add`] of groups of `N` prototypes.
struct Add<'a, 'b, S: Registers, const N: usize> {
    panels: &'a mut Panels<'b, S>,
    rows: &'a Labelled<'a, f32>,
    range: Range<usize>,
    sums: &'a mut [f32],
}

impl<S: Registers, const N: usize> NullaryFnOnce for Add<'_, '_, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Add { panels: Panels { products, tiles, slopes, totals, panel }, rows, range, sums } =
            self;
        let Products { simd, packed, w, .. } = products;
        let (simd, d, p) = (*simd, packed.d, packed.p);
        assert!(rows.centre.is_empty() || rows.centre.len() == d);
        assert!(w.len() == p * d && sums.len() == p * d);
        let x = &rows.x[range.start * d..range.end * d];
        for (c, first) in (0..d).step_by(2 * S::ROWS).enumerate() {
            let within = d - first;
            let is_full = within >= 2 * S::ROWS;
            let masks = [
                simd.first(within.min(S::ROWS)),
                simd.first(within.saturating_sub(S::ROWS).min(S::ROWS)),
            ];
            let mut centre = [simd.zero(); 2];
            for half in 0..2 {
                // SAFETY: the centre has a value for each feature.
                centre[half] = unsafe { shift(simd, rows.centre, 2 * c + half, masks[half]) };
            }
            panel.resize(range.len(), [simd.zero(); 2]);
            for (i, to) in panel.iter_mut().enumerate() {
                let from = x[i * d + first..].as_ptr();
                // SAFETY: there are values in all places, or in those of the masks.
                let row = unsafe { load(simd, from, is_full, masks) };
                *to = [simd.sub(row[0], centre[0]), simd.sub(row[1], centre[1])];
            }
            let groups = slopes.chunks_exact(*tiles * N).zip(totals.as_chunks::<N>().0);
            for (g, (slopes, totals)) in groups.enumerate() {
                let of_group = sums_of::<S, N>(simd, panel, slopes);
                for n in 0..N.min(p - g * N) {
                    let at = (g * N + n) * d + first;
                    let to = sums[at..].as_mut_ptr();
                    // SAFETY: there are values in all places, or in those of the masks.
                    let (w, before) = unsafe {
                        let w = load(simd, w[at..].as_ptr(), is_full, masks);
                        (w, load(simd, to, is_full, masks))
                    };
                    for half in 0..2 {
                        let sum = simd.sub_product(totals[n], w[half], of_group[n][half]);
                        let sum = simd.add(before[half], sum);
                        let to = to.wrapping_add(half * S::ROWS);
                        // SAFETY: there is room in all places, or in those of the mask.
                        unsafe {
                            if is_full {
                                simd.store(to, sum)
                            } else {
                                simd.store_part(to, masks[half], sum)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Two registers of features, or what there is of them.
///
/// # Safety
///
/// There are values in all places if there are two, else in those of the masks.
#[inline(always)]
unsafe fn load<S: Registers>(
    simd: S,
    from: *const f32,
    is_full: bool,
    masks: [S::Mask; 2],
) -> [S::Floats; 2] {
    let mut values = [simd.zero(); 2];
    for half in 0..2 {
        let from = from.wrapping_add(half * S::ROWS);
        // SAFETY: as the caller says.
        values[half] =
            unsafe { if is_full { simd.load(from) } else { simd.load_part(masks[half], from) } };
    }
    values
}

/// Sums of a panel's rows, times the slopes of the `N` prototypes of a group.
#[inline(always)]
fn sums_of<S: Registers, const N: usize>(
    simd: S,
    panel: &[[S::Floats; 2]],
    slopes: &[[S::Floats; 2]],
) -> [[S::Floats; 2]; N] {
    let mut sums = [[simd.zero(); 2]; N];
    for (rows, slopes) in panel.chunks(tile::<S>()).zip(slopes.as_chunks::<N>().0) {
        // Two registers of a prototype are a value for each row of the tile.
        let slopes: *const f32 = slopes.as_ptr().cast();
        for (i, row) in rows.iter().enumerate() {
            // SAFETY: there are `N` prototypes, and row i is one of the tile.
            unsafe { add_row(simd, row, slopes.add(i), &mut sums) };
        }
    }
    sums
}
