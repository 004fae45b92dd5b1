//! The nearest prototypes so far of each row of a tile: of its class, and of all others.

use super::tiles::TILE;
use super::{ROWS, interleaved};
use crate::parts::cooperation::winner_pair::NOBODY;
use std::arch::x86_64::*;

/// Prototypes of a class stand next to each other mostly: such a run has its own nearest, whatever the rows' classes are, and what it comes to
/// for a row is settled once a run.
pub(super) struct Nearest {
    classes: [__m512i; 2],
    /// The class of the run.
    label: i32,
    run: Best,
    /// Of each row's class, and of all others.
    pub sides: [Best; 2],
}

/// A least value and whose it is, for both registers of rows.
#[derive(Clone, Copy)]
pub(super) struct Best {
    pub least: [__m512; 2],
    pub at: [__m512i; 2],
}

impl Nearest {
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn new(classes: [__m512i; 2]) -> Self {
        let none = Best {
            least: [_mm512_set1_ps(f32::INFINITY); 2],
            at: [_mm512_set1_epi32(NOBODY as i32); 2],
        };
        // No prototype is of this class.
        Nearest { classes, label: i32::MIN, run: none, sides: [none; 2] }
    }

    /// Sees the values of prototype `j`; the first keeps a tie, and what is not below infinity does not count.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn see(&mut self, values: [__m512; 2], label: i32, j: usize) {
        let number = _mm512_set1_epi32(j as i32);
        if label != self.label {
            self.settle();
            self.label = label;
            // (The second operand is what the minimum is where one is not a number.)
            let most = _mm512_set1_ps(f32::INFINITY);
            let least = [_mm512_min_ps(values[0], most), _mm512_min_ps(values[1], most)];
            self.run = Best { least, at: [number; 2] };
            return;
        }
        let Best { least, at } = &mut self.run;
        for half in 0..2 {
            let nearer = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(values[half], least[half]);
            least[half] = _mm512_min_ps(values[half], least[half]);
            at[half] = _mm512_mask_mov_epi32(at[half], nearer, number);
        }
    }

    /// Holds the run's nearest against those before it; to be called after the last prototype.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn settle(&mut self) {
        let label = _mm512_set1_epi32(self.label);
        for half in 0..2 {
            let (value, number) = (self.run.least[half], self.run.at[half]);
            let own = _mm512_cmpeq_epi32_mask(self.classes[half], label);
            for (Best { least, at }, mask) in self.sides.iter_mut().zip([own, !own]) {
                let nearer = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(mask, value, least[half]);
                least[half] = _mm512_mask_mov_ps(least[half], nearer, value);
                at[half] = _mm512_mask_mov_epi32(at[half], nearer, number);
            }
        }
    }

    /// Whose they are ([`NOBODY`] where there is none): row by row, both sides one after the other.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn store(&self, winners: &mut [[u32; 2]; TILE]) {
        let [own, other] = &self.sides;
        *winners = pairs_of([own.at, other.at]);
    }

    /// Leaves both sides in memory, of a tile whose rows are those of `masks`.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn leave(&self, masks: [u16; 2], found: &mut Found) {
        let nobody = _mm512_set1_epi32(NOBODY as i32);
        let mut missing = 0;
        for (side, Best { least, at }) in self.sides.iter().enumerate() {
            for half in 0..2 {
                missing |= _mm512_mask_cmpeq_epi32_mask(masks[half], at[half], nobody);
                // SAFETY: sixteen values each.
                unsafe {
                    let to = found.winners[side].as_mut_ptr().add(half * ROWS);
                    _mm512_storeu_si512(to.cast(), at[half]);
                    let to = found.least[side].as_mut_ptr().add(half * ROWS);
                    _mm512_storeu_ps(to, least[half]);
                }
            }
        }
        found.is_short = missing != 0;
    }
}

/// The nearest of its class and of all others for the rows of a tile.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Found {
    /// [`NOBODY`] where no distance was below infinity.
    pub winners: [[u32; TILE]; 2],
    pub least: [[f32; TILE]; 2],
    /// Whether that is so for a row.
    pub is_short: bool,
}

impl Found {
    /// Both sides one after the other, row by row: winners, and their values.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn pairs(&self) -> ([[u32; 2]; TILE], [[f32; 2]; TILE]) {
        let mut pairs = [[[0; 2]; TILE]; 2];
        let sides: [&[[u32; TILE]; 2]; 2] = [&self.winners, bytemuck::cast_ref(&self.least)];
        for (sides, pairs) in sides.into_iter().zip(&mut pairs) {
            let mut registers = [[_mm512_setzero_si512(); 2]; 2];
            for side in 0..2 {
                for half in 0..2 {
                    let from = sides[side][half * ROWS..][..ROWS].as_ptr();
                    // SAFETY: sixteen values.
                    registers[side][half] = unsafe { _mm512_loadu_si512(from.cast()) };
                }
            }
            *pairs = pairs_of(registers);
        }
        let [winners, least] = pairs;
        (winners, bytemuck::cast(least))
    }

    /// `any(class)` where there is none, of rows of the classes `of`. Panics if that is none of the `p` prototypes.
    #[cold]
    pub fn fill(&mut self, of: &[u32], any: &dyn Fn(u32) -> [u32; 2], p: usize) {
        for (i, class) in of.iter().enumerate() {
            for (winners, any) in self.winners.iter_mut().zip(any(*class)) {
                if winners[i] == NOBODY {
                    assert!((any as usize) < p, "winner {any} of {p} prototypes");
                    winners[i] = any;
                }
            }
        }
    }
}

/// Values of the one and of the other side, one after the other row by row.
#[inline]
#[target_feature(enable = "avx512f")]
fn pairs_of([own, other]: [[__m512i; 2]; 2]) -> [[u32; 2]; TILE] {
    let mut out = [[0; 2]; TILE];
    for half in 0..2 {
        let pairs = interleaved([own[half], other[half]]);
        for (quarter, pairs) in pairs.into_iter().enumerate() {
            let out = &mut out[half * ROWS + quarter * ROWS / 2..][..ROWS / 2];
            // SAFETY: eight pairs of values.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), pairs) };
        }
    }
    out
}
