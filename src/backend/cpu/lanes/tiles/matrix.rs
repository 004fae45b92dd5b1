//! Squared distances of all rows and prototypes, `max(0, |x|^2 + |w|^2 - 2 x.w)`, as a matrix: they leave the registers as what they are, with the
//! norms added and turned back, a row of the matrix after the other.
//!
//! What goes past the cache is put together beside it, all rows of a tile, and written from there in whole lines, which then need not be read first.

use super::Room;
use super::products::{self, Products, run_by_size};
use super::registers::Registers;
use super::tile::{Between, LINE, Nothing, Tiles, tile, turn_back};
use crate::backend::cpu::lanes::{Goes, Labelled};
use pulp::NullaryFnOnce;
use std::ops::Range;

/// Groups of prototypes whose distances are turned back at a time. Of any size they are whole registers.
const GROUPS: usize = 8;

impl<S: Registers> Products<S> {
    /// Squared distances of features that count the same, `b x p`.
    pub fn squares_of_all(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room<S>,
        goes: Goes,
        out: &mut [f32],
    ) {
        assert!(self.largest.is_some(), "features have relevances");
        assert_eq!(out.len(), rows.of.len() * self.packed.p);
        let products = self;
        run_by_size!(self, All { products, rows, room, goes, out });
    }
}

/// [`Products::squares_of_all`]
struct All<'a, S: Registers, const N: usize> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    goes: Goes,
    out: &'a mut [f32],
}

impl<S: Registers, const N: usize> NullaryFnOnce for All<'_, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let All { products, rows, room, goes, out } = self;
        let Products { simd, packed, .. } = products;
        let (simd, d, p) = (*simd, packed.d, packed.p);
        let Room { turned, slopes: sums, beside, .. } = room;
        let mut tiles = Tiles::new(simd, rows, d, turned);
        sums.resize(GROUPS * N, [simd.zero(); 2]);
        let (w, starts) = (packed.values::<N>(), packed.starts.as_chunks::<N>().0);
        // Two tiles, each with room to begin anywhere in a line.
        let room_of_tile = (tile::<S>() * p).next_multiple_of(LINE) + LINE;
        if goes == Goes::Past {
            beside.resize(2 * room_of_tile + LINE, 0.0);
        }
        let begin = until_line(beside);
        let mut before = None;
        for (t, out) in out.chunks_mut(tile::<S>() * p).enumerate() {
            let Some(tile) = tiles.next() else { break };
            (0..d).for_each(|feature| tile.ahead.ask(feature));
            let norms = tiles.norms();
            let mut past = Past::nothing(simd);
            let to = match goes {
                Goes::Near => &mut *out,
                Goes::Past => {
                    let (even, odd) = beside[begin..].split_at_mut(room_of_tile);
                    let (own, other) = if t % 2 == 0 { (even, odd) } else { (odd, even) };
                    if let Some(before) = before.take() {
                        past = Past::new(simd, other, before);
                    }
                    &mut own[place_in_line(out)..][..out.len()]
                }
            };
            for (c, (w, starts)) in w.chunks(GROUPS * d).zip(starts.chunks(GROUPS)).enumerate() {
                let groups = w.chunks_exact(d).zip(starts);
                for ((w, starts), sums) in groups.zip(sums.as_chunks_mut::<N>().0) {
                    let turned = &*tiles.turned;
                    let of_group = match past.next(d.div_ceil(EACH)) {
                        Some(mut lines) => {
                            products::sums::<S, N>(simd, turned, w, starts, &mut lines)
                        }
                        None => products::sums::<S, N>(simd, turned, w, starts, &mut Nothing),
                    };
                    for n in 0..N {
                        for half in 0..2 {
                            let square =
                                simd.mul_add(of_group[n][half], simd.splat(2.0), norms[half]);
                            // Below 0 by rounding alone. (The second operand is what the maximum is where one is not a number.)
                            sums[n][half] = simd.max(simd.zero(), square);
                        }
                    }
                }
                let first = c * GROUPS * N;
                let sums = &sums[..(p - first).min(GROUPS * N)];
                for (half, to) in to.chunks_mut(S::ROWS * p).enumerate() {
                    turn_back(simd, sums, half, (first, p), to);
                }
            }
            past.finish();
            before = Some(out);
        }
        if let (Goes::Past, Some(out)) = (goes, before) {
            let last = (rows.of.len() - 1) / tile::<S>() % 2;
            Past::new(simd, &beside[begin + last * room_of_tile..], out).finish();
            simd.settle();
        }
    }
}

