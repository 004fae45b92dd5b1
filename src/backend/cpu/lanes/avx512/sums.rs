//! Sums over short rows as they stand in memory, by prototype: of all prototypes ([`Whole`]), or of two a row ([`Pulls`]).

use super::ROWS;
use super::tiles::{TILE, first, shift};
use crate::backend::cpu::lanes::Labelled;
use std::arch::x86_64::*;
use std::ops::Range;

/// Prototypes, and their slopes, are filled up to a multiple of so many.
pub(super) const GROUP: usize = 8;

/// Short prototypes, each in one or two registers of its own.
pub(super) struct Whole {
    d: usize,
    w: Vec<__m512>,
}

impl Whole {
    /// The instructions must be there.
    #[target_feature(enable = "avx512f")]
    pub fn new(w: &[f32], d: usize) -> Whole {
        let registers = w.chunks_exact(d).flat_map(|w| w.chunks(ROWS));
        let mut w: Vec<__m512> = registers.map(|values| part(values)).collect();
        w.resize(w.len().next_multiple_of(GROUP * d.div_ceil(ROWS)), _mm512_setzero_ps());
        Whole { d, w }
    }

    /// Registers of the sums.
    pub fn len(&self) -> usize {
        self.w.len()
    }

    /// `H_j += G_ij (x_i - w_j)` for the rows `range`, a tile at most, whose slopes are `slopes`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn add(
        &self,
        rows: &Labelled<'_, f32>,
        range: Range<usize>,
        slopes: &[[__m512; 2]],
        h: &mut [__m512],
    ) {
        match self.d.div_ceil(ROWS) {
            1 => self.add_of::<1, 8>(rows, range, slopes, h),
            2 => self.add_of::<2, 4>(rows, range, slopes, h),
            registers => unreachable!("rows of {registers} registers"),
        }
    }

    /// [`Whole::add`] for rows of `C` registers, `N` prototypes at a time: their sums stay in registers.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add_of<const C: usize, const N: usize>(
        &self,
        rows: &Labelled<'_, f32>,
        range: Range<usize>,
        slopes: &[[__m512; 2]],
        h: &mut [__m512],
    ) {
        let d = self.d;
        let (masks, centre) = masks_and_centre::<C>(rows.centre, d);
        let x = &rows.x[range.start * d..range.end * d];
        let w = self.w.as_chunks::<C>().0.as_chunks::<N>().0;
        let h = h.as_chunks_mut::<C>().0.as_chunks_mut::<N>().0;
        for ((slopes, w), h) in slopes.as_chunks::<N>().0.iter().zip(w).zip(h) {
            // SAFETY: two registers of a prototype are its thirty-two values.
            let slopes: &[[f32; TILE]; N] = unsafe { &*slopes.as_ptr().cast() };
            let (w, mut sums) = (*w, *h);
            for (i, x) in x.chunks_exact(d).enumerate().take(TILE) {
                let mut centred = [_mm512_setzero_ps(); C];
                for c in 0..C {
                    // SAFETY: the row's values from there on are as many as the mask has ones.
                    let x = unsafe { _mm512_maskz_loadu_ps(masks[c], x.as_ptr().add(c * ROWS)) };
                    centred[c] = _mm512_sub_ps(x, centre[c]);
                }
                for n in 0..N {
                    let g = _mm512_set1_ps(slopes[n][i]);
                    for c in 0..C {
                        let e = _mm512_sub_ps(centred[c], w[n][c]);
                        sums[n][c] = _mm512_fmadd_ps(g, e, sums[n][c]);
                    }
                }
            }
            *h = sums;
        }
    }

    /// Adds what `h` holds to sums of `d` values each.
    #[target_feature(enable = "avx512f")]
    pub fn finish(&self, h: &[__m512], sums: &mut [f32]) {
        add_registers(h, self.d.div_ceil(ROWS), self.d, sums);
    }
}

/// Rows next to each other are summed apart: what one adds need not wait for what the one before it has added to the same prototype.
const APART: usize = 4;
/// Registers of sums at most that are apart: so many stay in the cache.
const SUMS: usize = 256;

/// Prototypes of which each row pulls two, each in one, two or four registers of its own.
pub(super) struct Pulls {
    d: usize,
    /// Registers of a prototype.
    registers: usize,
    w: Vec<__m512>,
    /// So many rows are summed apart.
    apart: usize,
}

