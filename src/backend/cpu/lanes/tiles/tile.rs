//! Rows of a block, two registers of them at a time, turned: each of their features is two registers.

use super::registers::{MOST, Registers};
use crate::backend::cpu::lanes::{Labelled, TILE};
use crate::backend::cpu::prefetch::ask;
use crate::parts::cooperation::winner_pair::NOBODY;
use pulp::NullaryFnOnce;
use std::ops::Range;

/// Rows of a tile at most.
pub(super) const LARGEST: usize = 2 * MOST;
const _: () = assert!(LARGEST == TILE);

/// Rows of a tile.
pub(super) const fn tile<S: Registers>() -> usize {
    2 * S::ROWS
}

/// How far ahead memory is asked for, in bytes. (With 8 KiB loops over 16 features took 8 to 17 % longer on a processor of Intel than with any of 5, 7, 9 or 13; why
/// was not found out.)
const AHEAD: usize = 9 << 10;
/// Features that products take in a turn.
pub(super) const TURN: usize = 4;

/// Values of a line of the cache.
pub(super) const LINE: usize = 16;

/// Bytes of a page of memory, at least.
const PAGE: usize = 4 << 10;
/// Pages that are asked for together, and how far ahead: further than what is asked for line by line.
const PAGES: usize = 16;
const PAGES_AHEAD: usize = 16 << 10;

/// Asks for a line of each of the next pages of values that are read in order, once for so many pages.
///
/// Where a page is takes about as long to find out as a line takes to come, and no instruction ends meanwhile; but several are found side by
/// side: together they cost little more than one of them by itself.
#[inline(always)]
pub(super) fn ask_for_next_pages<T>(values: &[T]) {
    let (first, some) = (values.as_ptr(), PAGES * PAGE);
    let mut at = first.addr().wrapping_neg() % some;
    while at < size_of_val(values) {
        for page in 0..PAGES {
            ask(first.wrapping_byte_add(at + PAGES_AHEAD + page * PAGE));
        }
        at += some;
    }
}

/// Asks for the classes of a tile's rows that come some way after these.
#[inline(always)]
pub(super) fn ask_for_codes(of: &[u32]) {
    for line in 0..LARGEST / LINE {
        ask(of.as_ptr().wrapping_byte_add(AHEAD / 8).wrapping_add(line * LINE));
    }
}

pub(super) struct Tiles<'a, S: Registers> {
    simd: S,
    rows: &'a Labelled<'a, f32>,
    d: usize,
    next: usize,
    /// Both registers of each feature.
    pub turned: &'a mut [[S::Floats; 2]],
}

/// Which rows a tile holds.
pub(super) struct Tile<S: Registers> {
    simd: S,
    pub range: Range<usize>,
    /// The places of both registers where there are rows.
    pub masks: [S::Mask; 2],
    /// The rows' classes; [`NOBODY`] elsewhere.
    pub classes: [S::Words; 2],
    /// What will be read next.
    pub ahead: Ahead<S>,
}

/// Memory that will be read next, as much as a tile has. It is to be asked for line by line, between calculations. (At once it is
/// more than can be under way, and loads of what is in the cache stand behind it: a step of short rows took a fifth longer.)
#[derive(Clone, Copy)]
pub(super) struct Ahead<S> {
    _simd: S,
    from: *const f32,
}

impl<S: Registers> Ahead<S> {
    /// Asks for the lines of a feature's turn.
    #[inline(always)]
    pub fn ask(self, feature: usize) {
        let lines = tile::<S>() / LINE;
        for line in lines * feature..lines * (feature + 1) {
            ask(self.from.wrapping_add(line * LINE));
        }
    }
}

/// Memory that will be read some way ahead, as much as some tiles have, asked for by and by: a part of it between the features of products, a part beside
/// slopes, the rest beside sums. (Between features alone it was more than can be under way.)
pub(super) struct Coming<S> {
    _simd: S,
    next: *const f32,
    /// Lines that are left.
    left: usize,
    /// Lines of a tile.
    of_tile: usize,
}

