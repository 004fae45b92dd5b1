//! Rows side by side.
//!
//! Rows are turned so that each feature is a vector of some of them: what is looked for in a row (its nearest prototypes) is looked for in
//! its lane, and no vector is ever reduced to a number.
//!
//! [`Packed`] prototypes are held against rows by products. For a handful of prototypes of a few features that does not pay: a product has no work
//! to hide its packing behind, and a search among eight values is over before it begins. Those are held against the rows by differences
//! ([`winner_pairs`]), which give the distances themselves.

mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub(super) use portable::winner_pairs;

use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::{Bent, Squares};
use crate::parts::objective::PairObjective;
#[cfg(any(target_arch = "x86_64", test))]
use crate::parts::objective::{nllr, rslvq};
use crate::parts::real::Real;
#[cfg(target_arch = "x86_64")]
use crate::parts::simd;
use crate::parts::simd::is_wide;
#[cfg(target_arch = "x86_64")]
use bytemuck::{cast_slice, cast_slice_mut};
#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};
#[cfg(target_arch = "x86_64")]
use tiles::short::{self, Source};
#[cfg(target_arch = "x86_64")]
use tiles::{few::Few, pairs, products::Products, registers::Registers, soft::Loss};

/// Whether `p` prototypes of `d` features are so few.
pub(super) fn pays(d: usize, p: usize) -> bool {
    d <= portable::FEATURES && p <= 64 && d * p <= 512
}

/// Whether winners of plain squared distances are found in one go over the rows where there are [tiles](has_tiles): neither have distances to be formed
/// again then, nor rows to be copied.
pub(super) fn tiles_pay(d: usize, p: usize) -> bool {
    d <= 64 && p <= 64 && d * p <= 2048
}

/// Whether those winners are looked for by products first: of few and short prototypes there is nothing to gain, and of short rows the nearest is often
/// too near to be told by them.
pub(super) fn products_pay(d: usize, p: usize) -> bool {
    d >= 8 && d * p >= 96
}

/// Whether a step of winners sums over rows for all prototypes, whoever a row's winners are: of so few and short ones the sums stay in registers, and rows
/// may be [turned](Taken::Turned). (Sixteen registers are room for fewer.)
pub(super) fn are_summed(d: usize, p: usize) -> bool {
    let most = if is_wide() { 12 } else { 8 };
    pays(d, p) && p <= most && d * p <= 200
}

/// Rows of a tile at most.
pub(super) const TILE: usize = 32;

/// Whether [`Packed`] prototypes are to be had in single precision.
pub(super) fn has_tiles() -> bool {
    #[cfg(target_arch = "x86_64")]
    let there = simd::usual().is_some();
    #[cfg(not(target_arch = "x86_64"))]
    let there = false;
    there
}

/// Rows of a block and prototypes, each of a class.
#[derive(Clone, Copy)]
pub(super) struct Labelled<'a, T> {
    /// Rows, `b x d`.
    pub x: &'a [T],
    /// The class of each.
    pub of: &'a [u32],
    /// The class of each prototype.
    pub labels: &'a [u32],
    /// Values that will be read next, wherever they stand: memory that is asked for in passing.
    pub ahead: &'a [T],
    /// Whether `x` are rows as they are stored: nothing has brought them into the cache.
    pub stored: bool,
    /// What is taken from each row; nothing where it is empty.
    pub centre: &'a [T],
}

/// Where a step that goes over rows at once takes them.
#[derive(Clone, Copy)]
pub(super) enum Taken<'a, T> {
    /// As they stand in memory.
    Rows(Labelled<'a, T>),
    /// From those that are kept turned.
    Turned {
        rows: &'a Turned,
        /// The first, a multiple of [`TILE`].
        start: usize,
        /// Their classes.
        of: &'a [u32],
    },
}

#[cfg(target_arch = "x86_64")]
impl<'a, T: Real> Taken<'a, T> {
    /// The same, where `T` is single precision.
    fn singles(&self) -> Taken<'a, f32> {
        match *self {
            Taken::Rows(rows) => Taken::Rows(rows.singles()),
            Taken::Turned { rows, start, of } => Taken::Turned { rows, start, of },
        }
    }
}

#[cfg(target_arch = "x86_64")]
impl<'a> Taken<'a, f32> {
    /// The same for the instructions by which rows are `turned`. Panics where they were turned for others.
    fn source<S: Registers>(
        &'a self,
        turned: impl Fn(&'a Turned) -> Option<&'a short::Turned<S>>,
    ) -> Source<'a, S> {
        match self {
            Taken::Rows(rows) => Source::Rows(rows),
            Taken::Turned { rows, start, of } => {
                let rows = turned(rows).expect("rows and prototypes for the same instructions");
                Source::Turned { rows, start: *start, of }
            }
        }
    }
}

/// The parts of a distance, whose type is single precision.
#[cfg(target_arch = "x86_64")]
fn singles_of<T: Real>(Squares { w, lam, bent }: Squares<'_, T>) -> Squares<'_, f32> {
    Squares { w: bytemuck::cast_slice(w), lam: lam.map(bytemuck::cast_slice), bent }
}

#[cfg(target_arch = "x86_64")]
impl<'a, T: Real> Labelled<'a, T> {
    /// The same, where `T` is single precision.
    fn singles(&self) -> Labelled<'a, f32> {
        let Labelled { x, of, labels, ahead, stored, centre } = *self;
        let [x, ahead, centre] = [x, ahead, centre].map(bytemuck::cast_slice);
        Labelled { x, of, labels, ahead, stored, centre }
    }
}

