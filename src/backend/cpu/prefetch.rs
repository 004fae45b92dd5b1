//! Memory asked for before it is read.

/// Bytes of a page of memory, at least.
#[cfg(target_arch = "x86_64")]
pub(super) const PAGE: usize = 4 << 10;

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

/// Asks for a line of each of so many pages from there on.
///
/// Where a page is takes about as long to find out as a line takes to come, and no instruction ends meanwhile; but several are found side by
/// side. So pages that are asked for together cost little more than one of them, which is what each costs by itself.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn ask_for_pages<T>(from: *const T, pages: usize) {
    for page in 0..pages {
        ask(from.wrapping_byte_add(page * PAGE));
    }
}