/// How far ahead.
const FAR_AHEAD: usize = 13 << 10;

impl<S: Registers> Coming<S> {
    /// Lines that are asked for in a turn of features: three in eight.
    const OF_TURN: usize = tile::<S>() / LINE * TURN * 3 / 8;

    /// Of tiles of `d` features.
    pub fn new(simd: S, d: usize) -> Self {
        Coming { _simd: simd, next: std::ptr::null(), left: 0, of_tile: tile::<S>() / LINE * d }
    }

    /// From now on what comes after `values`, as much as so many tiles have; if they are not `stored`, they are there already, and nothing is asked of memory.
    #[inline(always)]
    pub fn begin(&mut self, values: *const f32, stored: bool, tiles: usize) {
        let ahead = if stored { FAR_AHEAD } else { 0 };
        (self.next, self.left) = (values.wrapping_byte_add(ahead), tiles * self.of_tile);
    }

    /// Asks for so many lines.
    #[inline(always)]
    fn ask(&mut self, lines: usize) {
        for line in 0..lines {
            ask(self.next.wrapping_add(line * LINE));
        }
        (self.next, self.left) = (self.next.wrapping_add(lines * LINE), self.left - lines);
    }

    /// Asks for what is due beside a tile's slopes.
    #[inline(always)]
    pub fn ask_beside_slopes(&mut self) {
        self.ask(self.of_tile * 5 / 16);
    }

    /// Asks for one in so many that are left.
    #[inline(always)]
    pub fn ask_one_in(&mut self, parts: usize) {
        self.ask(self.left / parts);
    }
}

impl<S: Registers> Between for Coming<S> {
    #[inline(always)]
    fn features(&mut self, some: Range<usize>) {
        if some.len() == TURN {
            self.ask(Self::OF_TURN);
        }
    }
}

/// What is done between the features of a tile. (A trait: a function within another is not always inlined, and has no such instructions then.)
pub(super) trait Between {
    /// Before the features `some`.
    fn features(&mut self, some: Range<usize>);
}

/// Nothing.
pub(super) struct Nothing;

impl Between for Nothing {
    #[inline(always)]
    fn features(&mut self, _: Range<usize>) {}
}

impl<S: Registers> Between for Ahead<S> {
    #[inline(always)]
    fn features(&mut self, some: Range<usize>) {
        some.for_each(|feature| self.ask(feature));
    }
}

impl<'a, S: Registers> Tiles<'a, S> {
    /// Of rows of `d` features, turned in `room`.
    #[inline(always)]
    pub fn new(
        simd: S,
        rows: &'a Labelled<'a, f32>,
        d: usize,
        room: &'a mut Vec<[S::Floats; 2]>,
    ) -> Self {
        room.resize(d, [simd.zero(); 2]);
        Tiles { simd, rows, d, next: 0, turned: room }
    }

    /// Turns the next rows, if there are any.
    #[inline(always)]
    pub fn next(&mut self) -> Option<Tile<S>> {
        let (simd, d, count, start) = (self.simd, self.d, self.rows.of.len(), self.next);
        let range = start..(start + tile::<S>()).min(count);
        let n = range.len();
        if n == 0 {
            return None;
        }
        let x = &self.rows.x[start * d..range.end * d];
        let from = match self.rows.ahead.get(start * d..) {
            _ if self.rows.stored => x.as_ptr().wrapping_byte_add(AHEAD),
            Some(ahead) if !ahead.is_empty() => ahead.as_ptr(),
            // Nothing: what is there already.
            _ => x.as_ptr(),
        };
        let of = &self.rows.of[range.clone()];
        if self.rows.stored {
            ask_for_next_pages(x);
            ask_for_next_pages(of);
        }
        turn_tile(simd, x, self.rows.centre, self.turned);
        self.next = range.end;
        let masks = [simd.first(n.min(S::ROWS)), simd.first(n.saturating_sub(S::ROWS))];
        let mut classes = [simd.splat_word(NOBODY as i32); 2];
        for half in 0..2 {
            let from = of.as_ptr().wrapping_add(half * S::ROWS);
            ask(from.wrapping_byte_add(AHEAD / 8));
            // SAFETY: there are values in the places of the mask.
            let of = unsafe { simd.load_words_part(masks[half], from) };
            classes[half] = simd.select_words(masks[half], of, classes[half]);
        }
        Some(Tile { simd, range, masks, classes, ahead: Ahead { _simd: simd, from } })
    }

