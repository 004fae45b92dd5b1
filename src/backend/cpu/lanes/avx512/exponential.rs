//! The nearest by the [exponential kernel](crate::parts::kernel::exponential), sixteen rows at a time.
//!
//! `D = e^m br` with `m = max(a, b)`, `br = (1 - t)^2 + 2 t (1 - h)`, `t = exp(-|a - b|/2)`, `h = exp(-q/2)`. To find the least of a row its D may be in
//! units of `e^a`: `e^(m - a)` is 1, or `1/t^2` where b is the larger. So no logarithm is needed. Where that leaves the range of numbers br is 1,
//! and anything that grows with b will do.

use super::nearest::Nearest;
use super::products::Products;
use super::tiles::{TILE, Tiles};
use super::{Room, power};
use crate::backend::cpu::lanes::Labelled;
use std::arch::x86_64::*;

/// Binary logarithm of 1/t from which on it is not followed any more: `1/t^2` and what goes on from there stay in the range of numbers.
const FAR: f32 = 60.0;

impl Products {
    /// [`Products::search`] for the least of the exponential kernel's distances.
    pub fn search_exponential(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        winners: &mut [[u32; 2]],
    ) {
        // SAFETY: `new` has seen that the instructions are there.
        unsafe { self.exponential_tiles(rows, room, winners) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn exponential_tiles(
        &self,
        rows: &Labelled<'_, f32>,
        room: &mut Room,
        winners: &mut [[u32; 2]],
    ) {
        let Room { turned, slopes: keys, .. } = room;
        let mut tiles = Tiles::new(rows, self.packed.d, turned);
        keys.resize(self.packed.labels.len(), [_mm512_setzero_ps(); 2]);
        for winners in winners.chunks_mut(TILE) {
            let Some(tile) = tiles.next() else { return };
            self.products(tiles.turned, tile.ahead, keys);
            let norms = tiles.norms();
            let mut nearest = Nearest::new(tile.classes);
            let prototypes = self.packed.starts.iter().zip(&self.packed.labels);
            for (j, (sums, (start, label))) in
                keys[..self.packed.p].iter().zip(prototypes).enumerate()
            {
                let b = _mm512_set1_ps(2.0 * start);
                let keys = [key(norms[0], b, sums[0]), key(norms[1], b, sums[1])];
                nearest.see(keys, *label, j);
            }
            nearest.settle();
            let mut found = [[0; 2]; TILE];
            nearest.store(&mut found);
            winners.copy_from_slice(&found[..winners.len()]);
        }
    }
}

/// What grows with D in units of `e^a`, from a, b and `|v|^2/2 - y.v`.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn key(a: __m512, b: __m512, sum: __m512) -> __m512 {
    const HALF: f32 = -0.5 * std::f32::consts::LOG2_E;
    let one = _mm512_set1_ps(1.0);
    // Below 0 by rounding alone. (The second operand is what the maximum is where one is not a number.)
    let q = _mm512_max_ps(_mm512_setzero_ps(), _mm512_fmadd_ps(sum, _mm512_set1_ps(2.0), a));
    let gap = _mm512_mul_ps(_mm512_abs_ps(_mm512_sub_ps(a, b)), _mm512_set1_ps(HALF));
    let (t, less) = powers(_mm512_max_ps(_mm512_set1_ps(-FAR), gap));
    let (_, rest) = powers(_mm512_mul_ps(q, _mm512_set1_ps(HALF)));
    let br = _mm512_fmadd_ps(less, less, _mm512_mul_ps(_mm512_add_ps(t, t), rest));
    // 1/t by one step of Newton's from 14 bits of it: a division would wait.
    let inverse = _mm512_rcp14_ps(t);
    let error = _mm512_fnmadd_ps(t, inverse, one);
    let inverse = _mm512_fmadd_ps(error, inverse, inverse);
    // From 1 on, for what is beyond, and at most 128.
    let beyond =
        _mm512_fmadd_ps(gap, _mm512_set1_ps(-1.0 / 1024.0), _mm512_set1_ps(1.0 - FAR / 1024.0));
    let beyond = _mm512_min_ps(_mm512_set1_ps(128.0), _mm512_max_ps(one, beyond));
    let height = _mm512_mul_ps(_mm512_mul_ps(inverse, inverse), beyond);
    let larger = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(b, a);
    _mm512_mask_mul_ps(br, larger, br, height)
}

/// `2^x` and `1 - 2^x` for `x <= 0`, the second without cancellation; NaN of NaN.
#[inline]
#[target_feature(enable = "avx512f")]
fn powers(x: __m512) -> (__m512, __m512) {
    let (k, more) = power(x);
    let one = _mm512_set1_ps(1.0);
    // 2^k (1 + more)
    let scale = _mm512_scalef_ps(one, k);
    let power = _mm512_fmadd_ps(scale, more, scale);
    (power, _mm512_fnmadd_ps(scale, more, _mm512_sub_ps(one, scale)))
}

#[cfg(test)]
mod tests {
    use super::super::{ROWS, exp2};
    use super::*;

    #[test]
    fn functions_have_their_digits() {
        if !super::super::there() {
            println!("no AVX-512: not tested");
            return;
        }
        let values: Vec<f32> = (0..3200).map(|i| 1.0e-5 * 1.005f32.powi(i)).collect();
        for x in values.as_chunks::<ROWS>().0 {
            let mut got = [[0.0; ROWS]; 3];
            // SAFETY: sixteen values each, and the instructions are there.
            unsafe {
                let x = _mm512_loadu_ps(x.as_ptr());
                let minus = _mm512_sub_ps(_mm512_setzero_ps(), x);
                let (power, less) = powers(minus);
                for (to, values) in got.iter_mut().zip([power, less, exp2(minus)]) {
                    _mm512_storeu_ps(to.as_mut_ptr(), values);
                }
            }
            for (l, x) in x.iter().enumerate() {
                let x = f64::from(*x);
                let [power, less, alone] = got.map(|values| f64::from(values[l]));
                let expected = (-x).exp2();
                for power in [power, alone] {
                    assert!((power - expected).abs() < 2e-7 * expected + 2e-38, "2^-{x}: {power}");
                }
                let expected = -(-x * std::f64::consts::LN_2).exp_m1();
                assert!((less - expected).abs() < 3e-7 * expected, "1 - 2^-{x}: {less}");
            }
        }
    }

    /// Keys are in the order of `ln D` in double precision, whatever the norms are.
    #[test]
    fn keys_are_in_order() {
        if !super::super::there() {
            println!("no AVX-512: not tested");
            return;
        }
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
                    let mut keys = [0.0; ROWS];
                    // SAFETY: sixteen values, and the instructions are there.
                    unsafe {
                        let [a, b, c] = [a, b, b / 2.0 - c].map(|v| _mm512_set1_ps(v as f32));
                        _mm512_storeu_ps(keys.as_mut_ptr(), key(a, b, c));
                    }
                    assert!(keys[0].is_finite());
                    all.push((m + br.ln(), keys[0]));
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
}
