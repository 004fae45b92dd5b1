//! What chunks of rows add up to, and their sum.

use crate::backend::cpu::Team;
use crate::parts::metric::Sums;
use crate::parts::objective::svq_occ::Confusion;
use crate::parts::real::Real;
use crate::parts::simd::add_scaled;
use std::sync::{Mutex, PoisonError};

/// What a chunk of rows adds up to.
pub(in crate::backend::cpu) struct Partial<T> {
    /// The metric's sums; for the contrastive cost three lists, one after the other.
    pub metric: Sums<T>,
    /// Gradient of the reasonings or of the thresholds (three times `p` for the contrastive cost).
    pub own: Vec<T>,
    /// Gradient of the ranks' range.
    pub range: f64,
    /// Weighted sum of row losses.
    pub loss: f64,
    /// The soft confusion matrix of the contrastive cost.
    pub confusion: Confusion,
}

impl<T: Real> Partial<T> {
    /// Adds the sums of other rows, one after the other.
    pub fn add(&mut self, others: &[Partial<T>], team: &Team) {
        for i in 0..self.metric.len() {
            add_each(&mut self.metric[i], others, team, |other| &other.metric[i]);
        }
        add_each(&mut self.own, others, team, |other| &other.own);
        for other in others {
            self.range += other.range;
            self.loss += other.loss;
            self.confusion.merge(&other.confusion);
        }
    }
}

/// Values that are added up while they are in the cache.
const SHARE: usize = 1024;
/// Values, of all others together, from which on several threads share them.
const LONG: usize = 128 << 10;

/// `sums += each(other)` for all others, in their order.
fn add_each<'a, T: Real>(
    sums: &mut [T],
    others: &'a [Partial<T>],
    team: &Team,
    each: impl Fn(&'a Partial<T>) -> &'a Vec<T> + Sync,
) {
    let add = |k: usize, sums: &mut [T]| {
        for other in others {
            add_scaled(sums, T::one(), &each(other)[k * SHARE..][..sums.len()]);
        }
    };
    if sums.len() * others.len() < LONG {
        sums.chunks_mut(SHARE).enumerate().for_each(|(k, sums)| add(k, sums));
        return;
    }
    let pieces: Vec<Mutex<&mut [T]>> = sums.chunks_mut(SHARE).map(Mutex::new).collect();
    team.share(
        pieces.len(),
        || (),
        |_, k| {
            add(k, &mut pieces[k].lock().unwrap_or_else(PoisonError::into_inner));
        },
    );
}
