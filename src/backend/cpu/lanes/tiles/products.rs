//! The nearest of many prototypes by products: `|w|^2/2 - x.w` is least where `|x - w|^2` is.
//!
//! Two registers of rows are held against several prototypes at a time. A sum of each pair stays in its register from the first feature to
//! the last, and the search takes it from there: distances are nowhere in memory.

use super::Room;
use super::nearest::Nearest;
use super::packed::Packed;
use super::registers::Registers;
use super::tile::{Ahead, Between, LARGEST, Nothing, TURN, Tiles, tile};
use crate::backend::cpu::lanes::{Labelled, pays};
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::Squares;
use pulp::NullaryFnOnce;

/// Prototypes laid out for products, once a step.
pub struct Products<S: Registers> {
    pub(super) simd: S,
    pub(super) w: Vec<f32>,
    /// Times the relevances.
    pub(super) packed: Packed<f32>,
    /// Whether they are short and few.
    pub(super) short: bool,
    /// The largest squared norm; none if features have relevances.
    pub(super) largest: Option<f32>,
}

/// Runs a task that is made for groups of as many prototypes as there are in a group.
macro_rules! run_by_size {
    ($products:expr, $task:ident $(<$of:ty>)? { $($field:ident),* }) => {{
        let (simd, size) = ($products.simd, $products.packed.size);
        match size {
            2 => simd.run($task::<S, $($of,)? 2> { $($field),* }),
            4 => simd.run($task::<S, $($of,)? 4> { $($field),* }),
            6 => simd.run($task::<S, $($of,)? 6> { $($field),* }),
            8 if S::PRODUCTS >= 8 => simd.run($task::<S, $($of,)? 8> { $($field),* }),
            10 if S::PRODUCTS >= 10 => simd.run($task::<S, $($of,)? 10> { $($field),* }),
            12 if S::PRODUCTS >= 12 => simd.run($task::<S, $($of,)? 12> { $($field),* }),
            _ => unreachable!("groups of {size} prototypes"),
        }
    }};
}

pub(super) use run_by_size;

impl<S: Registers> Products<S> {
    /// Lays out prototypes of the classes `labels`.
    pub fn new(simd: S, Squares { w, lam, .. }: Squares<'_, f32>, labels: &[u32]) -> Self {
        let d = w.len() / labels.len();
        let weighted: Vec<f32> = match lam {
            Some(lam) => w.iter().enumerate().map(|(i, w)| lam[i % d] * w).collect(),
            None => w.to_vec(),
        };
        let packed = Packed::halves(w, &weighted, labels, S::PRODUCTS);
        let largest = lam.is_none().then(|| packed.largest());
        Products { simd, w: w.to_vec(), packed, short: pays(d, labels.len()), largest }
    }

    pub fn simd(&self) -> S {
        self.simd
    }

    /// The nearest of its class and of all others for each row, the first on ties; [`NOBODY`] where no product is a number.
    pub fn search(&self, rows: &Labelled<'_, f32>, room: &mut Room<S>, winners: &mut [[u32; 2]]) {
        let products = self;
        run_by_size!(self, Search { products, rows, room, winners });
    }

    /// Whether features count the same: what [`Products::nearest_of_all`] needs.
    pub fn has_nearest_of_all(&self) -> bool {
        self.largest.is_some()
    }

    /// The nearest of all prototypes for each row; [`NOBODY`] where another is as near, as far as products tell.
    pub fn nearest_of_all(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room<S>,
        nearest: &mut [u32],
    ) {
        let largest = self.largest.expect("features that count the same");
        let products = self;
        run_by_size!(self, NearestOfAll { products, rows, room, largest, nearest });
    }

    /// `|w|^2/2 - x.w` of the rows that `turned` holds and all prototypes.
    #[inline(always)]
    pub(super) fn products(
        &self,
        turned: &[[S::Floats; 2]],
        ahead: Ahead<S>,
        sums: &mut [[S::Floats; 2]],
    ) {
        let products = self;
        run_by_size!(self, AllSums { products, turned, ahead, sums });
    }
}

