//! Memory asked for before it is read.

/// Asks for the line of the cache that holds a value, wherever it is, where there is an instruction for that.
#[inline(always)]
pub(super) fn ask<T>(from: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every processor of this architecture has the instruction, a hint which reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = from;
}

/// Asks for values to be brought into the cache.
#[inline(always)]
pub(super) fn prefetch<T>(values: &[T]) {
    for line in values.chunks(64 / size_of::<T>()) {
        ask(line.as_ptr());
    }
}
