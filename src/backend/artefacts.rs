//! The compiled kernels and shaders that the crate carries. The build script compiles them, or takes
//! the ones kept beside their sources where it finds no compiler.

include!(concat!(env!("OUT_DIR"), "/artefacts.rs"));

/// The PTX of `kernels/<name>.cu`.
pub fn ptx(name: &str) -> Option<&'static str> {
    find(PTX, name).and_then(|bytes| std::str::from_utf8(bytes).ok())
}

/// The SPIR-V of `shaders/<name>.comp`, as the 32-bit words it consists of.
pub fn spirv(name: &str) -> Option<Vec<u32>> {
    let (words, rest) = find(SPIRV, name)?.as_chunks::<4>();
    rest.is_empty().then(|| words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}

fn find(table: &'static [(&str, &[u8])], name: &str) -> Option<&'static [u8]> {
    table.iter().find(|(n, _)| *n == name).map(|(_, bytes)| *bytes)
}
