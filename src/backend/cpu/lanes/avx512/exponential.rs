//! Keys of the [exponential kernel](crate::parts::kernel::exponential): `ell = m + ln br`, of sixteen rows at a time, with
//! `br = (1 - t)^2 + 2 t (1 - h)`, `t = exp(-|a - b|/2)`, `h = exp(-q/2)`.

use super::exp;
use super::products::Products;
use super::tiles::Tiles;
use std::arch::x86_64::*;

impl Products {
    /// Keys in place of `|v|^2/2 - y.v`.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn exponential_keys(&self, tiles: &Tiles<'_>, sums: &mut [[__m512; 2]]) {
        let two = _mm512_set1_ps(2.0);
        let norms = tiles.norms();
        for (sums, start) in sums.iter_mut().zip(&self.packed.starts) {
            let b = _mm512_set1_ps(2.0 * start);
            for (sum, a) in sums.iter_mut().zip(norms) {
                *sum = key(a, b, _mm512_fmadd_ps(*sum, two, a));
            }
        }
    }
}

/// `ell` from a, b and q.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn key(a: __m512, b: __m512, q: __m512) -> __m512 {
    let half = _mm512_set1_ps(0.5);
    let gap = _mm512_mul_ps(_mm512_abs_ps(_mm512_sub_ps(a, b)), half);
    // Below 0 by rounding alone. (The second operand is what the maximum is where one is not a number.)
    let q = _mm512_max_ps(_mm512_setzero_ps(), q);
    let (t, less) = falling(gap);
    let (_, rest) = falling(_mm512_mul_ps(q, half));
    let br = _mm512_fmadd_ps(less, less, _mm512_mul_ps(_mm512_add_ps(t, t), rest));
    _mm512_add_ps(_mm512_max_ps(a, b), ln(br))
}

/// `exp(-x)` and `1 - exp(-x)` for `x >= 0`, the second without cancellation.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn falling(x: __m512) -> (__m512, __m512) {
    let e = exp(_mm512_sub_ps(_mm512_setzero_ps(), x));
    // x (1 - x/2 + x^2/6 - ..) as far as it changes the last digit below 1/4.
    let mut sum = _mm512_set1_ps(1.0 / 720.0);
    for term in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        sum = _mm512_fnmadd_ps(sum, x, _mm512_set1_ps(term));
    }
    let small = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_set1_ps(0.25));
    let less = _mm512_sub_ps(_mm512_set1_ps(1.0), e);
    (e, _mm512_mask_mul_ps(less, small, sum, x))
}

/// `ln x` of a positive number.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn ln(x: __m512) -> __m512 {
    // x = 2^k m with m in [3/4, 3/2), ln m = 2 (s + s^3/3 + s^5/5 + ..) with s = (m - 1)/(m + 1)
    let one = _mm512_set1_ps(1.0);
    let m = _mm512_getmant_ps::<_MM_MANT_NORM_P75_1P5, _MM_MANT_SIGN_SRC>(x);
    let k = _mm512_getexp_ps(x);
    let up = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(m, one);
    let k = _mm512_mask_add_ps(k, up, k, one);
    // 1/(m + 1) by one step of Newton's from 14 bits of it: a division would wait.
    let below = _mm512_add_ps(m, one);
    let inverse = _mm512_rcp14_ps(below);
    let rest = _mm512_fnmadd_ps(below, inverse, one);
    let s = _mm512_mul_ps(_mm512_sub_ps(m, one), _mm512_fmadd_ps(rest, inverse, inverse));
    let z = _mm512_mul_ps(s, s);
    let mut sum = _mm512_set1_ps(2.0 / 9.0);
    for term in [2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0] {
        sum = _mm512_fmadd_ps(sum, z, _mm512_set1_ps(term));
    }
    _mm512_fmadd_ps(k, _mm512_set1_ps(std::f32::consts::LN_2), _mm512_mul_ps(sum, s))
}

#[cfg(test)]
mod tests {
    use super::super::ROWS;
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
                let (e, less) = falling(x);
                for (to, values) in got.iter_mut().zip([ln(x), e, less]) {
                    _mm512_storeu_ps(to.as_mut_ptr(), values);
                }
            }
            for (l, x) in x.iter().enumerate() {
                let x = f64::from(*x);
                let [ln, e, less] = got.map(|values| f64::from(values[l]));
                assert!((ln - x.ln()).abs() < 2e-7 * x.ln().abs().max(1.0), "ln {x}: {ln}");
                assert!((e - (-x).exp()).abs() < 2e-7 * (-x).exp() + 2e-38, "exp -{x}: {e}");
                let expected = -(-x).exp_m1();
                assert!((less - expected).abs() < 3e-7 * expected, "1 - exp -{x}: {less}");
            }
        }
    }
}
