//! A search for few short prototypes by differences, in any precision, on any machine.

use super::Labelled;
use crate::backend::cpu::prefetch::prefetch;
use crate::parts::cooperation::winner_pair::NOBODY;
use crate::parts::metric::Squares;
use crate::parts::real::Real;

/// Rows side by side.
const ROWS: usize = 16;
/// Features at most.
pub(super) const FEATURES: usize = 32;
/// Prototypes whose sums are formed at a time.
const AT_ONCE: usize = 4;

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
/// Panics if [`pays`](super::pays) refuses the prototypes.
pub fn winner_pairs<T: Real>(
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