    /// Squared norms of the rows.
    #[inline(always)]
    pub fn norms(&self) -> [S::Floats; 2] {
        let mut sums = [self.simd.zero(); 2];
        for x in &*self.turned {
            for half in 0..2 {
                sums[half] = self.simd.mul_add(x[half], x[half], sums[half]);
            }
        }
        sums
    }
}

impl<S: Registers> Tile<S> {
    /// The tile's share of values of all rows, 0 beside the last.
    #[inline(always)]
    pub fn load(&self, values: &[f32]) -> [S::Floats; 2] {
        let from = values[self.range.clone()].as_ptr();
        let mut loaded = [self.simd.zero(); 2];
        for half in 0..2 {
            let (mask, from) = (self.masks[half], from.wrapping_add(half * S::ROWS));
            // SAFETY: there are values in the places of the mask.
            loaded[half] = unsafe { self.simd.load_part(mask, from) };
        }
        loaded
    }

    /// Writes the tile's share.
    #[inline(always)]
    pub fn store(&self, values: [S::Floats; 2], out: &mut [f32]) {
        let to = out[self.range.clone()].as_mut_ptr();
        for half in 0..2 {
            let to = to.wrapping_add(half * S::ROWS);
            if self.range.len() == tile::<S>() {
                // SAFETY: there is room for the whole tile. (A part takes some processors long.)
                unsafe { self.simd.store(to, values[half]) };
            } else {
                // SAFETY: there is room in the places of the mask.
                unsafe { self.simd.store_part(to, self.masks[half], values[half]) };
            }
        }
    }
}

/// Turns the rows `x`, a tile at most, minus the centre if there is one: both registers of each feature.
#[inline(always)]
pub(super) fn turn_tile<S: Registers>(
    simd: S,
    x: &[f32],
    centre: &[f32],
    turned: &mut [[S::Floats; 2]],
) {
    let d = turned.len();
    if x.len() == tile::<S>() * d {
        let (upper, lower) = x.split_at(S::ROWS * d);
        simd.run(Turn { simd, x: upper, centre, half: 0, turned });
        simd.run(Turn { simd, x: lower, centre, half: 1, turned });
    } else {
        // The last rows: what is beside them is not looked at.
        let mut padded = x.to_vec();
        padded.resize(tile::<S>() * d, 0.0);
        for (half, x) in padded.chunks_exact(S::ROWS * d).enumerate() {
            simd.run(Turn { simd, x, centre, half, turned });
        }
    }
}

/// [`Registers::ROWS`] rows minus the centre, of which each feature becomes a register. (By itself: it is used in many places, and long.)
struct Turn<'a, S: Registers> {
    simd: S,
    x: &'a [f32],
    centre: &'a [f32],
    half: usize,
    turned: &'a mut [[S::Floats; 2]],
}

impl<S: Registers> NullaryFnOnce for Turn<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        match self.centre {
            [] => self.turn::<false>(),
            _ => self.turn::<true>(),
        }
    }
}

