//! A fitted model on the CPU.

use super::block::{BlockRows, Plan, Ready, Workspace};
use super::on_pool;
use crate::backend::{Predictor, Question};
use crate::data::Features;
use crate::error::Result;
use crate::parts::cooperation::class_minimum::class_minimum;
use crate::parts::real::Real;
use ndarray::Array2;
use rayon::prelude::*;
use std::sync::Arc;

pub(super) struct CpuPredictor<T: Real> {
    plan: Plan<T>,
    ready: Ready<T>,
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl<T: Real> CpuPredictor<T> {
    pub fn new(question: &Question<'_>, pool: Option<Arc<rayon::ThreadPool>>) -> Self {
        let plan = Plan::new(question);
        let ready = plan.ready(&question.tensors.cast(), &|_| false);
        CpuPredictor { plan, ready, pool }
    }

    /// Runs `f` on each block of rows; it fills the block's rows of an `n x width` answer.
    fn blocks<O: Send + Copy + Default>(
        &self,
        features: &Features,
        width: usize,
        f: impl Fn(BlockRows<'_>, &mut Workspace<T>, &mut [O]) + Sync,
    ) -> Vec<O> {
        let n = features.rows();
        let mut out = vec![O::default(); n * width];
        let size = self.plan.rows;
        on_pool(&self.pool, || {
            out.par_chunks_mut(size * width).enumerate().for_each_init(
                || self.plan.workspace(),
                |ws, (i, out)| {
                    let start = i * size;
                    let end = start + out.len() / width;
                    let rows =
                        BlockRows { features, codes: &[], indices: None, turned: None, start, end };
                    f(rows, ws, out);
                },
            );
        });
        out
    }

    fn array(n: usize, width: usize, values: Vec<f64>) -> Array2<f64> {
        Array2::from_shape_vec((n, width), values).expect("n x width values")
    }
}

impl<T: Real> Predictor for CpuPredictor<T> {
    fn winners(&self, features: &Features) -> Result<Vec<u32>> {
        Ok(self.blocks(features, 1, |rows, ws, out| {
            self.plan.winners(&self.ready, rows, ws, out);
        }))
    }

    fn distances(&self, features: &Features) -> Result<Array2<f64>> {
        let p = self.plan.p;
        let values = self.blocks(features, p, |rows, ws, out: &mut [f64]| {
            self.plan.forward(&self.ready, rows, ws);
            for (i, o) in out.iter_mut().enumerate() {
                let key = self.ready.metric.exact(&ws.x, i / p, i % p, &mut ws.scratch);
                *o = self.plan.map.see(key).value.f64();
            }
        });
        Ok(Self::array(features.rows(), p, values))
    }

    fn class_minima(&self, features: &Features) -> Result<Array2<f64>> {
        let classes = self.plan.classes;
        let values = self.blocks(features, classes, |rows, ws, out: &mut [f64]| {
            self.plan.forward(&self.ready, rows, ws);
            let mut winners = vec![None; classes];
            for (k, out) in out.chunks_exact_mut(classes).enumerate() {
                class_minimum(
                    &self.plan.runs,
                    &ws.d[k * self.plan.p..][..self.plan.p],
                    &mut winners,
                );
                for (o, winner) in out.iter_mut().zip(&winners) {
                    *o = match winner {
                        Some(j) => self.ready.metric.exact(&ws.x, k, *j, &mut ws.scratch).f64(),
                        None => <T as num_traits::Float>::max_value().f64(),
                    };
                }
            }
        });
        Ok(Self::array(features.rows(), classes, values))
    }

    fn class_scores(&self, features: &Features) -> Result<Array2<f64>> {
        let classes = self.plan.classes;
        let values = self.blocks(features, classes, |rows, ws, out: &mut [f64]| {
            let scores = self.plan.class_scores(&self.ready, rows, ws);
            out.iter_mut().zip(scores).for_each(|(o, s)| *o = s.f64());
        });
        Ok(Self::array(features.rows(), classes, values))
    }

    fn target_scores(&self, features: &Features) -> Result<Vec<f64>> {
        Ok(self.blocks(features, 1, |rows, ws, out: &mut [f64]| {
            self.plan.target_scores(&self.ready, rows, ws, out);
        }))
    }

    fn transform(&self, features: &Features) -> Result<Array2<f64>> {
        let Some((_, width)) = self.ready.metric.project(&[]) else {
            return self.distances(features);
        };
        let values = self.blocks(features, width, |rows, ws, out: &mut [f64]| {
            self.plan.load_raw(rows, ws);
            if let Some((projected, _)) = self.ready.metric.project(&ws.x) {
                out.iter_mut().zip(projected).for_each(|(o, v)| *o = v.f64());
            }
        });
        Ok(Self::array(features.rows(), width, values))
    }
}
