//! Sums over short rows as they stand in memory, by prototype, of two a row ([`Pulls`]).

use super::registers::{MOST, Registers};
use super::tile::{LARGEST, shift, tile};
use crate::backend::cpu::lanes::Labelled;
use std::ops::Range;

/// Adds a row `x` to the sums of `N` prototypes, the first of which has the slope `slopes` points at, and each other one a tile's rows further on.
///
/// # Safety
///
/// The slopes are there.
#[inline(always)]
pub(super) unsafe fn add_row<S: Registers, const C: usize, const N: usize>(
    simd: S,
    x: &[S::Floats; C],
    slopes: *const f32,
    sums: &mut [[S::Floats; C]; N],
) {
    for n in 0..N {
        // SAFETY: as the caller says.
        let g = simd.splat(unsafe { *slopes.add(n * tile::<S>()) });
        for c in 0..C {
            sums[n][c] = simd.mul_add(g, x[c], sums[n][c]);
        }
    }
}

/// Rows as they stand in memory, in `C` registers each.
struct Rows<'a, S: Registers, const C: usize> {
    simd: S,
    x: &'a [f32],
    d: usize,
    /// So many rows may be read in whole registers: what is beside their features is there as well.
    all_wide: usize,
    /// The places of each register where there are features.
    masks: [S::Mask; C],
    centre: [S::Floats; C],
    /// Whether there is one.
    is_shifted: bool,
}

impl<'a, S: Registers, const C: usize> Rows<'a, S, C> {
    #[inline(always)]
    fn new(simd: S, rows: &Labelled<'a, f32>, d: usize) -> Self {
        assert!(rows.centre.is_empty() || rows.centre.len() == d);
        let (mut masks, mut centre) = ([simd.first(0); C], [simd.zero(); C]);
        for c in 0..C {
            masks[c] = simd.first(d.saturating_sub(c * S::ROWS).min(S::ROWS));
            // SAFETY: the centre has a value for each feature.
            centre[c] = unsafe { shift(simd, rows.centre, c, masks[c]) };
        }
        let rest = rows.x.len().checked_sub(C * S::ROWS);
        let all_wide = rest.map_or(0, |rest| rest / d + 1);
        let is_shifted = !rows.centre.is_empty();
        Rows { simd, x: rows.x, d, all_wide, masks, centre, is_shifted }
    }

    /// Row `i` minus the centre, if it is `SHIFTED`. Beside its features there is anything.
    ///
    /// # Safety
    ///
    /// It is one of those that may be read in whole registers.
    #[inline(always)]
    unsafe fn wide<const SHIFTED: bool>(&self, i: usize) -> [S::Floats; C] {
        let mut centred = [self.simd.zero(); C];
        for c in 0..C {
            // SAFETY: there are as many values.
            let x = unsafe { self.simd.load(self.x.as_ptr().add(i * self.d + c * S::ROWS)) };
            centred[c] = if SHIFTED { self.simd.sub(x, self.centre[c]) } else { x };
        }
        centred
    }

    /// Row `i` minus the centre. Beside its features there is anything.
    ///
    /// # Safety
    ///
    /// There is such a row.
    #[inline(always)]
    unsafe fn centred(&self, i: usize) -> [S::Floats; C] {
        if i < self.all_wide {
            // SAFETY: as was asked for.
            return unsafe { self.wide::<true>(i) };
        }
        let simd = self.simd;
        let x = self.x.as_ptr().wrapping_add(i * self.d);
        let mut centred = [simd.zero(); C];
        for c in 0..C {
            // SAFETY: the row has values in the places of the mask.
            let x = unsafe { simd.load_part(self.masks[c], x.wrapping_add(c * S::ROWS)) };
            centred[c] = simd.sub(x, self.centre[c]);
        }
        centred
    }
}

/// Rows next to each other are summed apart: what one adds need not wait for what the one before it has added to the same prototype.
const APART: usize = 4;
/// Values of sums at most that are apart: so many stay in the cache, with as many of prototypes.
const SUMS: usize = 2048;

/// Prototypes of which each row pulls two, each in one, two, four or eight registers of its own.
pub(super) struct Pulls<S: Registers> {
    simd: S,
    d: usize,
    /// Registers of a prototype.
    registers: usize,
    /// Each prototype as often as rows are summed apart, so that it stands where its sums do.
    w: Vec<S::Floats>,
    /// So many rows are summed apart, a power of two.
    apart: usize,
}

impl<S: Registers> Pulls<S> {
    pub fn new(simd: S, w: &[f32], d: usize) -> Self {
        let registers = d.div_ceil(S::ROWS).next_power_of_two();
        let once = laid_out(simd, w, d, registers);
        let mut apart = APART;
        while apart > 1 && apart * once.len() * S::ROWS > SUMS {
            apart /= 2;
        }
        let w = once.chunks_exact(registers).flat_map(|w| w.repeat(apart)).collect();
        Pulls { simd, d, registers, w, apart }
    }

