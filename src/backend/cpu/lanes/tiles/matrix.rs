//! Squared distances of all rows and prototypes, `max(0, |x|^2 + |w|^2 - 2 x.w)`, as a matrix: they leave the registers as what they are, with the
//! norms added and turned back, a row of the matrix after the other.

use super::Room;
use super::products::{self, Products, run_by_size};
use super::registers::Registers;
use super::tile::{LINE, Tiles, ask, tile, turn_back};
use crate::backend::cpu::lanes::Labelled;
use pulp::NullaryFnOnce;

/// Groups of prototypes that the tiles pass at a time. Of any size they are whole registers.
const GROUPS: usize = 8;

impl<S: Registers> Products<S> {
    /// Squared distances of features that count the same, `b x p`.
    pub fn squares_of_all(&self, rows: &Labelled<'_, f32>, room: &mut Room<S>, out: &mut [f32]) {
        assert!(self.largest.is_some(), "features have relevances");
        assert_eq!(out.len(), rows.of.len() * self.packed.p);
        let products = self;
        run_by_size!(self, All { products, rows, room, out });
    }
}

/// [`Products::squares_of_all`]
struct All<'a, S: Registers, const N: usize> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    out: &'a mut [f32],
}

impl<S: Registers, const N: usize> NullaryFnOnce for All<'_, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let All { products, rows, room, out } = self;
        let Products { simd, packed, .. } = products;
        let (simd, d, p) = (*simd, packed.d, packed.p);
        let Room { turned, slopes: sums, keys: all, .. } = room;
        let mut tiles = Tiles::new(simd, rows, d, turned);
        // All tiles first: what is read most is prototypes, which stay in the nearest cache while the tiles pass.
        all.clear();
        while let Some(tile) = tiles.next() {
            (0..d).for_each(|feature| tile.ahead.ask(feature));
            all.extend_from_slice(tiles.turned);
            all.push(tiles.norms());
        }
        sums.resize(GROUPS * N, [simd.zero(); 2]);
        let lines = (GROUPS * N).div_ceil(LINE) + 1;
        let (w, starts) = (packed.values::<N>(), packed.starts.as_chunks::<N>().0);
        for (c, (w, starts)) in w.chunks(GROUPS * d).zip(starts.chunks(GROUPS)).enumerate() {
            let first = c * GROUPS * N;
            let count = (p - first).min(GROUPS * N);
            for (of_tile, out) in all.chunks_exact(d + 1).zip(out.chunks_mut(tile::<S>() * p)) {
                let (turned, norms) = (&of_tile[..d], of_tile[d]);
                let mut next = out[first..].as_ptr().wrapping_add(tile::<S>() * p);
                let groups = w.chunks_exact(d).zip(starts);
                for ((w, starts), sums) in groups.zip(sums.as_chunks_mut::<N>().0) {
                    // What will be written next is brought in meanwhile, some rows a group.
                    for _ in 0..tile::<S>() / GROUPS {
                        (0..lines).for_each(|line| ask(next.wrapping_add(line * LINE)));
                        next = next.wrapping_add(p);
                    }
                    let of_group = products::sums::<S, N>(simd, turned, w, starts, |_| ());
                    for n in 0..N {
                        for half in 0..2 {
                            let square =
                                simd.mul_add(of_group[n][half], simd.splat(2.0), norms[half]);
                            // Below 0 by rounding alone. (The second operand is what the maximum is where one is not a number.)
                            sums[n][half] = simd.max(simd.zero(), square);
                        }
                    }
                }
                for (half, out) in out.chunks_mut(S::ROWS * p).enumerate() {
                    turn_back(simd, &sums[..count], half, (first, p), out);
                }
            }
        }
    }
}