/// [`Products::search`]
struct Search<'a, S: Registers, const N: usize> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    winners: &'a mut [[u32; 2]],
}

impl<S: Registers, const N: usize> NullaryFnOnce for Search<'_, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Products { simd, packed, .. } = self.products;
        let mut tiles = Tiles::new(*simd, self.rows, packed.d, &mut self.room.turned);
        for winners in self.winners.chunks_mut(tile::<S>()) {
            let Some(tile) = tiles.next() else { return };
            let mut nearest = Nearest::new(*simd, tile.classes);
            for (g, (w, starts, labels)) in packed.groups::<N>().enumerate() {
                let sums = sums_of(*simd, g, tiles.turned, &mut { tile.ahead }, w, starts);
                for n in 0..N {
                    nearest.see(sums[n], labels[n], g * N + n);
                }
            }
            nearest.settle();
            let mut found = [[0; 2]; LARGEST];
            nearest.store(&mut found);
            winners.copy_from_slice(&found[..winners.len()]);
        }
    }
}

/// [`Products::nearest_of_all`]
struct NearestOfAll<'a, S: Registers, const N: usize> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    largest: f32,
    nearest: &'a mut [u32],
}

impl<S: Registers, const N: usize> NullaryFnOnce for NearestOfAll<'_, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Products { simd, packed, .. } = self.products;
        let simd = *simd;
        let mut tiles = Tiles::new(simd, self.rows, packed.d, &mut self.room.turned);
        let nobody = simd.splat_word(NOBODY as i32);
        while let Some(tile) = tiles.next() {
            let [mut first, mut second] = [[simd.splat(f32::INFINITY); 2]; 2];
            let mut at = [nobody; 2];
            for (g, (w, starts, _)) in packed.groups::<N>().enumerate() {
                let sums = sums_of(simd, g, tiles.turned, &mut { tile.ahead }, w, starts);
                for n in 0..N {
                    let number = simd.splat_word((g * N + n) as i32);
                    for half in 0..2 {
                        let sum = sums[n][half];
                        let nearer = simd.less(sum, first[half]);
                        at[half] = simd.select_words(nearer, number, at[half]);
                        second[half] = simd.min(simd.max(sum, first[half]), second[half]);
                        first[half] = simd.min(sum, first[half]);
                    }
                }
            }
            let norms = tiles.norms();
            let mut found = [0u32; LARGEST];
            for half in 0..2 {
                // D = a + 2 k of the nearest, which its products leave uncertain by a few units in the last place of its terms.
                let two = simd.splat(2.0);
                let d = simd.mul_add(first[half], two, norms[half]);
                let terms = simd.add(norms[half], simd.splat(self.largest));
                let slack = simd.mul(terms, simd.splat(32.0 * f32::EPSILON));
                let slack = simd.mul_add(simd.abs(d), simd.splat(1e-4), slack);
                let apart = simd.mul(simd.sub(second[half], first[half]), two);
                let at = simd.select_words(simd.less(slack, apart), at[half], nobody);
                let to = found[half * S::ROWS..][..S::ROWS].as_mut_ptr();
                // SAFETY: there is room for as many values.
                unsafe { simd.store_words(to, at) };
            }
            let n = tile.range.len();
            self.nearest[tile.range].copy_from_slice(&found[..n]);
        }
    }
}

/// [`Products::products`]
struct AllSums<'a, S: Registers, const N: usize> {
    products: &'a Products<S>,
    turned: &'a [[S::Floats; 2]],
    ahead: Ahead<S>,
    sums: &'a mut [[S::Floats; 2]],
}

impl<S: Registers, const N: usize> NullaryFnOnce for AllSums<'_, S, N> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Products { simd, packed, .. } = self.products;
        let groups = packed.groups::<N>().zip(self.sums.as_chunks_mut::<N>().0);
        for (g, ((w, starts, _), sums)) in groups.enumerate() {
            *sums = sums_of(*simd, g, self.turned, &mut { self.ahead }, w, starts);
        }
    }
}

