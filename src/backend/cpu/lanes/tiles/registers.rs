//! What tiles of rows are made of: the registers of an instruction set, by the few operations that are wanted of them.

use pulp::NullaryFnOnce;
use pulp::x86::{V3, V4};
use std::arch::x86_64::*;
use std::ops::{Index, IndexMut};

/// Rows of a register at most.
pub(super) const MOST: usize = 16;

/// Registers of values of single precision. A value of such a type says that this machine has the instructions.
///
/// All are compiled into what [`run`](Registers::run) is given, if that is inlined to the last: what stands out of line has no such instructions.
pub trait Registers: Copy {
    /// Values of a register.
    const ROWS: usize;
    /// Prototypes of a group whose products with two registers of rows are formed at a time: an even number whose sums leave room for the rows and a
    /// value of a prototype.
    const PRODUCTS: usize;
    /// The same of differences, which need room for themselves.
    const DIFFERENCES: usize;
    /// Whether sums gain by being formed between the features of a search: where few instructions do much, others find room beside them.
    const BESIDE: bool;
    /// Newton's steps from [`reciprocal`](Registers::reciprocal) to all digits.
    const STEPS: usize;

    type Floats: Copy;
    /// Whole numbers of 32 bits.
    type Words: Copy;
    /// Some of the places of a register.
    type Mask: Copy;
    /// As many registers as each has values.
    type Square: Copy + Index<usize, Output = Self::Floats> + IndexMut<usize>;
    /// A value as it is laid out for differences.
    type Operand: Copy;

    /// Compiles `task` for these instructions.
    fn run<T: NullaryFnOnce>(self, task: T) -> T::Output;

    fn splat(self, x: f32) -> Self::Floats;
    fn splat_word(self, x: i32) -> Self::Words;
    fn operand(w: f32) -> Self::Operand;
    /// A value for each register of rows.
    fn both(self, w: &Self::Operand) -> [Self::Floats; 2];

    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a b + c`
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// `c - a b`
    fn sub_product(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// The lesser; b where one is not a number.
    fn min(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The greater; b where one is not a number.
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn abs(self, a: Self::Floats) -> Self::Floats;
    /// The nearest whole number.
    fn round(self, a: Self::Floats) -> Self::Floats;
    /// What is above the next lower whole number.
    fn fraction(self, a: Self::Floats) -> Self::Floats;
    /// `a 2^k` for whole numbers k up to 0, where that is a normal number; NaN of NaN.
    fn scale(self, a: Self::Floats, k: Self::Floats) -> Self::Floats;
    /// The same where the mask is set, else 0, whatever k is there. Of k that is no whole number the next lower is meant.
    fn scale_where(self, mask: Self::Mask, a: Self::Floats, k: Self::Floats) -> Self::Floats;
    /// 1/a, with 11 bits at least.
    fn reciprocal(self, a: Self::Floats) -> Self::Floats;

    /// `a < b`; not so where one is not a number.
    fn less(self, a: Self::Floats, b: Self::Floats) -> Self::Mask;
    /// Everything else.
    fn not_less(self, a: Self::Floats, b: Self::Floats) -> Self::Mask;
    /// `a = b`; not so where one is not a number.
    fn equal(self, a: Self::Floats, b: Self::Floats) -> Self::Mask;
    /// Everything but +0 and -0.
    fn not_zero(self, a: Self::Floats) -> Self::Mask;
    fn same(self, a: Self::Words, b: Self::Words) -> Self::Mask;
    fn and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// `b` where not `a`.
    fn and_not(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    fn any(self, a: Self::Mask) -> bool;
    /// The first `n` places.
    fn first(self, n: usize) -> Self::Mask;

    /// `a` where the mask is set, else `b`.
    fn select(self, mask: Self::Mask, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn select_words(self, mask: Self::Mask, a: Self::Words, b: Self::Words) -> Self::Words;
    /// `a`, with b added where the mask is set.
    fn add_where(self, mask: Self::Mask, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a`, with b added where it is not set.
    fn add_elsewhere(self, mask: Self::Mask, a: Self::Floats, b: Self::Floats) -> Self::Floats;