impl Pulls {
    /// The instructions must be there.
    #[target_feature(enable = "avx512f")]
    pub fn new(w: &[f32], d: usize) -> Pulls {
        let registers = d.div_ceil(ROWS).next_power_of_two();
        let mut all = vec![_mm512_setzero_ps(); w.len() / d * registers];
        for (w, all) in w.chunks_exact(d).zip(all.chunks_exact_mut(registers)) {
            for (w, register) in w.chunks(ROWS).zip(all) {
                *register = part(w);
            }
        }
        let apart = if APART * all.len() <= SUMS { APART } else { 1 };
        Pulls { d, registers, w: all, apart }
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
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn of_rows<const C: usize>(&self, centre: &[f32]) -> Pull<'_, C> {
        assert_eq!(C, self.registers());
        let (masks, centre) = masks_and_centre(centre, self.d);
        Pull { w: self.w.as_chunks().0, masks, centre, apart: self.apart }
    }

    /// Adds what `h` holds to sums of `d` values each.
    #[target_feature(enable = "avx512f")]
    pub fn finish(&self, h: &[__m512], sums: &mut [f32]) {
        for h in h.chunks_exact(self.w.len()) {
            add_registers(h, self.registers, self.d, sums);
        }
    }
}

/// [`Pulls`] of rows of `C` registers.
pub(super) struct Pull<'a, const C: usize> {
    w: &'a [[__m512; C]],
    masks: [u16; C],
    centre: [__m512; C],
    apart: usize,
}

/// Both winners of each row of a tile, and a slope for each.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Pulled {
    pub winners: [[u32; TILE]; 2],
    pub slopes: [[f32; TILE]; 2],
}

impl<const C: usize> Pull<'_, C> {
    /// `H_j += g_i (x_i - w_j)` for both winners j of row `i`, which stands at `x`.
    ///
    /// # Safety
    ///
    /// The row's values are there, winners are prototypes, and at `h` are the registers of the sums.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub unsafe fn add(&self, x: *const f32, i: usize, pulled: &Pulled, h: *mut __m512) {
        let mut centred = [_mm512_setzero_ps(); C];
        for c in 0..C {
            // SAFETY: the row's values from there on are as many as the mask has ones.
            let x = unsafe { _mm512_maskz_loadu_ps(self.masks[c], x.add(c * ROWS)) };
            centred[c] = _mm512_sub_ps(x, self.centre[c]);
        }
        for side in 0..2 {
            let j = pulled.winners[side][i] as usize;
            // SAFETY: j is a prototype, of which there are so many sums.
            let (w, h) = unsafe {
                let apart = (i & (self.apart - 1)) * self.w.len();
                (self.w.get_unchecked(j), &mut *h.cast::<[__m512; C]>().add(apart + j))
            };
            let g = _mm512_set1_ps(pulled.slopes[side][i]);
            for c in 0..C {
                h[c] = _mm512_fmadd_ps(g, _mm512_sub_ps(centred[c], w[c]), h[c]);
            }
        }
    }
}

/// Which values of each register of a row there are, and the centre.
#[inline]
#[target_feature(enable = "avx512f")]
fn masks_and_centre<const C: usize>(centre: &[f32], d: usize) -> ([u16; C], [__m512; C]) {
    let (mut masks, mut registers) = ([0; C], [_mm512_setzero_ps(); C]);
    for c in 0..C {
        masks[c] = first(d.saturating_sub(c * ROWS).min(ROWS));
        registers[c] = shift(centre, c, masks[c]);
    }
    (masks, registers)
}

/// Adds what registers hold, so many a prototype, to sums of `d` values each.
#[target_feature(enable = "avx512f")]
fn add_registers(h: &[__m512], registers: usize, d: usize, sums: &mut [f32]) {
    for (h, sums) in h.chunks_exact(registers).zip(sums.chunks_exact_mut(d)) {
        for (h, sums) in h.iter().zip(sums.chunks_mut(ROWS)) {
            let mut values = [0.0; ROWS];
            // SAFETY: sixteen values.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), *h) };
            sums.iter_mut().zip(values).for_each(|(s, h)| *s += h);
        }
    }
}

/// At most sixteen values, then zeros.
#[target_feature(enable = "avx512f")]
fn part(values: &[f32]) -> __m512 {
    // SAFETY: as many values as the mask has ones.
    unsafe { _mm512_maskz_loadu_ps(u16::MAX >> (ROWS - values.len()), values.as_ptr()) }
}
