//! The CPU: the complete backend, and the reference for all others.
//!
//! One pass over the data. Rows are cut into blocks that fit the cache, blocks into chunks; a chunk is one task. How
//! rows are cut depends on the sizes of the problem alone, chunk sums are added in the order of the rows, and so the result
//! has the same bits for any number of threads.

mod block;
mod lanes;
mod predictor;
mod prefetch;
mod rows;
mod rule;
mod session;

use crate::backend::{Backend, DeviceInfo, Predictor, Problem, Question, Session, device};
use crate::error::{Error, Result};
use crate::parts::composition::Precision;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Whether rows stand side by side where the winners of `p` prototypes of `d` features are looked for.
pub(crate) fn few(d: usize, p: usize) -> bool {
    lanes::pays(d, p)
}

/// Whether a step of plain squared distances, of winner pairs or of posteriors, goes over the rows once, in single precision.
pub(crate) fn at_once(d: usize, p: usize, pairs: bool) -> bool {
    has_tiles() && if pairs { lanes::sums_pay(d, p) } else { lanes::pays(d, p) }
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

/// How many threads there are.
fn threads(pool: &Option<Arc<rayon::ThreadPool>>) -> usize {
    pool.as_ref().map_or_else(rayon::current_num_threads, |pool| pool.current_num_threads())
}

/// Does `each` for all numbers below `count` with something of the thread's own, on the calling thread and on others of the pool.
///
/// The calling thread works too: one that sleeps while others work is late when they are done, and a step of a few rows is short.
fn share<W>(
    pool: &Option<Arc<rayon::ThreadPool>>,
    count: usize,
    own: impl Fn() -> W + Sync,
    each: impl Fn(&mut W, usize) + Sync,
) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut own = own();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                k if k < count => each(&mut own, k),
                _ => return,
            }
        }
    };
    match (threads(pool).min(count).saturating_sub(1), pool) {
        (0, _) => work(),
        (others, Some(pool)) => pool.in_place_scope(|scope| together(scope, others, &work)),
        (others, None) => rayon::in_place_scope(|scope| together(scope, others, &work)),
    }
}

/// Does the work on the calling thread and on so many others.
fn together<'a>(scope: &rayon::Scope<'a>, others: usize, work: &'a (impl Fn() + Sync)) {
    (0..others).for_each(|_| scope.spawn(|_| work()));
    work();
}