    /// Value j of register i becomes value i of register j.
    fn transposed(self, rows: Self::Square) -> Self::Square;
    /// As many registers of `x` each.
    fn square(x: Self::Floats) -> Self::Square;
    /// The sum of the values of register i in place i.
    fn totals(self, rows: Self::Square) -> Self::Floats;
    /// Value l of the one and value l of the other one after the other.
    fn interleaved(self, one: Self::Words, other: Self::Words) -> [Self::Words; 2];

    /// # Safety
    ///
    /// There are as many values.
    unsafe fn load(self, from: *const f32) -> Self::Floats;
    /// 0 in all other places.
    ///
    /// # Safety
    ///
    /// There are values in the places of the mask.
    unsafe fn load_part(self, mask: Self::Mask, from: *const f32) -> Self::Floats;
    /// # Safety
    ///
    /// There is room for as many values.
    unsafe fn store(self, to: *mut f32, a: Self::Floats);
    /// The same past the cache: others see it after [`settle`](Registers::settle).
    ///
    /// # Safety
    ///
    /// There is room for as many values, from a multiple of their bytes on.
    unsafe fn store_past(self, to: *mut f32, a: Self::Floats);
    /// Waits for what was stored past the cache.
    #[inline(always)]
    fn settle(self) {
        // SAFETY: every processor of this architecture has the instruction.
        unsafe { _mm_sfence() }
    }
    /// # Safety
    ///
    /// There is room in the places of the mask.
    unsafe fn store_part(self, to: *mut f32, mask: Self::Mask, a: Self::Floats);
    /// # Safety
    ///
    /// There are as many values.
    unsafe fn load_words(self, from: *const u32) -> Self::Words;
    /// 0 in all other places.
    ///
    /// # Safety
    ///
    /// There are values in the places of the mask.
    unsafe fn load_words_part(self, mask: Self::Mask, from: *const u32) -> Self::Words;
    /// # Safety
    ///
    /// There is room for as many values.
    unsafe fn store_words(self, to: *mut u32, a: Self::Words);

    /// No values.
    #[inline(always)]
    fn zero(self) -> Self::Floats {
        self.splat(0.0)
    }
}

/// Operations that are one instruction.
macro_rules! instructions {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($arg: $ty),*) -> $out {
                // SAFETY: who has `self` has the instructions.
                unsafe { $body }
            }
        )*
    };
}

const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;

/// AVX-512 as every processor has it but the first.
impl Registers for V4 {
    const ROWS: usize = 16;
    // With the rows and a value 27 registers of 32.
    const PRODUCTS: usize = 12;
    const DIFFERENCES: usize = 8;
    const BESIDE: bool = true;
    const STEPS: usize = 1;

    type Floats = __m512;
    type Words = __m512i;
    type Mask = __mmask16;
    type Square = [__m512; 16];
    /// Once for each register of rows: an operand in memory is filled into a register by the instruction that uses it, and costs nothing then. Where
    /// both use one, the compiler fills a register first, which takes its turn among additions.
    type Operand = [f32; 2];

    #[inline(always)]
    fn run<T: NullaryFnOnce>(self, task: T) -> T::Output {
        self.vectorize(task)
    }

    #[inline(always)]
    fn operand(w: f32) -> [f32; 2] {
        [w; 2]
    }

    #[inline(always)]
    fn both(self, w: &[f32; 2]) -> [__m512; 2] {
        [self.splat(w[0]), self.splat(w[1])]
    }

    #[inline(always)]
    fn square(x: __m512) -> [__m512; 16] {
        [x; 16]
    }

