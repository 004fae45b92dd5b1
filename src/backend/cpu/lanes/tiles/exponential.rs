//! The nearest by the [exponential kernel](crate::parts::kernel::exponential), a register of rows at a time.
//!
//! `D = e^m br` with `m = max(a, b)`, `br = (1 - t)^2 + 2 t (1 - h)`, `t = exp(-|a - b|/2)`, `h = exp(-q/2)`. To find the least of a row its D may be in
//! units of `e^a`: `e^(m - a)` is 1, or `1/t^2` where b is the larger. So no logarithm is needed. Where that leaves the range of numbers br is 1,
//! and anything that grows with b will do.

use super::nearest::Nearest;
use super::products::Products;
use super::registers::Registers;
use super::tile::{LARGEST, Tiles, tile};
use super::{Power, Room, power};
use crate::backend::cpu::lanes::Labelled;
use pulp::NullaryFnOnce;

/// Binary logarithm of 1/t from which on it is not followed any more: `1/t^2` and what goes on from there stay in the range of numbers.
const FAR: f32 = 60.0;

impl<S: Registers> Products<S> {
    /// [`Products::search`] for the least of the exponential kernel's distances.
    pub fn search_exponential(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room<S>,
        winners: &mut [[u32; 2]],
    ) {
        self.simd.run(Search { products: self, rows, room, winners });
    }
}

/// [`Products::search_exponential`]
struct Search<'a, S: Registers> {
    products: &'a Products<S>,
    rows: &'a Labelled<'a, f32>,
    room: &'a mut Room<S>,
    winners: &'a mut [[u32; 2]],
}

impl<S: Registers> NullaryFnOnce for Search<'_, S> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Products { simd, packed, .. } = self.products;
        let simd = *simd;
        let Room { turned, slopes: keys, .. } = self.room;
        let mut tiles = Tiles::new(simd, self.rows, packed.d, turned);
        keys.resize(packed.labels.len(), [simd.zero(); 2]);
        for winners in self.winners.chunks_mut(tile::<S>()) {
            let Some(tile) = tiles.next() else { return };
            self.products.products(tiles.turned, tile.ahead, keys);
            let norms = tiles.norms();
            let mut nearest = Nearest::new(simd, tile.classes);
            let prototypes = packed.starts.iter().zip(&packed.labels);
            for (j, (sums, (start, label))) in keys[..packed.p].iter().zip(prototypes).enumerate() {
                let b = simd.splat(2.0 * start);
                let keys = [key(simd, norms[0], b, sums[0]), key(simd, norms[1], b, sums[1])];
                nearest.see(keys, *label, j);
            }
            nearest.settle();
            let mut found = [[0; 2]; LARGEST];
            nearest.store(&mut found);
            winners.copy_from_slice(&found[..winners.len()]);
        }
    }
}

/// What grows with D in units of `e^a`, from a, b and `|v|^2/2 - y.v`.
#[inline(always)]
fn key<S: Registers>(simd: S, a: S::Floats, b: S::Floats, sum: S::Floats) -> S::Floats {
    const HALF: f32 = -0.5 * std::f32::consts::LOG2_E;
    let one = simd.splat(1.0);
    // Below 0 by rounding alone. (The second operand is what the maximum is where one is not a number.)
    let q = simd.max(simd.zero(), simd.mul_add(sum, simd.splat(2.0), a));
    let gap = simd.mul(simd.abs(simd.sub(a, b)), simd.splat(HALF));
    let (t, less) = powers(simd, simd.max(simd.splat(-FAR), gap));
    let (_, rest) = powers(simd, simd.mul(q, simd.splat(HALF)));
    let br = simd.mul_add(less, less, simd.mul(simd.add(t, t), rest));
    // 1/t by steps of Newton's: a division would wait.
    let mut inverse = simd.reciprocal(t);
    for _ in 0..S::STEPS {
        let error = simd.sub_product(t, inverse, one);
        inverse = simd.mul_add(error, inverse, inverse);
    }
    // From 1 on, for what is beyond, and at most 128.
    let beyond = simd.mul_add(gap, simd.splat(-1.0 / 1024.0), simd.splat(1.0 - FAR / 1024.0));
    let beyond = simd.min(simd.splat(128.0), simd.max(one, beyond));
    let height = simd.mul(simd.mul(inverse, inverse), beyond);
    simd.select(simd.less(a, b), simd.mul(br, height), br)
}

