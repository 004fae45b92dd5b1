//! What the machine can do: a matrix product and a copy, measured.

use crate::cli::args::Bench;
use crate::error::{Error, Result};
use crate::parts::cooperation::posterior::posterior;
use crate::parts::linalg::{Mat, gemm};
use crate::parts::real::Real;
use rayon::prelude::*;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Threads that were asked for.
pub fn threads(args: &Bench) -> usize {
    args.place.threads.unwrap_or_else(rayon::current_num_threads)
}

/// Operations a second of a matrix product on each thread: the best of a few runs.
pub fn peak_flops<T: Real>(args: &Bench) -> Result<f64> {
    let (m, tasks) = (384, threads(args));
    let a = vec![T::one(); m * m];
    let mut c = vec![T::zero(); m * m * tasks];
    let pool = pool(args)?;
    let run = |c: &mut [T]| {
        let t = Instant::now();
        // One on each thread: what is left to stealing may run on one.
        let places: Vec<_> = c.chunks_mut(m * m).map(Mutex::new).collect();
        pool.broadcast(|thread| {
            let mut c = places[thread.index()].lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..8 {
                gemm(&mut c, false, T::one(), Mat::new(&a, m, m), Mat::new(&a, m, m));
            }
        });
        (8 * tasks * 2 * m * m * m) as f64 / t.elapsed().as_secs_f64()
    };
    Ok(best(|| run(&mut c)))
}

/// Responsibilities a second of all threads, of rows of 48 distances in the cache: what loops can do that are no products. The best of a few
/// runs.
pub fn peak_responsibilities<T: Real>(args: &Bench) -> Result<f64> {
    const OF_ROW: usize = 48;
    const ROWS: usize = 64;
    let distances: Vec<T> = (0..OF_ROW * ROWS).map(|i| T::of((i % 37) as f64)).collect();
    let places: Vec<_> =
        (0..threads(args)).map(|_| Mutex::new(vec![T::zero(); OF_ROW * ROWS])).collect();
    let pool = pool(args)?;
    let run = || {
        let t = Instant::now();
        pool.broadcast(|thread| {
            let mut p = places[thread.index()].lock().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..100 {
                for (d, p) in distances.chunks_exact(OF_ROW).zip(p.chunks_exact_mut(OF_ROW)) {
                    posterior(d, T::of(2.0), p);
                }
            }
        });
        (100 * OF_ROW * ROWS * places.len()) as f64 / t.elapsed().as_secs_f64()
    };
    Ok(best(run))
}

/// Bytes a second read and written by a copy much larger than the caches: the best of a few runs.
pub fn peak_bandwidth(args: &Bench) -> Result<f64> {
    let n = 32 << 20;
    let from = vec![1.0f32; n];
    let mut to = vec![0.0f32; n];
    let pool = pool(args)?;
    let part = n.div_ceil(threads(args));
    let run = || {
        let t = Instant::now();
        pool.install(|| {
            to.par_chunks_mut(part)
                .zip(from.par_chunks(part))
                .for_each(|(t, f)| t.copy_from_slice(f));
        });
        (8 * n) as f64 / t.elapsed().as_secs_f64()
    };
    Ok(best(run))
}

/// The best of some runs; they go on until the system has given each thread a core.
fn best(mut run: impl FnMut() -> f64) -> f64 {
    let (start, mut best, mut count) = (Instant::now(), 0.0, 0);
    while count < 4 || start.elapsed().as_secs_f64() < 0.3 {
        best = f64::max(best, run());
        count += 1;
    }
    best
}

/// That many threads.
pub fn pool(args: &Bench) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads(args))
        .build()
        .map_err(|e| Error::Running(e.to_string()))
}

/// Bytes of memory that the process holds, where the system tells.
#[derive(Clone, Copy)]
pub struct Held {
    /// All that is there.
    pub resident: u64,
    /// Of that, what is not pages of files, which go when memory is short.
    pub anonymous: u64,
}

impl Held {
    /// What is held now.
    pub fn now() -> Option<Self> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
            Some(1024 * kibibytes)
        };
        Some(Held { resident: bytes("VmRSS:")?, anonymous: bytes("RssAnon:")? })
    }

    /// How much more it is than `before`.
    pub fn since(self, before: Self) -> Self {
        Held {
            resident: self.resident.saturating_sub(before.resident),
            anonymous: self.anonymous.saturating_sub(before.anonymous),
        }
    }
}
