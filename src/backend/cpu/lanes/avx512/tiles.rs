//! Rows of a block, [`TILE`] at a time, turned: each of their features is two registers.

use super::{ROWS, transposed};
use crate::backend::cpu::lanes::Labelled;
use crate::parts::cooperation::winner_pair::NOBODY;
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of a tile.
pub(super) const TILE: usize = 2 * ROWS;

/// How far ahead memory is asked for, in bytes.
const AHEAD: usize = 4 << 10;

pub(super) struct Tiles<'a> {
    rows: &'a Labelled<'a, f32>,
    d: usize,
    next: usize,
    /// Both registers of each feature.
    pub turned: &'a mut [[__m512; 2]],
}

/// Which rows a tile holds.
pub(super) struct Tile {
    pub range: Range<usize>,
    /// The places of both registers where there are rows.
    pub masks: [u16; 2],
    /// The rows' classes; [`NOBODY`] elsewhere.
    pub classes: [__m512i; 2],
    /// What will be read next.
    pub ahead: Ahead,
}

/// Memory that will be read next, as much as a tile has: two lines a feature. It is to be asked for line by line, between calculations. (At once they are
/// more than can be under way, and loads of what is in the cache stand behind them: a step of short rows took a fifth longer.)
#[derive(Clone, Copy)]
pub(super) struct Ahead(*const f32);

impl Ahead {
    /// Asks for the lines of a feature's turn.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn ask(self, feature: usize) {
        for line in [2 * feature, 2 * feature + 1] {
            _mm_prefetch::<_MM_HINT_T0>(self.0.wrapping_add(line * ROWS).cast());
        }
    }
}

impl<'a> Tiles<'a> {
    /// Of rows of `d` features, turned in `room`.
    #[target_feature(enable = "avx512f")]
    pub fn new(rows: &'a Labelled<'a, f32>, d: usize, room: &'a mut Vec<[__m512; 2]>) -> Self {
        room.resize(d, [_mm512_setzero_ps(); 2]);
        Tiles { rows, d, next: 0, turned: room }
    }

    /// Turns the next rows, if there are any.
    #[target_feature(enable = "avx512f")]
    pub fn next(&mut self) -> Option<Tile> {
        let (d, count, start) = (self.d, self.rows.of.len(), self.next);
        let range = start..(start + TILE).min(count);
        let n = range.len();
        if n == 0 {
            return None;
        }
        let x = &self.rows.x[start * d..range.end * d];
        let ahead = Ahead(match self.rows.ahead.get(start * d..) {
            // Stored rows: nothing has brought them into the cache.
            _ if !self.rows.centre.is_empty() => x.as_ptr().wrapping_byte_add(AHEAD),
            Some(ahead) if !ahead.is_empty() => ahead.as_ptr(),
            // Nothing: what is there already.
            _ => x.as_ptr(),
        });
        if n == TILE {
            let (upper, lower) = x.split_at(ROWS * d);
            turn(upper, self.rows.centre, 0, self.turned);
            turn(lower, self.rows.centre, 1, self.turned);
        } else {
            // The last rows: what is beside them is not looked at.
            let mut padded = x.to_vec();
            padded.resize(TILE * d, 0.0);
            for (half, x) in padded.chunks_exact(ROWS * d).enumerate() {
                turn(x, self.rows.centre, half, self.turned);
            }
        }
        self.next = range.end;
        let masks = [first(n.min(ROWS)), first(n.saturating_sub(ROWS))];
        let mut classes = [_mm512_set1_epi32(NOBODY as i32); 2];
        let of = self.rows.of[range.clone()].as_ptr();
        for half in 0..2 {
            let from = of.wrapping_add(half * ROWS);
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_byte_add(AHEAD / 8).cast());
            // SAFETY: as many values as the mask has ones.
            classes[half] =
                unsafe { _mm512_mask_loadu_epi32(classes[half], masks[half], from.cast()) };
        }
        Some(Tile { range, masks, classes, ahead })
    }

    /// Squared norms of the rows.
    #[target_feature(enable = "avx512f")]
    pub fn norms(&self) -> [__m512; 2] {
        let mut sums = [_mm512_setzero_ps(); 2];
        for x in &*self.turned {
            for half in 0..2 {
                sums[half] = _mm512_fmadd_ps(x[half], x[half], sums[half]);
            }
        }
        sums
    }
}

