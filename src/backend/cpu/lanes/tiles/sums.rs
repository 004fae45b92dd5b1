//! Sums over short rows as they stand in memory, by prototype: of all prototypes ([`Whole`]), or of two a row ([`Pulls`]).

use super::registers::{MOST, Registers};
use super::tile::{LARGEST, shift, tile};
use crate::backend::cpu::lanes::Labelled;
use std::ops::Range;

/// Prototypes, and their slopes, are filled up to a multiple of so many.
pub(super) const GROUP: usize = 8;

/// Short prototypes, each in a few registers of its own.
pub(super) struct Whole<S: Registers> {
    simd: S,
    d: usize,
    w: Vec<S::Floats>,
}

impl<S: Registers> Whole<S> {
    pub fn new(simd: S, w: &[f32], d: usize) -> Self {
        let registers = d.div_ceil(S::ROWS);
        let mut w = laid_out(simd, w, d, registers);
        w.resize(w.len().next_multiple_of(GROUP * registers), simd.zero());
        Whole { simd, d, w }
    }

    /// Registers of the sums.
    pub fn len(&self) -> usize {
        self.w.len()
    }

    /// `H_j += G_ij (x_i - w_j)` for the rows `range`, a tile at most, whose slopes are `slopes`.
    #[inline(always)]
    pub fn add(
        &self,
        rows: &Labelled<'_, f32>,
        range: Range<usize>,
        slopes: &[[S::Floats; 2]],
        h: &mut [S::Floats],
    ) {
        match self.d.div_ceil(S::ROWS) {
            1 => self.add_of::<1, 8>(rows, range, slopes, h),
            2 => self.add_of::<2, 4>(rows, range, slopes, h),
            3 if S::ROWS < 16 => self.add_of::<3, 2>(rows, range, slopes, h),
            4 if S::ROWS < 16 => self.add_of::<4, 2>(rows, range, slopes, h),
            registers => unreachable!("rows of {registers} registers"),
        }
    }

    /// [`Whole::add`] for rows of `C` registers, `N` prototypes at a time: their sums stay in registers.
    #[inline(always)]
    fn add_of<const C: usize, const N: usize>(
        &self,
        rows: &Labelled<'_, f32>,
        range: Range<usize>,
        slopes: &[[S::Floats; 2]],
        h: &mut [S::Floats],
    ) {
        let (simd, d) = (self.simd, self.d);
        let (masks, centre) = masks_and_centre::<S, C>(simd, rows.centre, d);
        let x = &rows.x[range.start * d..range.end * d];
        let w = self.w.as_chunks::<C>().0.as_chunks::<N>().0;
        let h = h.as_chunks_mut::<C>().0.as_chunks_mut::<N>().0;
        for ((slopes, w), h) in slopes.as_chunks::<N>().0.iter().zip(w).zip(h) {
            // Two registers of a prototype are a value for each row of the tile.
            let slopes: *const f32 = slopes.as_ptr().cast();
            let (w, mut sums) = (*w, *h);
            for (i, x) in x.chunks_exact(d).enumerate().take(tile::<S>()) {
                let mut centred = [simd.zero(); C];
                for c in 0..C {
                    // SAFETY: the row has values from there on in the places of the mask.
                    let x = unsafe { simd.load_part(masks[c], x.as_ptr().add(c * S::ROWS)) };
                    centred[c] = simd.sub(x, centre[c]);
                }
                for n in 0..N {
                    // SAFETY: there are `N` prototypes, and row i is one of the tile.
                    let g = simd.splat(unsafe { *slopes.add(n * tile::<S>() + i) });
                    for c in 0..C {
                        let e = simd.sub(centred[c], w[n][c]);
                        sums[n][c] = simd.mul_add(g, e, sums[n][c]);
                    }
                }
            }
            *h = sums;
        }
    }

    /// Adds what `h` holds to sums of `d` values each.
    #[inline(always)]
    pub fn finish(&self, h: &[S::Floats], sums: &mut [f32]) {
        add_registers(self.simd, h, self.d.div_ceil(S::ROWS), self.d, sums);
    }
}

/// Rows next to each other are summed apart: what one adds need not wait for what the one before it has added to the same prototype.
const APART: usize = 4;
/// Values of sums at most that are apart: so many stay in the cache.
const SUMS: usize = 4096;

/// Prototypes of which each row pulls two, each in one, two, four or eight registers of its own.
pub(super) struct Pulls<S: Registers> {
    simd: S,
    d: usize,
    /// Registers of a prototype.
    registers: usize,
    w: Vec<S::Floats>,
    /// So many rows are summed apart.
    apart: usize,
}

impl<S: Registers> Pulls<S> {
    pub fn new(simd: S, w: &[f32], d: usize) -> Self {
        let registers = d.div_ceil(S::ROWS).next_power_of_two();
        let w = laid_out(simd, w, d, registers);
        let apart = if APART * w.len() * S::ROWS <= SUMS { APART } else { 1 };
        Pulls { simd, d, registers, w, apart }
    }