/// `x.w` of two registers of rows and the `N` prototypes of a group, each taken from what `starts` gives. What is to be done between the features is done
/// between those of the first group.
#[inline(always)]
pub(super) fn sums_of<S: Registers, const N: usize>(
    simd: S,
    group: usize,
    turned: &[[S::Floats; 2]],
    between: &mut impl Between,
    w: &[[f32; N]],
    starts: &[f32; N],
) -> [[S::Floats; 2]; N] {
    if group == 0 {
        sums::<S, N>(simd, turned, w, starts, between)
    } else {
        sums::<S, N>(simd, turned, w, starts, &mut Nothing)
    }
}

/// The same, and with the first group the squared norms of the rows.
#[inline(always)]
pub(super) fn sums_and_norms_of<S: Registers, const N: usize>(
    simd: S,
    group: usize,
    turned: &[[S::Floats; 2]],
    between: &mut impl Between,
    (w, starts): (&[[f32; N]], &[f32; N]),
    norms: &mut [S::Floats; 2],
) -> [[S::Floats; 2]; N] {
    if group > 0 {
        return sums::<S, N>(simd, turned, w, starts, &mut Nothing);
    }
    let sums;
    (sums, *norms) = sums_and_norms::<S, N, true>(simd, turned, w, starts, between);
    sums
}

/// The same, and what is to be done `between` the features.
#[inline(always)]
pub(super) fn sums<S: Registers, const N: usize>(
    simd: S,
    turned: &[[S::Floats; 2]],
    w: &[[f32; N]],
    starts: &[f32; N],
    between: &mut impl Between,
) -> [[S::Floats; 2]; N] {
    sums_and_norms::<S, N, false>(simd, turned, w, starts, between).0
}

/// The same, and the squared norms of the rows if they are wanted.
#[inline(always)]
fn sums_and_norms<S: Registers, const N: usize, const NORMS: bool>(
    simd: S,
    turned: &[[S::Floats; 2]],
    w: &[[f32; N]],
    starts: &[f32; N],
    between: &mut impl Between,
) -> ([[S::Floats; 2]; N], [S::Floats; 2]) {
    let mut sums = [[simd.zero(); 2]; N];
    for n in 0..N {
        sums[n] = [simd.splat(starts[n]); 2];
    }
    let mut norms = [simd.zero(); 2];
    // Some features a turn: the end of a short loop is seen too late.
    let (some, rest) = turned.as_chunks::<TURN>();
    let (w_some, w_rest) = w[..turned.len()].as_chunks::<TURN>();
    for (t, (x, w)) in some.iter().zip(w_some).enumerate() {
        between.features(TURN * t..TURN * (t + 1));
        for a in 0..TURN {
            add_feature::<S, N, NORMS>(simd, &x[a], &w[a], &mut sums, &mut norms);
        }
    }
    between.features(TURN * some.len()..turned.len());
    for (x, w) in rest.iter().zip(w_rest) {
        add_feature::<S, N, NORMS>(simd, x, w, &mut sums, &mut norms);
    }
    (sums, norms)
}

/// Takes the product of a feature from each sum, and adds its square to the norms.
#[inline(always)]
fn add_feature<S: Registers, const N: usize, const NORMS: bool>(
    simd: S,
    x: &[S::Floats; 2],
    w: &[f32; N],
    sums: &mut [[S::Floats; 2]; N],
    norms: &mut [S::Floats; 2],
) {
    let x = *x;
    for n in 0..N {
        let w = simd.splat(w[n]);
        for half in 0..2 {
            sums[n][half] = simd.sub_product(x[half], w, sums[n][half]);
        }
    }
    if NORMS {
        for half in 0..2 {
            norms[half] = simd.mul_add(x[half], x[half], norms[half]);
        }
    }
}
