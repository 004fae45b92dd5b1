//! Files as memory.

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// The whole of a file as memory that can only be read; it stays after the file is closed.
///
/// The file must not change while it is mapped: what is read then is the new values or some of them, and the system ends the
/// program that reads beyond a new end.
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is never written to through the program, and its users take nothing but numbers from it, for which every bit
    // pattern is valid. That no other program writes to the file is asked of the user, where mapping is offered.
    unsafe { Mmap::map(file) }
}