    /// Registers of the sums.
    pub fn len(&self) -> usize {
        self.w.len()
    }

    /// Registers of a row.
    pub fn registers(&self) -> usize {
        self.registers
    }

    /// The same for rows of `C` registers.
    #[inline(always)]
    pub fn of_rows<'a, const C: usize>(&'a self, rows: &Labelled<'a, f32>) -> Pull<'a, S, C> {
        assert_eq!(C, self.registers());
        let apart = self.apart.trailing_zeros();
        Pull { w: self.w.as_chunks().0, rows: Rows::new(self.simd, rows, self.d), apart }
    }

    /// Adds what `h` holds to sums of `d` values each.
    #[inline(always)]
    pub fn finish(&self, h: &[S::Floats], sums: &mut [f32]) {
        let prototypes = h.chunks_exact(self.apart * self.registers);
        for (h, sums) in prototypes.zip(sums.chunks_exact_mut(self.d)) {
            for h in h.chunks_exact(self.registers) {
                add_registers(self.simd, h, self.registers, self.d, sums);
            }
        }
    }
}

/// [`Pulls`] of rows of `C` registers.
pub(super) struct Pull<'a, S: Registers, const C: usize> {
    w: &'a [[S::Floats; C]],
    rows: Rows<'a, S, C>,
    /// Binary logarithm of how many rows are summed apart.
    apart: u32,
}

/// Both winners of each row of a tile, by where they are, and a slope for each.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Pulled {
    /// Bytes before a winner's values, and before its sums.
    at: [[u32; LARGEST]; 2],
    pub slopes: [[f32; LARGEST]; 2],
}

impl<S: Registers, const C: usize> Pull<'_, S, C> {
    /// Finds where the winners of a tile's rows are: those of all rows at once, as a step for each is what a short row has no time for.
    #[inline(always)]
    pub fn place(&self, winners: &[[u32; LARGEST]; 2], pulled: &mut Pulled) {
        let bytes = size_of::<[S::Floats; C]>() as u32;
        for side in 0..2 {
            for i in 0..LARGEST {
                let own = i as u32 & ((1 << self.apart) - 1);
                let j = winners[side][i] << self.apart;
                pulled.at[side][i] = j.wrapping_add(own).wrapping_mul(bytes);
            }
        }
    }

    /// `H_j += g_i (x_i - w_j)` for both winners j of the rows `some` of a tile, whose first is row `start`.
    ///
    /// # Safety
    ///
    /// The rows are there, and no more than [`LARGEST`]; their winners were placed and are prototypes; and at `h` are the registers of the sums.
    #[inline(always)]
    pub unsafe fn add(&self, start: usize, some: Range<usize>, pulled: &Pulled, h: *mut S::Floats) {
        let are_wide = start + some.end <= self.rows.all_wide;
        if are_wide && !self.rows.is_shifted {
            for i in some {
                // SAFETY: as the caller says, and the row may be read in whole registers.
                unsafe { self.add_row(self.rows.wide::<false>(start + i), i, pulled, h) };
            }
        } else if are_wide {
            for i in some {
                // SAFETY: as above.
                unsafe { self.add_row(self.rows.wide::<true>(start + i), i, pulled, h) };
            }
        } else {
            for i in some {
                // SAFETY: as the caller says.
                unsafe { self.add_row(self.rows.centred(start + i), i, pulled, h) };
            }
        }
    }

    /// Adds row `x`, which is number `i` of its tile.
    ///
    /// # Safety
    ///
    /// As of [`Pull::add`].
    #[inline(always)]
    unsafe fn add_row(&self, x: [S::Floats; C], i: usize, pulled: &Pulled, h: *mut S::Floats) {
        let simd = self.rows.simd;
        for side in 0..2 {
            // SAFETY: j is a prototype, whose values and sums are there.
            let (g, w, h) = unsafe {
                let at = *pulled.at[side].get_unchecked(i) as usize;
                let g = *pulled.slopes[side].get_unchecked(i);
                let h = &mut *h.byte_add(at).cast::<[S::Floats; C]>();
                (g, &*self.w.as_ptr().byte_add(at), h)
            };
            let g = simd.splat(g);
            for c in 0..C {
                h[c] = simd.mul_add(g, simd.sub(x[c], w[c]), h[c]);
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

/// The sum of a register's values.
#[inline(always)]
pub(super) fn sum_of<S: Registers>(simd: S, register: S::Floats) -> f32 {
    let mut values = [0.0; MOST];
    // SAFETY: there is room for as many values.
    unsafe { simd.store(values.as_mut_ptr(), register) };
    values.iter().sum()
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