    /// Registers of the sums.
    pub fn len(&self) -> usize {
        self.apart * self.w.len()
    }

    /// Registers of a row.
    pub fn registers(&self) -> usize {
        self.registers
    }

    /// The same for rows of `C` registers, from which `centre` is taken.
    #[inline(always)]
    pub fn of_rows<const C: usize>(&self, centre: &[f32]) -> Pull<'_, S, C> {
        assert_eq!(C, self.registers());
        let (masks, centre) = masks_and_centre(self.simd, centre, self.d);
        Pull { simd: self.simd, w: self.w.as_chunks().0, masks, centre, apart: self.apart }
    }

    /// Adds what `h` holds to sums of `d` values each.
    #[inline(always)]
    pub fn finish(&self, h: &[S::Floats], sums: &mut [f32]) {
        for h in h.chunks_exact(self.w.len()) {
            add_registers(self.simd, h, self.registers, self.d, sums);
        }
    }
}

/// [`Pulls`] of rows of `C` registers.
pub(super) struct Pull<'a, S: Registers, const C: usize> {
    simd: S,
    w: &'a [[S::Floats; C]],
    masks: [S::Mask; C],
    centre: [S::Floats; C],
    apart: usize,
}

/// Both winners of each row of a tile, and a slope for each.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Pulled {
    pub winners: [[u32; LARGEST]; 2],
    pub slopes: [[f32; LARGEST]; 2],
}

impl<S: Registers, const C: usize> Pull<'_, S, C> {
    /// `H_j += g_i (x_i - w_j)` for both winners j of row `i`, which stands at `x`.
    ///
    /// # Safety
    ///
    /// The row's values are there, winners are prototypes, and at `h` are the registers of the sums.
    #[inline(always)]
    pub unsafe fn add(&self, x: *const f32, i: usize, pulled: &Pulled, h: *mut S::Floats) {
        let simd = self.simd;
        let mut centred = [simd.zero(); C];
        for c in 0..C {
            // SAFETY: the row has values from there on in the places of the mask.
            let x = unsafe { simd.load_part(self.masks[c], x.add(c * S::ROWS)) };
            centred[c] = simd.sub(x, self.centre[c]);
        }
        for side in 0..2 {
            let j = pulled.winners[side][i] as usize;
            // SAFETY: j is a prototype, of which there are so many sums.
            let (w, h) = unsafe {
                let apart = (i & (self.apart - 1)) * self.w.len();
                (self.w.get_unchecked(j), &mut *h.cast::<[S::Floats; C]>().add(apart + j))
            };
            let g = simd.splat(pulled.slopes[side][i]);
            for c in 0..C {
                h[c] = simd.mul_add(g, simd.sub(centred[c], w[c]), h[c]);
            }
        }
    }
}

/// Prototypes of `d` values, so many registers each, filled up with zeros.
fn laid_out<S: Registers>(simd: S, w: &[f32], d: usize, registers: usize) -> Vec<S::Floats> {
    let mut all = Vec::with_capacity(w.len() / d * registers);
    for w in w.chunks_exact(d) {
        let mut values = [0.0; LARGEST * 4];
        values[..d].copy_from_slice(w);
        let registers = values.chunks_exact(S::ROWS).take(registers);
        // SAFETY: there are as many values.
        all.extend(registers.map(|values| unsafe { simd.load(values.as_ptr()) }));
    }
    all
}

/// Which values of each register of a row there are, and the centre.
#[inline(always)]
fn masks_and_centre<S: Registers, const C: usize>(
    simd: S,
    centre: &[f32],
    d: usize,
) -> ([S::Mask; C], [S::Floats; C]) {
    assert!(centre.is_empty() || centre.len() == d);
    let (mut masks, mut registers) = ([simd.first(0); C], [simd.zero(); C]);
    for c in 0..C {
        masks[c] = simd.first(d.saturating_sub(c * S::ROWS).min(S::ROWS));
        // SAFETY: the centre has a value for each feature.
        registers[c] = unsafe { shift(simd, centre, c, masks[c]) };
    }
    (masks, registers)
}

/// Adds what registers hold, so many a prototype, to sums of `d` values each.
#[inline(always)]
fn add_registers<S: Registers>(
    simd: S,
    h: &[S::Floats],
    registers: usize,
    d: usize,
    sums: &mut [f32],
) {
    for (h, sums) in h.chunks_exact(registers).zip(sums.chunks_exact_mut(d)) {
        for (h, sums) in h.iter().zip(sums.chunks_mut(S::ROWS)) {
            let mut values = [0.0; MOST];
            // SAFETY: there is room for as many values.
            unsafe { simd.store(values.as_mut_ptr(), *h) };
            sums.iter_mut().zip(values).for_each(|(s, h)| *s += h);
        }
    }
}
