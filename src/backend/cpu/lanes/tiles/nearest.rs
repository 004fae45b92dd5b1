//! The nearest prototypes so far of each row of a tile: of its class, and of all others.

use super::registers::Registers;
use super::tile::LARGEST;
use crate::parts::cooperation::winner_pair::NOBODY;

/// Prototypes of a class stand next to each other mostly: such a run has its own nearest, whatever the rows' classes are, and what it comes to
/// for a row is settled once a run.
pub(super) struct Nearest<S: Registers> {
    simd: S,
    classes: [S::Words; 2],
    /// The class of the run.
    label: i32,
    run: Best<S>,
    /// Of each row's class, and of all others.
    pub sides: [Best<S>; 2],
}

/// A least value and whose it is, for both registers of rows.
#[derive(Clone, Copy)]
pub(super) struct Best<S: Registers> {
    pub least: [S::Floats; 2],
    pub at: [S::Words; 2],
}

impl<S: Registers> Nearest<S> {
    #[inline(always)]
    pub fn new(simd: S, classes: [S::Words; 2]) -> Self {
        let none =
            Best { least: [simd.splat(f32::INFINITY); 2], at: [simd.splat_word(NOBODY as i32); 2] };
        // No prototype is of this class.
        Nearest { simd, classes, label: i32::MIN, run: none, sides: [none; 2] }
    }

    /// Sees the values of prototype `j`; the first keeps a tie, and what is not below infinity does not count.
    #[inline(always)]
    pub fn see(&mut self, values: [S::Floats; 2], label: i32, j: usize) {
        let simd = self.simd;
        let number = simd.splat_word(j as i32);
        if label != self.label {
            self.settle();
            self.label = label;
            // (The second operand is what the minimum is where one is not a number.)
            let most = simd.splat(f32::INFINITY);
            let least = [simd.min(values[0], most), simd.min(values[1], most)];
            self.run = Best { least, at: [number; 2] };
            return;
        }
        let Best { least, at } = &mut self.run;
        for half in 0..2 {
            let nearer = simd.less(values[half], least[half]);
            least[half] = simd.min(values[half], least[half]);
            at[half] = simd.select_words(nearer, number, at[half]);
        }
    }

    /// Holds the run's nearest against those before it; to be called after the last prototype.
    #[inline(always)]
    pub fn settle(&mut self) {
        let simd = self.simd;
        let label = simd.splat_word(self.label);
        for half in 0..2 {
            let (value, number) = (self.run.least[half], self.run.at[half]);
            let own = simd.same(self.classes[half], label);
            for (side, Best { least, at }) in self.sides.iter_mut().enumerate() {
                let nearer = simd.less(value, least[half]);
                let nearer =
                    if side == 0 { simd.and(own, nearer) } else { simd.and_not(own, nearer) };
                least[half] = simd.select(nearer, value, least[half]);
                at[half] = simd.select_words(nearer, number, at[half]);
            }
        }
    }

    /// Whose they are ([`NOBODY`] where there is none): row by row, both sides one after the other.
    #[inline(always)]
    pub fn store(&self, winners: &mut [[u32; 2]; LARGEST]) {
        let [own, other] = &self.sides;
        *winners = pairs_of(self.simd, [own.at, other.at]);
    }

    /// Leaves both sides in memory, of a tile whose rows are those of `masks`.
    #[inline(always)]
    pub fn leave(&self, masks: [S::Mask; 2], found: &mut Found) {
        let simd = self.simd;
        let nobody = simd.splat_word(NOBODY as i32);
        found.is_short = false;
        for (side, Best { least, at }) in self.sides.iter().enumerate() {
            for half in 0..2 {
                found.is_short |= simd.any(simd.and(masks[half], simd.same(at[half], nobody)));
                // SAFETY: there is room for as many values.
                unsafe {
                    let to = found.winners[side][half * S::ROWS..][..S::ROWS].as_mut_ptr();
                    simd.store_words(to, at[half]);
                    let to = found.least[side][half * S::ROWS..][..S::ROWS].as_mut_ptr();
                    simd.store(to, least[half]);
                }
            }
        }
    }
}

/// The nearest of its class and of all others for the rows of a tile.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct Found {
    /// [`NOBODY`] where no distance was below infinity.
    pub winners: [[u32; LARGEST]; 2],
    pub least: [[f32; LARGEST]; 2],
    /// Whether that is so for a row.
    pub is_short: bool,
}

impl Found {
    /// Both sides one after the other, row by row: winners, and their values.
    #[inline(always)]
    pub fn pairs<S: Registers>(&self, simd: S) -> ([[u32; 2]; LARGEST], [[f32; 2]; LARGEST]) {
        let mut pairs = [[[0; 2]; LARGEST]; 2];
        let sides: [&[[u32; LARGEST]; 2]; 2] = [&self.winners, bytemuck::cast_ref(&self.least)];
        for (sides, pairs) in sides.into_iter().zip(&mut pairs) {
            let mut registers = [[simd.splat_word(0); 2]; 2];
            for side in 0..2 {
                for half in 0..2 {
                    let from = sides[side][half * S::ROWS..][..S::ROWS].as_ptr();
                    // SAFETY: there are as many values.
                    registers[side][half] = unsafe { simd.load_words(from) };
                }
            }
            *pairs = pairs_of(simd, registers);
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
#[inline(always)]
fn pairs_of<S: Registers>(simd: S, [own, other]: [[S::Words; 2]; 2]) -> [[u32; 2]; LARGEST] {
    let mut out = [[0; 2]; LARGEST];
    for half in 0..2 {
        let pairs = simd.interleaved(own[half], other[half]);
        for (quarter, pairs) in pairs.into_iter().enumerate() {
            let out = &mut out[half * S::ROWS + quarter * S::ROWS / 2..][..S::ROWS / 2];
            // SAFETY: there is room for as many pairs of values.
            unsafe { simd.store_words(out.as_mut_ptr().cast(), pairs) };
        }
    }
    out
}