/// `2^x` and `1 - 2^x` for `x <= 0`, the first not below `2^-125`, the second without cancellation; NaN of NaN.
#[inline(always)]
fn powers<S: Registers>(simd: S, x: S::Floats) -> (S::Floats, S::Floats) {
    // (The second operand is what the maximum is where one is not a number.)
    let x = simd.max(simd.splat(-125.0), x);
    let Power { k, f, sum } = power(simd, x);
    let more = simd.mul(sum, f);
    let one = simd.splat(1.0);
    // 2^k (1 + more)
    let scale = simd.scale(one, k);
    let power = simd.mul_add(scale, more, scale);
    (power, simd.sub_product(scale, more, simd.sub(one, scale)))
}

#[cfg(test)]
mod tests {
    use super::super::registers::MOST;
    use super::super::{exp2, with_each};
    use super::*;
    use crate::parts::exp::Exponential;

    /// `f(x)` of registers of this machine.
    fn values<S: Registers, const N: usize>(
        simd: S,
        x: [f32; N],
        f: impl Fn(S, [S::Floats; N]) -> [S::Floats; 3],
    ) -> [f32; 3] {
        f(simd, x.map(|x| simd.splat(x))).map(|out| {
            let mut values = [0.0; MOST];
            // SAFETY: there is room for as many values.
            unsafe { simd.store(values.as_mut_ptr(), out) };
            values[0]
        })
    }

    fn functions_have_their_digits_in<S: Registers>(simd: S) {
        for i in 0..3200 {
            let x = 1.0e-5 * 1.005f32.powi(i);
            let all = values(simd, [-x], |simd, [x]| {
                let (power, less) = powers(simd, x);
                [power, less, exp2(simd, x)]
            });
            let counts = -x * std::f32::consts::LN_2 > f32::FAINT;
            let x = f64::from(x);
            let [power, less, share] = all.map(f64::from);
            let expected = (-x).exp2();
            assert!((power - expected).abs() < 2e-7 * expected + 3e-38, "2^-{x}: {power}");
            if counts {
                assert!((share - expected).abs() < 2e-7 * expected, "2^-{x}: {share}");
            } else {
                assert!(share <= f64::from(f32::FAINT).exp(), "2^-{x}: {share}");
            }
            let expected = -(-x * std::f64::consts::LN_2).exp_m1();
            assert!((less - expected).abs() < 3e-7 * expected, "1 - 2^-{x}: {less}");
        }
    }

    #[test]
    fn functions_have_their_digits() {
        with_each!(|simd| functions_have_their_digits_in(simd));
    }

    /// Keys are in the order of `ln D` in double precision, whatever the norms are.
    fn keys_are_in_order_in<S: Registers>(simd: S) {
        let norms = [0.0f64, 0.5, 1.0, 30.0, 80.0, 86.0, 87.5, 90.0, 200.0, 260.0, 1e3, 3e4];
        for a in norms {
            let mut all: Vec<(f64, f32)> = vec![];
            for b in norms {
                // The angle between them: q is from (|y| - |v|)^2 to (|y| + |v|)^2.
                for cosine in [1.0f64, 0.9, 0.0, -1.0] {
                    let c = (a * b).sqrt() * cosine;
                    let (m, q) = (a.max(b), a + b - 2.0 * c);
                    let gap = -(a - b).abs() / 2.0;
                    let br = gap.exp_m1().powi(2) - 2.0 * gap.exp() * (-q / 2.0).exp_m1();
                    if q < 1e-3 * (a + b) {
                        continue;
                    }
                    let [key, ..] =
                        values(simd, [a, b, b / 2.0 - c].map(|v| v as f32), |simd, [a, b, c]| {
                            [key(simd, a, b, c); 3]
                        });
                    assert!(key.is_finite());
                    all.push((m + br.ln(), key));
                }
            }
            all.sort_by(|x, y| x.0.total_cmp(&y.0));
            for pair in all.windows(2) {
                let [(ell, key), (next, above)] = [pair[0], pair[1]];
                let apart = next - ell > 1e-4 * (1.0 + ell.abs());
                assert!(!apart || above > key, "a = {a}: {key} at {ell}, {above} at {next}");
            }
        }
    }

    #[test]
    fn keys_are_in_order() {
        with_each!(|simd| keys_are_in_order_in(simd));
    }
}
