//! Rows side by side.
//!
//! Rows are turned so that each feature is a vector of [`ROWS`] of them: what is looked for in a row (its nearest prototypes) is looked for in
//! its lane, and no vector is ever reduced to a number.
//!
//! [`Packed`] prototypes are held against rows by products. For a handful of prototypes of a few features that does not pay: a product has no work
//! to hide its packing behind, and a search among eight values is over before it begins. Those are held against the rows by differences
//! ([`winner_pairs`]), which give the distances themselves.

#[cfg(target_arch = "x86_64")]
mod tiles;

use super::prefetch::prefetch;
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::{Bent, Squares};
use crate::parts::objective::PairObjective;
#[cfg(any(target_arch = "x86_64", test))]
use crate::parts::objective::{nllr, rslvq};
use crate::parts::real::Real;
#[cfg(target_arch = "x86_64")]
use crate::parts::simd;
#[cfg(target_arch = "x86_64")]
use bytemuck::{cast_slice, cast_slice_mut};
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
#[cfg(target_arch = "x86_64")]
use tiles::{few::Few, pairs, products::Products, registers::Registers, soft::Loss};

/// Rows side by side.
const ROWS: usize = 16;
/// Features at most.
const FEATURES: usize = 32;
/// Prototypes whose sums are formed at a time.
const AT_ONCE: usize = 4;

/// Whether `p` prototypes of `d` features are so few.
pub(super) fn pays(d: usize, p: usize) -> bool {
    d <= FEATURES && p <= 64 && d * p <= 512
}

/// Whether winners of plain squared distances are found by differences where there are [tiles](has_tiles): a difference costs a tile nothing beside its
/// square, and neither have distances to be formed again then, nor rows to be copied.
pub(super) fn tiles_pay(d: usize, p: usize) -> bool {
    d <= 64 && p <= 64 && d * p <= 2048
}

/// Whether [`Packed`] prototypes are to be had in single precision.
pub(super) fn has_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    let there = simd::usual().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    let there = false;
    there
}

/// Rows of a block and prototypes, each of a class.
pub(super) struct Labelled<'a, T> {
    /// Rows, `b x d`.
    pub x: &'a [T],
    /// The class of each.
    pub of: &'a [u32],
    /// The class of each prototype.
    pub labels: &'a [u32],
    /// Values that will be read next, wherever they stand: memory that is asked for in passing.
    pub ahead: &'a [T],
    /// What is taken from each row, if `x` are not the centred rows.
    pub centre: &'a [T],
}

/// How a feature counts in a squared distance.
trait Weighting<T> {
    /// `e^2` of feature `a`, weighted.
    fn square(&self, a: usize, e: T) -> T;
}

/// Every feature counts the same.
struct Plain;

impl<T: Real> Weighting<T> for Plain {
    #[inline(always)]
    fn square(&self, _: usize, e: T) -> T {
        e * e
    }
}

/// Feature `a` counts `lam_a` times.
struct Weighted<'a, T>(&'a [T]);

impl<T: Real> Weighting<T> for Weighted<'_, T> {
    #[inline(always)]
    fn square(&self, a: usize, e: T) -> T {
        self.0[a] * e * e
    }
}

/// The nearest prototypes so far of a row in each lane, and their distances.
///
/// Numbers of prototypes and classes are values of `T` here: lanes of one kind only become vectors of one width.
#[derive(Clone, Copy)]
struct Nearest<T> {
    least: [T; ROWS],
    at: [T; ROWS],
}

/// No prototype, no class.
const NONE: f64 = -1.0;

impl<T: Real> Nearest<T> {
    #[inline(always)]
    fn new() -> Self {
        Nearest { least: [T::infinity(); ROWS], at: [T::of(NONE); ROWS] }
    }

    /// Sees prototype `j` at `distances`, infinite where it does not count; the first keeps a tie.
    #[inline(always)]
    fn see(&mut self, distances: [T; ROWS], j: T) {
        let Nearest { mut least, mut at } = *self;
        for l in 0..ROWS {
            let nearer = distances[l] < least[l];
            at[l] = if nearer { j } else { at[l] };
            least[l] = if nearer { distances[l] } else { least[l] };
        }
        *self = Nearest { least, at };
    }
}

/// The distances where a row's class is `label`, and where it is another.
#[inline(always)]
fn sides<T: Real>(distances: &[T; ROWS], classes: &[T; ROWS], label: T) -> [[T; ROWS]; 2] {
    let (mut own, mut other) = (*distances, *distances);
    for l in 0..ROWS {
        own[l] = if classes[l] == label { own[l] } else { T::infinity() };
    }
    for l in 0..ROWS {
        other[l] = if classes[l] == label { T::infinity() } else { other[l] };
    }
    [own, other]
}