impl Tile {
    /// The tile's share of values of all rows, 0 beside the last.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn load(&self, values: &[f32]) -> [__m512; 2] {
        let from = values[self.range.clone()].as_ptr();
        let mut loaded = [_mm512_setzero_ps(); 2];
        for half in 0..2 {
            let (mask, from) = (self.masks[half], from.wrapping_add(half * ROWS));
            // SAFETY: as many values as the mask has ones.
            loaded[half] = unsafe { _mm512_maskz_loadu_ps(mask, from) };
        }
        loaded
    }

    /// Writes the tile's share.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn store(&self, values: [__m512; 2], out: &mut [f32]) {
        let to = out[self.range.clone()].as_mut_ptr();
        for half in 0..2 {
            let to = to.wrapping_add(half * ROWS);
            // SAFETY: as many values as the mask has ones.
            unsafe { _mm512_mask_storeu_ps(to, self.masks[half], values[half]) };
        }
    }
}

/// [`ROWS`] rows minus the centre, of which each feature becomes a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(x: &[f32], centre: &[f32], half: usize, turned: &mut [[__m512; 2]]) {
    let d = turned.len();
    assert_eq!(x.len(), ROWS * d);
    let (whole, rest) = turned.as_chunks_mut::<ROWS>();
    for (c, columns) in whole.iter_mut().enumerate() {
        let centre = shift(centre, c, u16::MAX);
        let mut rows = [_mm512_setzero_ps(); ROWS];
        for (l, row) in rows.iter_mut().enumerate() {
            // SAFETY: row l has sixteen values from there on.
            *row =
                _mm512_sub_ps(unsafe { _mm512_loadu_ps(x.as_ptr().add(l * d + c * ROWS)) }, centre);
        }
        let rows = transposed(rows);
        for (column, turned) in columns.iter_mut().zip(rows) {
            column[half] = turned;
        }
    }
    if rest.is_empty() {
        return;
    }
    let (c, mask) = (whole.len(), u16::MAX >> (ROWS - rest.len()));
    let centre = shift(centre, c, mask);
    let mut rows = [_mm512_setzero_ps(); ROWS];
    for (l, row) in rows.iter_mut().enumerate() {
        // SAFETY: row l has as many values from there on as the mask has ones.
        let x = unsafe { _mm512_maskz_loadu_ps(mask, x.as_ptr().add(l * d + c * ROWS)) };
        *row = _mm512_sub_ps(x, centre);
    }
    for (column, turned) in rest.iter_mut().zip(transposed(rows)) {
        column[half] = turned;
    }
}

/// Register `c` of the centre; zeros where there is none.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn shift(centre: &[f32], c: usize, mask: u16) -> __m512 {
    if centre.is_empty() {
        return _mm512_setzero_ps();
    }
    let n = mask.count_ones() as usize;
    let from = if n == 0 { &[] } else { &centre[c * ROWS..][..n] };
    // SAFETY: as many values as the mask has ones, which are the last of it.
    unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
}

/// The first `n` of sixteen.
pub(super) fn first(n: usize) -> u16 {
    ((1u32 << n) - 1) as u16
}

/// Sixteen values each.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn values_of(registers: [__m512; 2]) -> [f32; TILE] {
    let mut values = [0.0; TILE];
    for (register, values) in registers.into_iter().zip(values.chunks_exact_mut(ROWS)) {
        // SAFETY: sixteen values.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), register) };
    }
    values
}

/// Of sixteen values each.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn registers_of(values: &[f32; TILE]) -> [__m512; 2] {
    let mut registers = [_mm512_setzero_ps(); 2];
    for (register, values) in registers.iter_mut().zip(values.chunks_exact(ROWS)) {
        // SAFETY: sixteen values.
        *register = unsafe { _mm512_loadu_ps(values.as_ptr()) };
    }
    registers
}
