//! Random streams, keyed by what they are for.
//!
//! A stream is named by the user's seed, a purpose (`"shuffle"`, `"prototypes"`, ...) and an index (the
//! epoch, the class, the prototype). Streams are independent of each other and of the number of threads,
//! so adding a draw in one place changes no draw elsewhere, and a resumed run needs no stored generator.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The generator of one stream: ChaCha with 8 rounds, a counter-based generator.
pub type Stream = ChaCha8Rng;

/// The stream of `seed` for `purpose`, number `index`.
pub fn stream(seed: u64, purpose: &str, index: u64) -> Stream {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&index.to_le_bytes());
    for (i, byte) in purpose.bytes().enumerate() {
        // Positions 16..32 hold the purpose; longer names wrap around and mix.
        key[16 + i % 16] = key[16 + i % 16].rotate_left(3) ^ byte;
    }
    ChaCha8Rng::from_seed(key)
}