/// Distances of prototypes `j .. j + N` to the rows that `turned` holds.
#[inline(always)]
fn distances<T: Real, K: Weighting<T>, const N: usize>(
    turned: &[[T; ROWS]],
    w: &[T],
    j: usize,
    by: &K,
) -> [[T; ROWS]; N] {
    let d = turned.len();
    let w: [&[T]; N] = std::array::from_fn(|n| &w[(j + n) * d..][..d]);
    let mut sums = [[T::zero(); ROWS]; N];
    for (a, x) in turned.iter().enumerate() {
        for (sum, w) in sums.iter_mut().zip(&w) {
            let w = w[a];
            for l in 0..ROWS {
                sum[l] += by.square(a, x[l] - w);
            }
        }
    }
    sums
}

/// Rows of `d` values side by side.
#[inline(always)]
fn turn<T: Real>(x: &[T], d: usize, turned: &mut [[T; ROWS]]) {
    let rows: [&[T]; ROWS] = std::array::from_fn(|l| &x[l * d..][..d]);
    for (a, lanes) in turned[..d].iter_mut().enumerate() {
        *lanes = std::array::from_fn(|l| rows[l][a]);
    }
}

crate::vectorized! {
    fn search<T, K: Weighting<T>>(rows: &Labelled<'_, T>, w: &[T], by: &K, winners: &mut [[u32; 2]], least: &mut [T]) {
        let Labelled { x, of, labels, .. } = *rows;
        let d = w.len() / labels.len();
        let mut room = [[T::zero(); ROWS]; FEATURES];
        let turned = &mut room[..d];
        let mut rest = [T::zero(); ROWS * FEATURES];
        let mut ahead = rows.ahead.chunks(ROWS * d);
        let tiles = x.chunks(ROWS * d).zip(of.chunks(ROWS));
        for ((x, of), (winners, least)) in tiles.zip(winners.chunks_mut(ROWS).zip(least.chunks_mut(2 * ROWS))) {
            // The memory has nothing to do meanwhile.
            ahead.next().into_iter().for_each(prefetch);
            let mut classes = [T::of(NONE); ROWS];
            for (class, of) in classes.iter_mut().zip(of) {
                *class = T::of(f64::from(*of));
            }
            if of.len() == ROWS {
                turn(x, d, turned);
            } else {
                rest[..x.len()].copy_from_slice(x);
                turn(&rest, d, turned);
            }
            let (mut own, mut other) = (Nearest::new(), Nearest::new());
            let mut j = 0;
            while j + AT_ONCE <= labels.len() {
                let sums = distances::<T, K, AT_ONCE>(turned, w, j, by);
                for (n, sums) in sums.iter().enumerate() {
                    let [own_sums, other_sums] = sides(sums, &classes, T::of(f64::from(labels[j + n])));
                    own.see(own_sums, T::of((j + n) as f64));
                    other.see(other_sums, T::of((j + n) as f64));
                }
                j += AT_ONCE;
            }
            while j < labels.len() {
                let [sums] = distances::<T, K, 1>(turned, w, j, by);
                let [own_sums, other_sums] = sides(&sums, &classes, T::of(f64::from(labels[j])));
                own.see(own_sums, T::of(j as f64));
                other.see(other_sums, T::of(j as f64));
                j += 1;
            }
            for (l, (winners, least)) in winners.iter_mut().zip(least.chunks_exact_mut(2)).enumerate() {
                // -1 is NOBODY.
                *winners = [own.at[l], other.at[l]].map(|at| at.f64() as i32 as u32);
                (least[0], least[1]) = (own.least[l], other.least[l]);
            }
        }
    }
}

/// The nearest prototype of its class and of all others for each row ([`NOBODY`] where no distance is below infinity), and the two distances by
/// differences, one after the other. Of centred rows.
///
/// Panics if [`pays`] refuses the prototypes.
pub(super) fn winner_pairs<T: Real>(
    rows: &Labelled<'_, T>,
    squares: Squares<'_, T>,
    winners: &mut Vec<[u32; 2]>,
    least: &mut Vec<T>,
) {
    winners.resize(rows.of.len(), [NOBODY; 2]);
    least.resize(2 * rows.of.len(), T::zero());
    match squares.lam {
        None => search(rows, squares.w, &Plain, winners, least),
        Some(lam) => search(rows, squares.w, &Weighted(lam), winners, least),
    }
}

/// The parts of a distance, whose type is single precision.
#[cfg(target_arch = "x86_64")]
fn singles_of<T: Real>(Squares { w, lam, bent }: Squares<'_, T>) -> Squares<'_, f32> {
    Squares { w: bytemuck::cast_slice(w), lam: lam.map(bytemuck::cast_slice), bent }
}

#[cfg(target_arch = "x86_64")]
impl<T: Real> Labelled<'_, T> {
    /// The same, where `T` is single precision.
    fn singles(&self) -> Labelled<'_, f32> {
        let Labelled { x, of, labels, ahead, centre } = *self;
        let [x, ahead, centre] = [x, ahead, centre].map(bytemuck::cast_slice);
        Labelled { x, of, labels, ahead, centre }
    }
}