    instructions! {
        fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        fn splat_word(x: i32) -> __m512i = _mm512_set1_epi32(x);
        fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fn sub_product(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        fn abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
        fn round(a: __m512) -> __m512 = _mm512_roundscale_ps::<NEAREST>(a);
        fn fraction(a: __m512) -> __m512 = _mm512_reduce_ps::<DOWN>(a);
        fn scale(a: __m512, k: __m512) -> __m512 = _mm512_scalef_ps(a, k);
        fn scale_where(mask: __mmask16, a: __m512, k: __m512) -> __m512 = _mm512_maskz_scalef_ps(mask, a, k);
        fn reciprocal(a: __m512) -> __m512 = _mm512_rcp14_ps(a);
        fn less(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        fn not_less(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, b);
        fn equal(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        fn not_zero(a: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(a, _mm512_setzero_ps());
        fn same(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        fn select(mask: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_mov_ps(b, mask, a);
        fn select_words(mask: __mmask16, a: __m512i, b: __m512i) -> __m512i = _mm512_mask_mov_epi32(b, mask, a);
        fn add_where(mask: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_add_ps(a, mask, a, b);
        fn add_elsewhere(mask: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_add_ps(a, !mask, a, b);
        fn transposed(rows: [__m512; 16]) -> [__m512; 16] = wide::transposed(rows);
        fn totals(rows: [__m512; 16]) -> __m512 = wide::totals(rows);
        fn interleaved(one: __m512i, other: __m512i) -> [__m512i; 2] = wide::interleaved(one, other);
    }

    #[inline(always)]
    fn and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }

    #[inline(always)]
    fn and_not(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        !a & b
    }

    #[inline(always)]
    fn any(self, a: __mmask16) -> bool {
        a != 0
    }

    #[inline(always)]
    fn first(self, n: usize) -> __mmask16 {
        ((1u32 << n) - 1) as u16
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: as the caller says.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, mask: __mmask16, from: *const f32) -> __m512 {
        // SAFETY: as the caller says.
        unsafe { _mm512_maskz_loadu_ps(mask, from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, a: __m512) {
        // SAFETY: as the caller says.
        unsafe { _mm512_storeu_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn store_past(self, to: *mut f32, a: __m512) {
        // SAFETY: as the caller says.
        unsafe { _mm512_stream_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, mask: __mmask16, a: __m512) {
        // SAFETY: as the caller says.
        unsafe { _mm512_mask_storeu_ps(to, mask, a) }
    }

    #[inline(always)]
    unsafe fn load_words(self, from: *const u32) -> __m512i {
        // SAFETY: as the caller says.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_words_part(self, mask: __mmask16, from: *const u32) -> __m512i {
        // SAFETY: as the caller says.
        unsafe { _mm512_maskz_loadu_epi32(mask, from.cast()) }
    }

    #[inline(always)]
    unsafe fn store_words(self, to: *mut u32, a: __m512i) {
        // SAFETY: as the caller says.
        unsafe { _mm512_storeu_si512(to.cast(), a) }
    }
}

/// AVX2 and fused multiply-adds.
impl Registers for V3 {
    const ROWS: usize = 8;
    // With the rows and a value 15 registers of 16.
    const PRODUCTS: usize = 6;
    const DIFFERENCES: usize = 4;
    const BESIDE: bool = false;
    const STEPS: usize = 1;

    type Floats = __m256;
    type Words = __m256i;
    /// All bits of a place, or none.
    type Mask = __m256;
    type Square = [__m256; 8];
    type Operand = f32;

    #[inline(always)]
    fn run<T: NullaryFnOnce>(self, task: T) -> T::Output {
        self.vectorize(task)
    }

    #[inline(always)]
    fn operand(w: f32) -> f32 {
        w
    }

    #[inline(always)]
    fn both(self, w: &f32) -> [__m256; 2] {
        [self.splat(*w); 2]
    }

    #[inline(always)]
    fn square(x: __m256) -> [__m256; 8] {
        [x; 8]
    }

    instructions! {
        fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        fn splat_word(x: i32) -> __m256i = _mm256_set1_epi32(x);
        fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fn sub_product(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        fn abs(a: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        fn round(a: __m256) -> __m256 = _mm256_round_ps::<NEAREST>(a);
        fn fraction(a: __m256) -> __m256 = _mm256_sub_ps(a, _mm256_floor_ps(a));
        fn scale(a: __m256, k: __m256) -> __m256 = usual::scaled(a, k);
        fn scale_where(mask: __m256, a: __m256, k: __m256) -> __m256 = _mm256_and_ps(mask, usual::scaled(a, _mm256_floor_ps(k)));
        fn reciprocal(a: __m256) -> __m256 = _mm256_rcp_ps(a);
        fn less(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        fn not_less(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_NLT_UQ>(a, b);
        fn equal(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b);
        fn not_zero(a: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_NEQ_UQ>(a, _mm256_setzero_ps());
        fn same(a: __m256i, b: __m256i) -> __m256 = _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b));
        fn and(a: __m256, b: __m256) -> __m256 = _mm256_and_ps(a, b);
        fn and_not(a: __m256, b: __m256) -> __m256 = _mm256_andnot_ps(a, b);
        fn any(a: __m256) -> bool = _mm256_movemask_ps(a) != 0;
        fn first(n: usize) -> __m256 = usual::first(n);
        fn select(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, mask);
        fn select_words(mask: __m256, a: __m256i, b: __m256i) -> __m256i = _mm256_blendv_epi8(b, a, _mm256_castps_si256(mask));
        fn add_where(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, _mm256_and_ps(mask, b));
        fn add_elsewhere(mask: __m256, a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, _mm256_andnot_ps(mask, b));
        fn transposed(rows: [__m256; 8]) -> [__m256; 8] = usual::transposed(rows);
        fn totals(rows: [__m256; 8]) -> __m256 = usual::totals(rows);
        fn interleaved(one: __m256i, other: __m256i) -> [__m256i; 2] = usual::interleaved(one, other);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: as the caller says.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_part(self, mask: __m256, from: *const f32) -> __m256 {
        // SAFETY: as the caller says.
        unsafe { _mm256_maskload_ps(from, _mm256_castps_si256(mask)) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, a: __m256) {
        // SAFETY: as the caller says.
        unsafe { _mm256_storeu_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn store_past(self, to: *mut f32, a: __m256) {
        // SAFETY: as the caller says.
        unsafe { _mm256_stream_ps(to, a) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, mask: __m256, a: __m256) {
        // SAFETY: as the caller says.
        unsafe { _mm256_maskstore_ps(to, _mm256_castps_si256(mask), a) }
    }

    #[inline(always)]
    unsafe fn load_words(self, from: *const u32) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_words_part(self, mask: __m256, from: *const u32) -> __m256i {
        // SAFETY: as the caller says.
        unsafe { _mm256_maskload_epi32(from.cast(), _mm256_castps_si256(mask)) }
    }

    #[inline(always)]
    unsafe fn store_words(self, to: *mut u32, a: __m256i) {
        // SAFETY: as the caller says.
        unsafe { _mm256_storeu_si256(to.cast(), a) }
    }
}

/// What takes several instructions of AVX-512.
mod wide {
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn transposed(rows: [__m512; 16]) -> [__m512; 16] {
        // Pairs of rows, then fours, within each quarter of a register.
        let mut pairs = [_mm512_setzero_ps(); 16];
        for i in 0..8 {
            pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = [_mm512_setzero_ps(); 16];
        for i in 0..4 {
            let [a, b] = [_mm512_castps_pd(pairs[4 * i]), _mm512_castps_pd(pairs[4 * i + 1])];
            let [c, d] = [_mm512_castps_pd(pairs[4 * i + 2]), _mm512_castps_pd(pairs[4 * i + 3])];
            fours[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
            fours[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
            fours[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
            fours[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
        }
        // Quarter q of fours[4 i + k] is value 4 q + k of rows 4 i .. 4 i + 4.
        let mut columns = [_mm512_setzero_ps(); 16];
        for k in 0..4 {
            let even = _mm512_shuffle_f32x4::<0x88>(fours[k], fours[4 + k]);
            let odd = _mm512_shuffle_f32x4::<0xdd>(fours[k], fours[4 + k]);
            let even_rest = _mm512_shuffle_f32x4::<0x88>(fours[8 + k], fours[12 + k]);
            let odd_rest = _mm512_shuffle_f32x4::<0xdd>(fours[8 + k], fours[12 + k]);
            columns[k] = _mm512_shuffle_f32x4::<0x88>(even, even_rest);
            columns[4 + k] = _mm512_shuffle_f32x4::<0x88>(odd, odd_rest);
            columns[8 + k] = _mm512_shuffle_f32x4::<0xdd>(even, even_rest);
            columns[12 + k] = _mm512_shuffle_f32x4::<0xdd>(odd, odd_rest);
        }
        columns
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn totals(r: [__m512; 16]) -> __m512 {
        // Each quarter of fours[k] has the quarter's sums of four registers.
        let mut fours = [_mm512_setzero_ps(); 4];
        for k in 0..4 {
            let mut twos = [_mm512_setzero_pd(); 2];
            for i in 0..2 {
                let (a, b) = (r[4 * k + 2 * i], r[4 * k + 2 * i + 1]);
                let sums = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                twos[i] = _mm512_castps_pd(sums);
            }
            let low = _mm512_castpd_ps(_mm512_unpacklo_pd(twos[0], twos[1]));
            let high = _mm512_castpd_ps(_mm512_unpackhi_pd(twos[0], twos[1]));
            fours[k] = _mm512_add_ps(low, high);
        }
        let mut eights = [_mm512_setzero_ps(); 2];
        for k in 0..2 {
            let (a, b) = (fours[2 * k], fours[2 * k + 1]);
            let (upper, lower) =
                (_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            eights[k] = _mm512_add_ps(upper, lower);
        }
        let [a, b] = eights;
        _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b))
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    pub fn interleaved(one: __m512i, other: __m512i) -> [__m512i; 2] {
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
        [
            _mm512_permutex2var_epi32(one, first, other),
            _mm512_permutex2var_epi32(one, second, other),
        ]
    }
}

/// What takes several instructions of AVX2.
mod usual {
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn scaled(a: __m256, k: __m256) -> __m256 {
        // By its exponent. (k that is not a number leaves a as it is.)
        let more = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(k));
        _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), more))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn first(n: usize) -> __m256 {
        let places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), places))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn transposed(rows: [__m256; 8]) -> [__m256; 8] {
        // Pairs of rows, then fours, within each half of a register.
        let mut pairs = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
            pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = [_mm256_setzero_ps(); 8];
        for i in 0..2 {
            let [a, b] = [_mm256_castps_pd(pairs[4 * i]), _mm256_castps_pd(pairs[4 * i + 1])];
            let [c, d] = [_mm256_castps_pd(pairs[4 * i + 2]), _mm256_castps_pd(pairs[4 * i + 3])];
            fours[4 * i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
            fours[4 * i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
            fours[4 * i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
            fours[4 * i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
        }
        // Half q of fours[4 i + k] is value 4 q + k of rows 4 i .. 4 i + 4.
        let mut columns = [_mm256_setzero_ps(); 8];
        for k in 0..4 {
            columns[k] = _mm256_permute2f128_ps::<0x20>(fours[k], fours[4 + k]);
            columns[4 + k] = _mm256_permute2f128_ps::<0x31>(fours[k], fours[4 + k]);
        }
        columns
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn totals(r: [__m256; 8]) -> __m256 {
        // Each half of fours[k] has the half's sums of four registers.
        let mut fours = [_mm256_setzero_ps(); 2];
        for k in 0..2 {
            let mut twos = [_mm256_setzero_pd(); 2];
            for i in 0..2 {
                let (a, b) = (r[4 * k + 2 * i], r[4 * k + 2 * i + 1]);
                let sums = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                twos[i] = _mm256_castps_pd(sums);
            }
            let low = _mm256_castpd_ps(_mm256_unpacklo_pd(twos[0], twos[1]));
            let high = _mm256_castpd_ps(_mm256_unpackhi_pd(twos[0], twos[1]));
            fours[k] = _mm256_add_ps(low, high);
        }
        let [a, b] = fours;
        _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn interleaved(one: __m256i, other: __m256i) -> [__m256i; 2] {
        let (low, high) = (_mm256_unpacklo_epi32(one, other), _mm256_unpackhi_epi32(one, other));
        [_mm256_permute2x128_si256::<0x20>(low, high), _mm256_permute2x128_si256::<0x31>(low, high)]
    }
}