/// The place of the first value in its line of the cache.
#[inline(always)]
fn place_in_line(values: &[f32]) -> usize {
    values.as_ptr().addr() / size_of::<f32>() % LINE
}

/// Values before the first that begins a line.
#[inline(always)]
fn until_line(values: &[f32]) -> usize {
    (LINE - place_in_line(values)) % LINE
}

/// Features beside which a line is copied.
const EACH: usize = 2;

/// Lines to be copied past the cache, each in passing: at once they are more than can be under way.
struct Past<'a, S: Registers> {
    simd: S,
    from: &'a [[f32; LINE]],
    to: &'a mut [[f32; LINE]],
}

impl<'a, S: Registers> Past<'a, S> {
    fn nothing(simd: S) -> Self {
        Past { simd, from: &[], to: &mut [] }
    }

    /// Copies what lies in no whole line of `out`. `beside`, which begins with a line, holds the values at the same place in its lines.
    #[inline(always)]
    fn new(simd: S, beside: &'a [f32], out: &'a mut [f32]) -> Self {
        let from = &beside[place_in_line(out)..][..out.len()];
        let head = until_line(out).min(out.len());
        let ((head, out), (from_head, from)) = (out.split_at_mut(head), from.split_at(head));
        let ((to, tail), (from, from_tail)) = (out.as_chunks_mut(), from.as_chunks());
        head.copy_from_slice(from_head);
        tail.copy_from_slice(from_tail);
        Past { simd, from, to }
    }

    /// The next `count` lines, if there are as many.
    #[inline(always)]
    fn next(&mut self, count: usize) -> Option<Lines<'a, S>> {
        let (from, rest) = self.from.split_at_checked(count)?;
        let (to, rest_to) = std::mem::take(&mut self.to).split_at_mut(count);
        (self.from, self.to) = (rest, rest_to);
        Some(Lines { simd: self.simd, from, to: to.as_mut_ptr() })
    }

    /// Copies all that are left.
    #[inline(always)]
    fn finish(mut self) {
        let count = self.from.len();
        if let Some(lines) = self.next(count) {
            for i in 0..count {
                // SAFETY: there are as many lines.
                unsafe { lines.copy(i) };
            }
        }
    }
}

/// Lines of [`Past`].
struct Lines<'a, S: Registers> {
    simd: S,
    from: &'a [[f32; LINE]],
    to: *mut [f32; LINE],
}

/// Those of a group of prototypes.
impl<S: Registers> Between for Lines<'_, S> {
    #[inline(always)]
    fn features(&mut self, some: Range<usize>) {
        for feature in some {
            if feature % EACH == 0 {
                // SAFETY: there is one for each of so many features.
                unsafe { self.copy(feature / EACH) };
            }
        }
    }
}

impl<S: Registers> Lines<'_, S> {
    /// Copies one.
    ///
    /// # Safety
    ///
    /// There are more than `i`.
    #[inline(always)]
    unsafe fn copy(&self, i: usize) {
        for at in (0..LINE).step_by(S::ROWS) {
            // SAFETY: both have as many values from there on, and those written are a line of the cache.
            unsafe {
                let line = self.simd.load(self.from.get_unchecked(i).as_ptr().add(at));
                self.simd.store_past((*self.to.add(i)).as_mut_ptr().add(at), line);
            }
        }
    }
}