/// Prototypes laid out for rows side by side in single precision, where this machine has the instructions.
pub(super) struct Packed {
    #[cfg(target_arch = "x86_64")]
    by: By,
}

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Room {
    #[cfg(target_arch = "x86_64")]
    wide: tiles::Room<V4>,
    #[cfg(target_arch = "x86_64")]
    usual: tiles::Room<V3>,
}

/// The instructions by which rows are held against prototypes.
#[cfg(target_arch = "x86_64")]
enum By {
    /// AVX-512
    Wide(Way<V4>),
    /// AVX2
    Usual(Way<V3>),
}

/// How rows are held against prototypes.
#[cfg(target_arch = "x86_64")]
enum Way<S: Registers> {
    /// By products, which leave no distances.
    Products(Products<S>, Bent),
    /// By differences.
    Few(Few<S>),
}

#[cfg(target_arch = "x86_64")]
impl<S: Registers> Way<S> {
    fn new(simd: S, squares: Squares<'_, f32>, labels: &[u32], few: bool) -> Self {
        if few {
            return Way::Few(Few::new(simd, squares, labels));
        }
        let bent = squares.bent;
        Way::Products(Products::new(simd, squares, labels), bent)
    }

    fn simd(&self) -> S {
        match self {
            Way::Products(products, _) => products.simd(),
            Way::Few(few) => few.simd(),
        }
    }

    fn products(&self) -> &Products<S> {
        let Way::Products(products, _) = self else { unreachable!("no products") };
        products
    }

    fn few(&self) -> &Few<S> {
        let Way::Few(few) = self else { unreachable!("winners by products") };
        few
    }

    /// Whether `least` holds distances.
    fn winner_pairs(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut tiles::Room<S>,
        winners: &mut [[u32; 2]],
        least: &mut [f32],
    ) -> bool {
        match self {
            Way::Products(products, Bent::Not) => products.search(rows, room, winners),
            Way::Products(products, Bent::Exponential) => {
                products.search_exponential(rows, room, winners);
            }
            Way::Few(few) => few.search(rows, room, winners, least),
        }
        matches!(self, Way::Few(_))
    }
}

/// What is written once for all instructions: a [`Way`], with the working memory for it.
#[cfg(target_arch = "x86_64")]
macro_rules! by {
    ($by:expr, $room:expr, |$way:ident, $tiles:ident| $call:expr) => {
        match $by {
            By::Wide($way) => {
                let $tiles = &mut $room.wide;
                $call
            }
            By::Usual($way) => {
                let $tiles = &mut $room.usual;
                $call
            }
        }
    };
    ($by:expr, |$way:ident| $call:expr) => {
        match $by {
            By::Wide($way) => $call,
            By::Usual($way) => $call,
        }
    };
}

impl Packed {
    /// Lays out prototypes of the classes `labels`, for winners by differences if they are `few`; none where this machine has nothing of the kind
    /// for `T`.
    pub fn new<T: Real>(squares: Squares<'_, T>, labels: &[u32], few: bool) -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if size_of::<T>() == 4 {
            let squares = singles_of(squares);
            let by = match (simd::wide(), simd::usual()) {
                (Some(wide), _) => By::Wide(Way::new(wide, squares, labels, few)),
                (None, Some(usual)) => By::Usual(Way::new(usual, squares, labels, few)),
                (None, None) => return None,
            };
            return Some(Packed { by });
        }
        let _ = (squares, labels, few);
        None
    }

    /// The nearest prototype of its class and of all others for each row, the first on ties ([`NOBODY`] where no distance is a number). Returns
    /// whether `least` holds their distances by differences, one after the other.
    ///
    /// By products, distances are told apart as far as `x.w - |w|^2/2` tells them, and the keys that are made of it.
    pub fn winner_pairs<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        room: &mut Room,
        winners: &mut Vec<[u32; 2]>,
        least: &mut Vec<T>,
    ) -> bool {
        winners.resize(rows.of.len(), [NOBODY; 2]);
        least.resize(2 * rows.of.len(), T::zero());
        #[cfg(target_arch = "x86_64")]
        return by!(&self.by, room, |way, tiles| {
            way.winner_pairs(&rows.singles(), tiles, winners, cast_slice_mut(least))
        });
        // There are no packed prototypes elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = room;
            false
        }
    }

    /// Whether there is a search for the [nearest of all](Packed::nearest_of_all).
    pub fn has_nearest_of_all(&self) -> bool {
        #[cfg(target_arch = "x86_64")]
        let there = by!(&self.by, |way| match way {
            Way::Products(products, bent) => *bent == Bent::Not && products.has_nearest_of_all(),
            Way::Few(_) => true,
        });
        #[cfg(not(target_arch = "x86_64"))]
        let there = false;
        there
    }

    /// The nearest of all prototypes for each row, the first on ties; [`NOBODY`] where that must be told by differences, or not at all. (No row may
    /// be of a prototype's class.)
    ///
    /// Panics where there is no such search.
    pub fn nearest_of_all<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        room: &mut Room,
        winners: &mut Vec<[u32; 2]>,
        nearest: &mut [u32],
    ) {
        assert!(self.has_nearest_of_all(), "no search for the nearest of all");
        #[cfg(target_arch = "x86_64")]
        by!(&self.by, room, |way, tiles| if let Way::Products(products, _) = way {
            return products.nearest_of_all(&rows.singles(), tiles, nearest);
        });
        self.winner_pairs(rows, room, winners, &mut vec![]);
        let all = nearest.iter_mut().zip(winners);
        all.for_each(|(nearest, [_, other])| *nearest = *other);
    }

    /// The squares of `squares` of each row and its winners, one after the other, by differences.
    pub fn squares_of_winners<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        squares: Squares<'_, T>,
        winners: &[[u32; 2]],
        out: &mut [T],
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            let (x, d) = (cast_slice(rows.x), rows.x.len() / winners.len().max(1));
            let (squares, out) = (singles_of(squares), cast_slice_mut(out));
            by!(&self.by, |way| pairs::squares(way.simd(), x, squares, d, winners, out));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, squares, winners, out);
    }
}

