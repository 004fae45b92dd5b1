//! Squared distances of rows to their two winners, by differences.

use super::registers::Registers;
use crate::parts::metric::Squares;
use pulp::NullaryFnOnce;

/// `sum_a lam_a (x_ia - w_ja)^2` of each row and its winners, both one after the other.
///
/// Panics if a winner is not a prototype.
pub fn squares<S: Registers>(
    simd: S,
    x: &[f32],
    squares: Squares<'_, f32>,
    d: usize,
    winners: &[[u32; 2]],
    out: &mut [f32],
) {
    simd.run(OfWinners { simd, x, squares, d, winners, out });
}

struct OfWinners<'a, S> {
    simd: S,
    x: &'a [f32],
    squares: Squares<'a, f32>,
    d: usize,
    winners: &'a [[u32; 2]],
    out: &'a mut [f32],
}

impl<S: Registers> NullaryFnOnce for OfWinners<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let OfWinners { simd, x, squares: Squares { w, lam, .. }, d, winners, out } = self;
        let greatest = winners.as_flattened().iter().fold(0, |g: u32, j| g.max(*j));
        assert!((greatest as usize + 1) * d <= w.len() && x.len() == winners.len() * d);
        assert!(lam.is_none_or(|lam| lam.len() == d) && out.len() == 2 * winners.len());
        let rows = x.chunks(S::ROWS / 2 * d).zip(winners.chunks(S::ROWS / 2));
        for ((x, winners), out) in rows.zip(out.chunks_mut(S::ROWS)) {
            // SAFETY: every winner is a prototype, and there are as many rows as winners.
            let sums = unsafe {
                match lam {
                    None => of_rows::<S, false>(simd, x, w, &[], d, winners),
                    Some(lam) => of_rows::<S, true>(simd, x, w, lam, d, winners),
                }
            };
            if out.len() == S::ROWS {
                // SAFETY: there is room for as many values.
                unsafe { simd.store(out.as_mut_ptr(), sums) };
            } else {
                // SAFETY: there is room in the places of the mask.
                unsafe { simd.store_part(out.as_mut_ptr(), simd.first(out.len()), sums) };
            }
        }
    }
}

/// Of at most half as many rows as a register has values; nothing of use for rows beside the last.
///
/// # Safety
///
/// Winners are prototypes, and there are as many rows as winners, each of `d` values; so many are the relevances, if they are looked at.
#[inline(always)]
unsafe fn of_rows<S: Registers, const WEIGHTED: bool>(
    simd: S,
    x: &[f32],
    w: &[f32],
    lam: &[f32],
    d: usize,
    winners: &[[u32; 2]],
) -> S::Floats {
    let mut sums = S::square(simd.zero());
    let rest = simd.first(d % S::ROWS);
    for i in 0..S::ROWS / 2 {
        let row = i.min(winners.len() - 1);
        let [own, other] = winners[row].map(|j| w.as_ptr().wrapping_add(j as usize * d));
        let from = [x.as_ptr().wrapping_add(row * d), own, other, lam.as_ptr()];
        let mut two = [simd.zero(); 2];
        let mut a = 0;
        while a + S::ROWS <= d {
            // SAFETY: each has as many values from there on.
            two = unsafe { add_squares::<S, WEIGHTED, true>(simd, rest, from, a, two) };
            a += S::ROWS;
        }
        if a < d {
            // SAFETY: each has values from there on in the places of the mask.
            two = unsafe { add_squares::<S, WEIGHTED, false>(simd, rest, from, a, two) };
        }
        [sums[2 * i], sums[2 * i + 1]] = two;
    }
    simd.totals(sums)
}

/// Adds the squares of a register of features from number `a` on: of a row, both its winners and the relevances. (A part takes longer than a whole.)
///
/// # Safety
///
/// Each that is looked at has as many values from there on if it is a whole register, else values in the places of the mask.
#[inline(always)]
unsafe fn add_squares<S: Registers, const WEIGHTED: bool, const WHOLE: bool>(
    simd: S,
    mask: S::Mask,
    from: [*const f32; 4],
    a: usize,
    [plus, minus]: [S::Floats; 2],
) -> [S::Floats; 2] {
    let mut values = [simd.zero(); 4];
    for k in 0..if WEIGHTED { 4 } else { 3 } {
        let from = from[k].wrapping_add(a);
        // SAFETY: as the caller says.
        values[k] = unsafe { if WHOLE { simd.load(from) } else { simd.load_part(mask, from) } };
    }
    let [x, own, other, lam] = values;
    let [e_own, e_other] = [simd.sub(x, own), simd.sub(x, other)];
    let (mut own, mut other) = (e_own, e_other);
    if WEIGHTED {
        (own, other) = (simd.mul(own, lam), simd.mul(other, lam));
    }
    [simd.mul_add(own, e_own, plus), simd.mul_add(other, e_other, minus)]
}