/// Prototypes laid out for rows side by side in single precision, where this machine has the instructions.
pub(super) struct Packed {
    #[cfg(target_arch = "x86_64")]
    by: By<Way<V4>, Way<V3>>,
}

/// Working memory of one thread.
#[derive(Default)]
pub(super) struct Room {
    #[cfg(target_arch = "x86_64")]
    wide: tiles::Room<V4>,
    #[cfg(target_arch = "x86_64")]
    usual: tiles::Room<V3>,
}

/// What there is for the instructions by which rows are held against prototypes.
#[cfg(target_arch = "x86_64")]
enum By<W, U> {
    /// AVX-512
    Wide(W),
    /// AVX2
    Usual(U),
}

/// How rows are held against prototypes.
#[cfg(target_arch = "x86_64")]
enum Way<S: Registers> {
    /// By products, which leave no distances.
    Products(Products<S>, Bent),
    /// By differences, or by products that are known to tell the distances.
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

/// What is written once for all instructions: a [`Way`], with the working memory for it, and rows.
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
    ($by:expr, $room:expr, $taken:expr, |$way:ident, $tiles:ident, $source:ident| $call:expr) => {
        match $by {
            By::Wide($way) => {
                let ($tiles, $source) = (&mut $room.wide, $taken.source(Turned::wide));
                $call
            }
            By::Usual($way) => {
                let ($tiles, $source) = (&mut $room.usual, $taken.source(Turned::usual));
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

/// Where a matrix of distances goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goes {
    /// Into the cache, where it will be read soon.
    Near,
    /// Past the cache, which it would only sweep.
    Past,
}

impl Packed {
    /// The squared distances of all rows and prototypes, `b x p`.
    ///
    /// Panics where prototypes are not held against rows by products, or features have relevances.
    pub fn squares_of_all<T: Real>(
        &self,
        rows: &Labelled<'_, T>,
        room: &mut Room,
        goes: Goes,
        out: &mut [T],
    ) {
        #[cfg(target_arch = "x86_64")]
        by!(&self.by, room, |way, tiles| {
            way.products().squares_of_all(&rows.singles(), tiles, goes, cast_slice_mut(out));
        });
        // There are no packed prototypes elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, room, goes, out);
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
        rows: Taken<'_, T>,
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
            let rows = rows.singles();
            by!(&self.by, room, rows, |way, tiles, source| {
                way.few().step(source, tiles, objective, out);
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

/// Rows that are kept turned, in single precision.
pub(super) struct Turned {
    #[cfg(target_arch = "x86_64")]
    by: By<short::Turned<V4>, short::Turned<V3>>,
}

#[cfg(target_arch = "x86_64")]
impl Turned {
    fn wide(&self) -> Option<&short::Turned<V4>> {
        if let By::Wide(turned) = &self.by { Some(turned) } else { None }
    }

    fn usual(&self) -> Option<&short::Turned<V3>> {
        if let By::Usual(turned) = &self.by { Some(turned) } else { None }
    }
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

#[cfg(target_arch = "x86_64")]
impl<'a, T: Real> SoftSums<'a, T> {
    /// The same, where `T` is single precision.
    fn singles(self) -> SoftSums<'a, f32> {
        let SoftSums { factors, losses, sums } = self;
        let (losses, sums) = (cast_slice_mut(losses), sums.map(cast_slice_mut));
        SoftSums { factors: cast_slice(factors), losses, sums }
    }
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

    /// Losses, and the sums of the slopes, in one go over the rows.
    pub fn step_of_posteriors<T: Real>(
        &self,
        rows: Taken<'_, T>,
        room: &mut Room,
        soft: Soft,
        sigma: f64,
        out: SoftSums<'_, T>,
    ) {
        #[cfg(target_arch = "x86_64")]
        {
            let rows = rows.singles();
            with_loss!(soft, sigma, |loss| by!(&self.by, room, rows, |way, tiles, source| {
                way.products().soft_step(source, tiles, loss, out.singles());
            }));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (rows, room, soft, sigma, out);
    }

    /// Turns rows of `d` features to be [taken so](Taken::Turned); `fill` writes those from a row on, as many as there is room for.
    pub fn turn<T: Real>(
        &self,
        d: usize,
        rows: usize,
        fill: impl Fn(usize, &mut [T]) + Sync,
    ) -> Turned {
        #[cfg(target_arch = "x86_64")]
        {
            let fill = |first: usize, out: &mut [f32]| fill(first, cast_slice_mut(out));
            let by = match &self.by {
                By::Wide(way) => By::Wide(short::Turned::new(way.simd(), d, rows, fill)),
                By::Usual(way) => By::Usual(short::Turned::new(way.simd(), d, rows, fill)),
            };
            Turned { by }
        }
        // There are no packed prototypes elsewhere.
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (d, rows, fill);
            Turned {}
        }
    }
}