impl Packed {
    /// The squared distances of all rows and prototypes, `b x p`.
    ///
    /// Panics where prototypes are not held against rows by products, or features have relevances.
    pub fn squares_of_all<T: Real>(&self, rows: &Labelled<'_, T>, room: &mut Room, out: &mut [T]) {
        #[cfg(target_arch = "x86_64")]
        by!(&self.by, room, |way, tiles| {
            way.products().squares_of_all(&rows.singles(), tiles, cast_slice_mut(out));
        });
        // There are no packed prototypes elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, room, out);
    }
}

/// What a step of winner pairs needs and leaves.
pub(super) struct Judged<'a, T> {
    /// The factor of each row.
    pub factors: &'a [T],
    /// Another one, of the sums.
    pub scale: T,
    /// The loss of each row.
    pub losses: &'a mut [T],
    /// Any prototype of a class and any of others, for rows without a winner.
    pub any: &'a dyn Fn(u32) -> [u32; 2],
    /// `H_j += g (x_i - w_j)`, if it is wanted.
    pub sums: Option<&'a mut [T]>,
}

impl Packed {
    /// Winner pairs, what they cost and their sums in one go over the rows.
    ///
    /// Panics where winners are not found by differences, or prototypes have relevances.
    pub fn step_of_winners<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        room: &mut Room,
        objective: &impl PairObjective<f32>,
        out: Judged<'_, T>,
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            let out = Judged {
                factors: cast_slice(out.factors),
                scale: out.scale.f64() as f32,
                losses: cast_slice_mut(out.losses),
                any: out.any,
                sums: out.sums.map(cast_slice_mut),
            };
            by!(&self.by, room, |way, tiles| {
                way.few().step(&rows.singles(), tiles, objective, out);
            });
        }
        // There are no packed prototypes elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, room, objective, out);
    }
}

/// What a soft loss makes of rows.
pub(super) struct Slopes<'a, T> {
    /// The factor of each row.
    pub factors: &'a [T],
    /// The loss of each.
    pub losses: &'a mut [T],
    /// `dL/dD`, times the row's factor, `b x p`.
    pub g: &'a mut [T],
}

/// A loss that depends on the posteriors of right and of wrong prototypes alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Soft {
    /// [`nllr`]
    Nllr,
    /// [`rslvq`]
    Rslvq,
}

/// What a soft loss sums over rows.
pub(super) struct SoftSums<'a, T> {
    /// The factor of each row.
    pub factors: &'a [T],
    /// The loss of each.
    pub losses: &'a mut [T],
    /// `H_j += G_ij (x_i - w_j)`, if it is wanted.
    pub sums: Option<&'a mut [T]>,
}

/// The loss in single precision.
#[cfg(target_arch = "x86_64")]
macro_rules! with_loss {
    ($soft:expr, $sigma:expr, |$loss:ident| $call:expr) => {{
        let sigma = $sigma as f32;
        match $soft {
            Soft::Nllr => {
                let $loss = Loss { sigma, shares: |c, q| nllr::shares(c, q, sigma) };
                $call
            }
            Soft::Rslvq => {
                let $loss = Loss { sigma, shares: |c, _| rslvq::shares(c, 1.0, sigma) };
                $call
            }
        }
    }};
}

