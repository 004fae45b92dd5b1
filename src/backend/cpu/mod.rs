//! The CPU: the complete backend, and the reference for all others.
//!
//! One pass over the data. Rows are cut into blocks that fit the cache, blocks into chunks; a chunk is one task. How
//! rows are cut depends on the sizes of the problem alone, chunk sums are added in the order of the rows, and so the result
//! has the same bits for any number of threads.

mod block;
mod lanes;
mod matrix;
mod predictor;
mod prefetch;
mod rows;
mod rule;
mod session;

pub use matrix::{distance_matrix, distance_matrix_into};

use crate::backend::{Backend, DeviceInfo, Predictor, Problem, Question, Session, device};
use crate::error::{Error, Result};
use crate::parts::composition::Precision;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Whether rows stand side by side where the winners of `p` prototypes of `d` features are looked for.
pub(crate) fn few(d: usize, p: usize) -> bool {
    lanes::pays(d, p)
}

/// Whether a step of plain squared distances, of winner pairs or of posteriors, goes over the rows once and has few short prototypes, in single precision.
pub(crate) fn at_once(d: usize, p: usize, pairs: bool) -> bool {
    has_tiles() && if pairs { lanes::tiles_pay(d, p) } else { lanes::pays(d, p) }
}

/// Whether such a step sums for all prototypes, whoever a row's winners are.
pub(crate) fn sums_all(d: usize, p: usize, pairs: bool) -> bool {
    has_tiles() && if pairs { lanes::are_summed(d, p) } else { lanes::pays(d, p) }
}

/// Whether `n` rows in memory are kept turned as well for such a step.
pub(crate) fn keeps_turned(n: usize, d: usize, p: usize, pairs: bool) -> bool {
    sums_all(d, p, pairs) && session::are_kept_turned(n, d)
}

/// Whether such a step looks for winner pairs by products first.
pub(crate) fn by_products(d: usize, p: usize) -> bool {
    lanes::products_pay(d, p)
}

/// Whether products of tiles of rows stay in registers, in single precision.
pub(crate) fn has_tiles() -> bool {
    lanes::has_tiles()
}

/// The CPU of this machine.
#[derive(Clone, Default)]
pub struct Cpu {
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl Cpu {
    /// With so many threads; none: one per core.
    pub fn with_threads(threads: Option<usize>) -> Result<Self> {
        let Some(threads) = threads else { return Ok(Cpu::default()) };
        if threads == 0 {
            return Err(Error::parameter("threads", "must be at least 1, got 0"));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|e| Error::Device { device: "cpu".into(), reason: e.to_string() })?;
        Ok(Cpu { pool: Some(Arc::new(pool)) })
    }
}

impl Backend for Cpu {
    fn info(&self) -> DeviceInfo {
        device::cpu()
    }

    fn session<'a>(&self, problem: Problem<'a>) -> Result<Box<dyn Session + 'a>> {
        let pool = self.pool.clone();
        Ok(match problem.precision {
            Precision::F64 => Box::new(session::CpuSession::<f64>::new(problem, pool)?),
            _ => Box::new(session::CpuSession::<f32>::new(problem, pool)?),
        })
    }

    fn predictor(&self, question: Question<'_>) -> Result<Box<dyn Predictor>> {
        let pool = self.pool.clone();
        Ok(match question.precision {
            Precision::F64 => Box::new(predictor::CpuPredictor::<f64>::new(&question, pool)),
            _ => Box::new(predictor::CpuPredictor::<f32>::new(&question, pool)),
        })
    }
}

/// Runs `f` on the pool, or on the global one.
fn on_pool<R: Send>(pool: &Option<Arc<rayon::ThreadPool>>, f: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(f),
        None => f(),
    }
}

/// The calling thread and others beside it, which come into being when they are first wanted.
///
/// The calling thread works too: one that sleeps while others work is late when they are done, and a step of a few rows is short. So they are one
/// fewer than those of the pool: a thread that looks for work where the calling one works would keep it from a core that has none.
struct Team {
    threads: usize,
    others: OnceLock<Option<rayon::ThreadPool>>,
}

impl Team {
    /// As many threads as the pool has, or the global one.
    fn new(pool: &Option<Arc<rayon::ThreadPool>>) -> Self {
        let threads = pool
            .as_ref()
            .map_or_else(rayon::current_num_threads, |pool| pool.current_num_threads());
        Team { threads, others: OnceLock::new() }
    }

    /// Does `each` for all numbers below `count`, on each thread with something of its own.
    ///
    /// Each thread goes through a run of numbers, the same one every time, and then through what is left of the others': rows that it takes follow
    /// each other in memory, and some are in its cache from the step before.
    fn share<W>(
        &self,
        count: usize,
        own: impl Fn() -> W + Sync,
        each: impl Fn(&mut W, usize) + Sync,
    ) {
        let threads = self.threads.min(count).max(1);
        let first = |run: usize| run * count / threads;
        let next: Vec<AtomicUsize> = (0..threads).map(|run| AtomicUsize::new(first(run))).collect();
        let work = |thread: usize| {
            let mut own = own();
            for run in (thread..threads).chain(0..thread) {
                let end = first(run + 1);
                loop {
                    match next[run].fetch_add(1, Ordering::Relaxed) {
                        k if k < end => each(&mut own, k),
                        _ => break,
                    }
                }
            }
        };
        let pool = match threads {
            1 => &None,
            // Where the system grants no threads the calling one is enough.
            _ => self.others.get_or_init(|| {
                rayon::ThreadPoolBuilder::new().num_threads(self.threads - 1).build().ok()
            }),
        };
        match pool {
            Some(pool) => pool.in_place_scope(|scope| together(scope, threads, &work)),
            None => work(0),
        }
    }
}

/// Does the work of each of so many threads, that of the first on the calling one.
fn together<'a>(scope: &rayon::Scope<'a>, threads: usize, work: &'a (impl Fn(usize) + Sync)) {
    (1..threads).for_each(|thread| scope.spawn(move |_| work(thread)));
    work(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_team_does_every_number_once() {
        for threads in [1, 2, 3, 7] {
            let cpu = Cpu::with_threads(Some(threads)).unwrap();
            let team = Team::new(&cpu.pool);
            for count in [0, 1, 2, 3, 8, 100] {
                let done: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                let each = |_: &mut (), k: usize| {
                    // The last run is slow: the others' threads take from it.
                    if k + 1 >= count - count / threads {
                        std::thread::sleep(Duration::from_micros(100));
                    }
                    done[k].fetch_add(1, Ordering::Relaxed);
                };
                team.share(count, || (), each);
                let done: Vec<usize> = done.into_iter().map(AtomicUsize::into_inner).collect();
                assert_eq!(done, vec![1; count], "{count} numbers, {threads} threads");
            }
        }
    }
}
