//! Rows of a block, [`TILE`] at a time, turned: each of their features is two registers.

use super::{ROWS, transposed};
use crate::backend::cpu::lanes::Labelled;
use crate::backend::cpu::prefetch::prefetch;
use crate::parts::cooperation::winner_pair::NOBODY;
use std::arch::x86_64::*;

/// Rows of a tile.
pub(super) const TILE: usize = 2 * ROWS;

/// How far ahead memory is asked for, in bytes.
const AHEAD: usize = 8 << 10;

pub(super) struct Tiles<'a> {
    rows: &'a Labelled<'a, f32>,
    d: usize,
    next: usize,
    /// Both registers of each feature.
    pub turned: &'a mut [[__m512; 2]],
    padded: Vec<f32>,
}

impl<'a> Tiles<'a> {
    /// Of rows of `d` features, turned in `room`.
    #[target_feature(enable = "avx512f")]
    pub fn new(rows: &'a Labelled<'a, f32>, d: usize, room: &'a mut Vec<[__m512; 2]>) -> Self {
        room.resize(d, [_mm512_setzero_ps(); 2]);
        Tiles { rows, d, next: 0, turned: room, padded: vec![] }
    }

    /// Turns the next rows; returns their classes.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn next(&mut self) -> [u32; TILE] {
        let d = self.d;
        let of = &self.rows.of[self.next..];
        let of = &of[..of.len().min(TILE)];
        let span = |values: &'a [f32]| -> &'a [f32] {
            let values = values.get(self.next * d..).unwrap_or(&[]);
            &values[..values.len().min(TILE * d)]
        };
        // The memory has nothing to do meanwhile.
        prefetch(span(self.rows.ahead));
        let mut x = span(self.rows.x);
        let mut classes = [NOBODY; TILE];
        classes[..of.len()].copy_from_slice(of);
        if of.len() < TILE {
            // The last rows: what is beside them is not looked at.
            self.padded.extend_from_slice(x);
            self.padded.resize(TILE * d, 0.0);
            x = &self.padded;
        }
        for (half, x) in x.chunks_exact(ROWS * d).enumerate() {
            turn(x, self.rows.centre, half, self.turned);
        }
        self.next += TILE;
        classes
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

/// [`ROWS`] rows minus the centre, of which each feature becomes a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(x: &[f32], centre: &[f32], half: usize, turned: &mut [[__m512; 2]]) {
    let d = turned.len();
    assert_eq!(x.len(), ROWS * d);
    if !centre.is_empty() {
        // Stored rows: nothing has brought them into the cache.
        for line in x.chunks_exact(ROWS) {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().wrapping_byte_add(AHEAD).cast());
        }
    }
    let (whole, rest) = turned.as_chunks_mut::<ROWS>();
    for (c, columns) in whole.iter_mut().enumerate() {
        let centre = shift(centre, c, u16::MAX);
        let mut rows = [_mm512_setzero_ps(); ROWS];
        for (l, row) in rows.iter_mut().enumerate() {
            // SAFETY: row l has sixteen values from there on.
            *row = _mm512_sub_ps(unsafe { _mm512_loadu_ps(x.as_ptr().add(l * d + c * ROWS)) }, centre);
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
    let from = &centre[c * ROWS..][..mask.count_ones() as usize];
    // SAFETY: as many values as the mask has ones, which are the last of it.
    unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
}

/// Sixteen of the classes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn half_of(classes: &[u32; TILE], half: usize) -> __m512i {
    // SAFETY: sixteen values of the thirty-two.
    unsafe { _mm512_loadu_si512(classes[half * ROWS..].as_ptr().cast()) }
}