impl Packed {
    /// Loss and slopes of each row.
    pub fn posteriors<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        room: &mut Room,
        soft: Soft,
        sigma: f64,
        out: Slopes<'_, T>,
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            let out = Slopes {
                factors: cast_slice(out.factors),
                losses: cast_slice_mut(out.losses),
                g: cast_slice_mut(out.g),
            };
            by!(&self.by, room, |way, tiles| with_loss!(soft, sigma, |loss| {
                way.products().posteriors(&rows.singles(), tiles, loss, out)
            }));
        }
        // There are no packed prototypes elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, room, soft, sigma, out);
    }

    /// Losses, and the sums of the slopes, of rows that [`pays`] lets through, in one go over them.
    pub fn step_of_posteriors<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        room: &mut Room,
        soft: Soft,
        sigma: f64,
        out: SoftSums<'_, T>,
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            let out = SoftSums {
                factors: cast_slice(out.factors),
                losses: cast_slice_mut(out.losses),
                sums: out.sums.map(cast_slice_mut),
            };
            by!(&self.by, room, |way, tiles| with_loss!(soft, sigma, |loss| {
                way.products().soft_step(&rows.singles(), tiles, loss, out)
            }));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, room, soft, sigma, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::cooperation::posterior::posterior;
    use crate::parts::objective::{EPS, glvq::Glvq, transfer::Transfer};
    use proptest::prelude::*;

    /// Laid out for each instruction set that this machine has.
    fn each(squares: Squares<'_, f32>, labels: &[u32], few: bool) -> Vec<Packed> {
        #[cfg(target_arch = "x86_64")]
        let all = [
            simd::wide().map(|wide| By::Wide(Way::new(wide, squares, labels, few))),
            simd::usual().map(|usual| By::Usual(Way::new(usual, squares, labels, few))),
        ];
        #[cfg(target_arch = "x86_64")]
        return all.into_iter().flatten().map(|by| Packed { by }).collect();
        #[cfg(not(target_arch = "x86_64"))]
        Packed::new(squares, labels, few).into_iter().collect()
    }

    proptest! {
        #[test]
        fn as_a_plain_search(
            rows in 1usize..40,
            d in 1usize..=32,
            labels in proptest::collection::vec(0u32..3, 1..16),
            seed in 0u64..1000,
        ) {
            // Coarse values, so that ties occur.
            let value = |i: usize| f64::from(((i as u64 * 2_654_435_761 + seed * 40_503) >> 7) as u8 % 5);
            let p = labels.len();
            let x: Vec<f64> = (0..rows * d).map(value).collect();
            let w: Vec<f64> = (0..p * d).map(|i| value(i + 7)).collect();
            let lam: Vec<f64> = (0..d).map(|a| value(a + 3)).collect();
            let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &x, centre: &[] };
            let (mut winners, mut least) = (vec![], vec![]);
            let check = |weighted: bool, winners: &[[u32; 2]], least: &[f64]| -> Result<(), TestCaseError> {
                for i in 0..rows {
                    let distance = |j: usize| -> f64 {
                        (0..d).map(|a| {
                            let e = x[i * d + a] - w[j * d + a];
                            if weighted { lam[a] * e * e } else { e * e }
                        }).sum()
                    };
                    for side in 0..2 {
                        let nearest = (0..p)
                            .filter(|&j| (labels[j] == of[i]) == (side == 0))
                            .reduce(|b, j| if distance(j) < distance(b) { j } else { b });
                        prop_assert_eq!(winners[i][side], nearest.map_or(NOBODY, |j| j as u32));
                        prop_assert_eq!(least[2 * i + side], nearest.map_or(f64::INFINITY, distance));
                    }
                }
                Ok(())
            };
            winner_pairs(&block, Squares { w: &w, lam: None, bent: Bent::Not }, &mut winners, &mut least);
            check(false, &winners, &least)?;
            winner_pairs(&block, Squares { w: &w, lam: Some(&lam), bent: Bent::Not }, &mut winners, &mut least);
            check(true, &winners, &least)?;

            // Single precision may have instructions of its own. (Fourths: sums are exact, however they are formed.)
            let single = |values: &[f64]| values.iter().map(|v| *v as f32 / 4.0).collect::<Vec<f32>>();
            let (x, w, lam) = (single(&x), single(&w), single(&lam));
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &x, centre: &[] };
            for lam in [None, Some(&lam[..])] {
                let squares = Squares { w: &w, lam, bent: Bent::Not };
                let (mut winners, mut least) = (vec![], vec![]);
                let (mut expected, mut expected_least) = (vec![], vec![]);
                winner_pairs(&block, squares, &mut expected, &mut expected_least);
                for packed in each(squares, &labels, true) {
                    let mut room = Room::default();
                    prop_assert!(packed.winner_pairs(&block, &mut room, &mut winners, &mut least));
                    prop_assert_eq!((&winners, &least), (&expected, &expected_least));
                }
            }
        }
    }

    /// Coarse values, which products and sums leave exact in single precision: ties occur.
    fn coarse(count: usize, seed: u64) -> Vec<f32> {
        let value = |i: usize| ((i as u64 * 2_654_435_761 + seed * 40_503) >> 7) as u8 % 5;
        (0..count).map(|i| f32::from(value(i)) - 2.0).collect()
    }

    proptest! {
        #[test]
        fn products_find_what_a_plain_search_finds(
            rows in 1usize..70,
            d in 1usize..40,
            labels in proptest::collection::vec(0u32..3, 1..60),
            weighted: bool,
            seed in 0u64..1000,
        ) {
            let p = labels.len();
            let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
            let lam = coarse(d, seed + 2).iter().map(|v| v + 2.0).collect::<Vec<_>>();
            let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
            let squares = Squares { w: &w, lam: weighted.then_some(&lam[..]), bent: Bent::Not };
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &x, centre: &[] };
            for packed in each(squares, &labels, false) {
                let (mut winners, mut room) = (vec![], Room::default());
                packed.winner_pairs(&block, &mut room, &mut winners, &mut vec![]);
                for i in 0..rows {
                    let distance = |j: usize| -> f32 {
                        let terms = x[i * d..][..d].iter().zip(&w[j * d..][..d]).zip(&lam);
                        terms.map(|((x, w), lam)| {
                            let e = x - w;
                            if weighted { lam * e * e } else { e * e }
                        }).sum()
                    };
                    for (winner, own) in winners[i].iter().zip([true, false]) {
                        let nearest = (0..p)
                            .filter(|&j| (labels[j] == of[i]) == own)
                            .reduce(|b, j| if distance(j) < distance(b) { j } else { b });
                        prop_assert_eq!(*winner, nearest.map_or(NOBODY, |j| j as u32));
                    }
                }
            }
        }

        #[test]
        fn the_nearest_of_all_is_told_where_it_is_alone(
            rows in 1usize..70,
            d in 1usize..40,
            p in 1usize..60,
            few: bool,
            seed in 0u64..1000,
        ) {
            let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
            let (of, labels) = (vec![NOBODY; rows], vec![0; p]);
            let squares = Squares { w: &w, lam: None, bent: Bent::Not };
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &[] };
            let few = few && tiles_pay(d, p);
            for packed in each(squares, &labels, few) {
                let mut found = vec![0; rows];
                packed.nearest_of_all(&block, &mut Room::default(), &mut vec![], &mut found);
                for i in 0..rows {
                    let distance = |j: usize| -> f32 {
                        let terms = x[i * d..][..d].iter().zip(&w[j * d..][..d]);
                        terms.map(|(x, w)| (x - w) * (x - w)).sum()
                    };
                    let all: Vec<f32> = (0..p).map(distance).collect();
                    let least = all.iter().copied().fold(f32::INFINITY, f32::min);
                    let mut nearest = (0..p).filter(|j| all[*j] == least);
                    let first = nearest.next().expect("one") as u32;
                    let alone = nearest.next().is_none();
                    prop_assert_eq!(found[i], if alone || few { first } else { NOBODY });
                }
            }
        }

        #[test]
        fn matrices_are_those_of_each_pair(
            rows in 1usize..70,
            d in 1usize..40,
            p in 1usize..120,
            seed in 0u64..1000,
        ) {
            let (x, w, centre) = (coarse(rows * d, seed), coarse(p * d, seed + 1), coarse(d, seed + 2));
            let (of, labels) = (vec![NOBODY; rows], vec![0; p]);
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &centre };
            for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
                let mut got = vec![f32::NAN; rows * p];
                packed.squares_of_all(&block, &mut Room::default(), &mut got);
                for (i, got) in got.chunks(p).enumerate() {
                    for (j, got) in got.iter().enumerate() {
                        let e = |a: usize| x[i * d + a] - centre[a] - w[j * d + a];
                        prop_assert_eq!(*got, (0..d).map(|a| e(a) * e(a)).sum::<f32>());
                    }
                }
            }
        }

        /// A winner's distance is the least in double precision, up to what single precision tells apart.
        #[test]
        fn exponential_keys_find_the_nearest(
            rows in 1usize..70,
            d in 1usize..20,
            labels in proptest::collection::vec(0u32..3, 1..40),
            scale in 0.05f32..3.0,
            seed in 0u64..1000,
        ) {
            let p = labels.len();
            let scaled = |values: Vec<f32>| values.iter().map(|v| v * scale).collect::<Vec<_>>();
            let (x, w) = (scaled(coarse(rows * d, seed)), scaled(coarse(p * d, seed + 1)));
            let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
            let squares = Squares { w: &w, lam: None, bent: Bent::Exponential };
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &[] };
            for packed in each(squares, &labels, false) {
                let (mut winners, mut room) = (vec![], Room::default());
                packed.winner_pairs(&block, &mut room, &mut winners, &mut vec![]);
                for i in 0..rows {
                    let x = &x[i * d..][..d];
                    let dot = |a: &[f32], b: &[f32]| -> f64 {
                        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                    };
                    // e^a + e^b - 2 e^c over e^max(a, b), in the logarithm.
                    let key = |j: usize| {
                        let w = &w[j * d..][..d];
                        let (a, b, c) = (dot(x, x), dot(w, w), dot(x, w));
                        let m = a.max(b);
                        m + ((a - m).exp() + (b - m).exp() - 2.0 * (c - m).exp()).max(0.0).ln()
                    };
                    for (winner, own) in winners[i].iter().zip([true, false]) {
                        let least = (0..p)
                            .filter(|&j| (labels[j] == of[i]) == own)
                            .map(&key)
                            .reduce(f64::min);
                        let Some(least) = least else {
                            prop_assert_eq!(*winner, NOBODY);
                            continue;
                        };
                        // (Where a row is a prototype, the least is minus infinity; single precision leaves some of the square.)
                        let got = key(*winner as usize);
                        let tolerance = 1e-5 * (1.0 + dot(x, x));
                        prop_assert!(got <= least.max(tolerance.ln() + dot(x, x)) + 1e-4 * (1.0 + least.abs()), "row {i}: {got} {least}");
                    }
                }
            }
        }

        /// Against the rows' own functions in double precision.
        #[test]
        fn posteriors_are_those_of_each_row(
            rows in 1usize..70,
            d in 1usize..20,
            labels in proptest::collection::vec(0u32..3, 2..40),
            ratio: bool,
            seed in 0u64..1000,
        ) {
            let (p, sigma) = (labels.len(), 1.3);
            let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
            let (x, w) = (x.iter().map(|v| v / 3.0).collect::<Vec<_>>(), w.iter().map(|v| v / 3.0).collect::<Vec<_>>());
            let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &[] };
            let factors: Vec<f32> = (0..rows).map(|i| i as f32 / 10.0).collect();
            for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
                let mut room = Room::default();
                let (mut losses, mut g) = (vec![0.0f32; rows], vec![0.0f32; rows * p]);
                let out = Slopes { factors: &factors, losses: &mut losses, g: &mut g };
                let soft = if ratio { Soft::Nllr } else { Soft::Rslvq };
                packed.posteriors(&block, &mut room, soft, sigma, out);
                for i in 0..rows {
                    let distances: Vec<f64> = w.chunks(d).map(|w| {
                        x[i * d..][..d].iter().zip(w).map(|(x, w)| (f64::from(*x) - f64::from(*w)).powi(2)).sum()
                    }).collect();
                    let (mut slopes, mut room) = (vec![0.0; p], vec![0.0; p]);
                    posterior(&distances, sigma, &mut slopes);
                    let loss = match soft {
                        Soft::Nllr => nllr::row(&mut slopes, &mut room, &labels, of[i], sigma),
                        Soft::Rslvq => rslvq::row(&mut slopes, &labels, of[i], sigma),
                    };
                    let near = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-5 * b.abs().max(1.0);
                    prop_assert!(near(losses[i], loss), "row {i}: {} {loss}", losses[i]);
                    for (got, slope) in g[i * p..][..p].iter().zip(&slopes) {
                        prop_assert!(near(*got, slope * f64::from(factors[i])), "row {i}: {got} {slope}");
                    }
                }
            }
        }

        /// Of stored rows, against the rows' own functions in double precision: winner pairs.
        #[test]
        fn steps_of_winners_are_those_of_each_row(
            rows in 1usize..150,
            d in 1usize..=64,
            more in proptest::collection::vec(0u32..3, 0..40),
            without: bool,
            seed in 0u64..1000,
        ) {
            // Every class has a prototype: there is a winner of either side.
            let labels: Vec<u32> = [0, 1, 2].into_iter().chain(more).collect();
            let p = labels.len();
            prop_assume!(tiles_pay(d, p));
            let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
            let centre = coarse(d, seed + 2);
            let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &centre };
            let factors: Vec<f32> = (0..rows).map(|i| (i % 4) as f32 / 8.0).collect();
            let objective = Glvq { transfer: Transfer::SigmoidBeta(3.0), margin: 0.1 };
            for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, true) {
                let (mut losses, mut sums) = (vec![0.0f32; rows], vec![1.0f32; p * d]);
                let out = Judged {
                    factors: &factors,
                    scale: 2.0,
                    losses: &mut losses,
                    any: &|_| [0, 1],
                    sums: (!without).then_some(&mut sums[..]),
                };
                packed.step_of_winners(&block, &mut Room::default(), &objective, out);
                let mut expected = vec![1.0f64; p * d];
                for i in 0..rows {
                    let e = |j: usize, a: usize| f64::from(x[i * d + a] - centre[a]) - f64::from(w[j * d + a]);
                    let distance = |j: usize| (0..d).map(|a| e(j, a) * e(j, a)).sum::<f64>();
                    let [own, other] = [true, false].map(|side| {
                        let all = (0..p).filter(|&j| (labels[j] == of[i]) == side);
                        all.reduce(|b, j| if distance(j) < distance(b) { j } else { b }).expect("one of each side")
                    });
                    let (loss, plus, minus) = objective.pair(Some(distance(own)), Some(distance(other)), EPS);
                    prop_assert!((f64::from(losses[i]) - loss).abs() < 1e-5, "row {i}: {} {loss}", losses[i]);
                    if !without {
                        for (j, g) in [(own, plus), (other, minus)] {
                            let g = g * f64::from(factors[i]) * 2.0;
                            // A row on both its prototypes has no finite slope.
                            let g = if factors[i] == 0.0 { 0.0 } else { g };
                            (0..d).for_each(|a| expected[j * d + a] += g * e(j, a));
                        }
                    }
                }
                for (got, expected) in sums.iter().zip(&expected) {
                    prop_assert!((f64::from(*got) - expected).abs() < 1e-3 * expected.abs().max(1.0), "{got} {expected}");
                }
            }
        }

        /// The same of posteriors.
        #[test]
        fn steps_of_posteriors_are_those_of_each_row(
            rows in 1usize..150,
            d in 1usize..=32,
            labels in proptest::collection::vec(0u32..3, 2..17),
            ratio: bool,
            without: bool,
            seed in 0u64..1000,
        ) {
            let (p, sigma) = (labels.len(), 2.3);
            let thirds = |values: Vec<f32>| values.iter().map(|v| v / 3.0).collect::<Vec<_>>();
            let (x, w) = (thirds(coarse(rows * d, seed)), thirds(coarse(p * d, seed + 1)));
            let centre = thirds(coarse(d, seed + 2));
            let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
            let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &centre };
            let factors: Vec<f32> = (0..rows).map(|i| (i % 4) as f32 / 8.0).collect();
            let soft = if ratio { Soft::Nllr } else { Soft::Rslvq };
            for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
                let (mut losses, mut sums) = (vec![0.0f32; rows], vec![1.0f32; p * d]);
                let out = SoftSums {
                    factors: &factors,
                    losses: &mut losses,
                    sums: (!without).then_some(&mut sums[..]),
                };
                packed.step_of_posteriors(&block, &mut Room::default(), soft, sigma, out);
                let mut expected = vec![1.0f64; p * d];
                for i in 0..rows {
                    let e = |j: usize, a: usize| f64::from(x[i * d + a] - centre[a]) - f64::from(w[j * d + a]);
                    let distances: Vec<f64> =
                        (0..p).map(|j| (0..d).map(|a| e(j, a) * e(j, a)).sum()).collect();
                    let (mut slopes, mut room) = (vec![0.0; p], vec![0.0; p]);
                    posterior(&distances, sigma, &mut slopes);
                    let loss = match soft {
                        Soft::Nllr => nllr::row(&mut slopes, &mut room, &labels, of[i], sigma),
                        Soft::Rslvq => rslvq::row(&mut slopes, &labels, of[i], sigma),
                    };
                    prop_assert!((f64::from(losses[i]) - loss).abs() < 1e-4 * loss.abs().max(1.0), "row {i}: {} {loss}", losses[i]);
                    for (j, g) in slopes.iter().enumerate().filter(|_| !without) {
                        let g = g * f64::from(factors[i]);
                        (0..d).for_each(|a| expected[j * d + a] += g * e(j, a));
                    }
                }
                for (got, expected) in sums.iter().zip(&expected) {
                    prop_assert!((f64::from(*got) - expected).abs() < 1e-3 * expected.abs().max(1.0), "{got} {expected}");
                }
            }
        }
    }

    #[test]
    fn rows_without_a_distance_have_any_winners() {
        let (d, rows) = (3, 40);
        let labels = [0, 1, 1];
        let mut x = coarse(rows * d, 5);
        x[7 * d] = f32::NAN;
        let (w, centre, of) = (coarse(labels.len() * d, 6), vec![0.5; d], vec![1; rows]);
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], centre: &centre };
        let squares = Squares { w: &w, lam: None, bent: Bent::Not };
        for packed in each(squares, &labels, true) {
            let objective = Glvq { transfer: Transfer::Identity, margin: 0.0 };
            let factors: Vec<f32> = (0..rows).map(|i| if i == 7 { 0.0 } else { 1.0 }).collect();
            let mut losses = vec![0.0f32; rows];
            let asked = std::cell::Cell::new(0);
            let out = Judged {
                factors: &factors,
                scale: 1.0,
                losses: &mut losses,
                any: &|class| {
                    asked.set(asked.get() + 1);
                    assert_eq!(class, 1);
                    [1, 0]
                },
                sums: None,
            };
            packed.step_of_winners(&block, &mut Room::default(), &objective, out);
            assert!(asked.get() > 0);
            for (i, loss) in losses.iter().enumerate() {
                assert_eq!(loss.is_nan(), i == 7, "row {i}: {loss}");
            }
        }
    }
}