impl<S: Registers> Turn<'_, S> {
    #[inline(always)]
    fn turn<const SHIFTED: bool>(self) {
        let Turn { simd, x, centre, half, turned } = self;
        let d = turned.len();
        assert_eq!(x.len(), S::ROWS * d);
        assert!(centre.is_empty() || centre.len() == d);
        let mut columns = turned.chunks_exact_mut(S::ROWS);
        for (c, columns) in columns.by_ref().enumerate() {
            // SAFETY: the centre has a value for each feature.
            let centre = unsafe { shift(simd, centre, c, simd.first(S::ROWS)) };
            let mut rows = S::square(simd.zero());
            for l in 0..S::ROWS {
                // SAFETY: row l has as many values from there on.
                let x = unsafe { simd.load(x.as_ptr().add(l * d + c * S::ROWS)) };
                rows[l] = if SHIFTED { simd.sub(x, centre) } else { x };
            }
            let rows = simd.transposed(rows);
            for (l, column) in columns.iter_mut().enumerate() {
                column[half] = rows[l];
            }
        }
        let rest = columns.into_remainder();
        if rest.is_empty() {
            return;
        }
        let (c, mask) = (d / S::ROWS, simd.first(rest.len()));
        // SAFETY: the centre has a value for each feature.
        let centre = unsafe { shift(simd, centre, c, mask) };
        let mut rows = S::square(simd.zero());
        for l in 0..S::ROWS {
            // SAFETY: row l has values from there on in the places of the mask.
            let x = unsafe { simd.load_part(mask, x.as_ptr().add(l * d + c * S::ROWS)) };
            rows[l] = if SHIFTED { simd.sub(x, centre) } else { x };
        }
        let rows = simd.transposed(rows);
        for (l, column) in rest.iter_mut().enumerate() {
            column[half] = rows[l];
        }
    }
}

/// Register `c` of the centre; zeros where there is none.
///
/// # Safety
///
/// The centre, if there is one, has values in the places of the mask.
#[inline(always)]
pub(super) unsafe fn shift<S: Registers>(
    simd: S,
    centre: &[f32],
    c: usize,
    mask: S::Mask,
) -> S::Floats {
    if centre.is_empty() {
        return simd.zero();
    }
    // SAFETY: as the caller says.
    unsafe { simd.load_part(mask, centre.as_ptr().wrapping_add(c * S::ROWS)) }
}

/// The values of both registers, in the first places.
#[inline(always)]
pub(super) fn values_of<S: Registers>(simd: S, registers: [S::Floats; 2]) -> [f32; LARGEST] {
    let mut values = [0.0; LARGEST];
    for (register, values) in registers.into_iter().zip(values.chunks_exact_mut(S::ROWS)) {
        // SAFETY: there is room for as many values.
        unsafe { simd.store(values.as_mut_ptr(), register) };
    }
    values
}

/// Of the values in the first places.
#[inline(always)]
pub(super) fn registers_of<S: Registers>(simd: S, values: &[f32; LARGEST]) -> [S::Floats; 2] {
    let mut registers = [simd.zero(); 2];
    for (register, values) in registers.iter_mut().zip(values.chunks_exact(S::ROWS)) {
        // SAFETY: there are as many values.
        *register = unsafe { simd.load(values.as_ptr()) };
    }
    registers
}

/// Writes values of prototypes from number `first` on, each a register of rows (that of number `half`), to the rows of a matrix of `p` columns.
#[inline(always)]
pub(super) fn turn_back<S: Registers>(
    simd: S,
    values: &[[S::Floats; 2]],
    half: usize,
    (first, p): (usize, usize),
    out: &mut [f32],
) {
    assert!(first + values.len() <= p && out.len() <= S::ROWS * p);
    for (c, all) in values.chunks(S::ROWS).enumerate() {
        let mut columns = S::square(simd.zero());
        for (j, value) in all.iter().enumerate() {
            columns[j] = value[half];
        }
        let rows = simd.transposed(columns);
        let to = out[first + c * S::ROWS..].as_mut_ptr();
        if all.len() == S::ROWS && out.len() == S::ROWS * p {
            for l in 0..S::ROWS {
                // SAFETY: every row has room for as many values from there on.
                unsafe { simd.store(to.add(l * p), rows[l]) };
            }
            continue;
        }
        let mask = simd.first(all.len());
        for l in 0..out.len() / p {
            // SAFETY: every row has room from there on in the places of the mask.
            unsafe { simd.store_part(to.add(l * p), mask, rows[l]) };
        }
    }
}
