//! A fitted model on a GPU.

use super::Driver;
use super::pass::{Batch, Held, Part, Pass, Rows, hold};
use crate::backend::{Predictor, Question};
use crate::data::Features;
use crate::error::Result;
use ndarray::Array2;
use std::sync::{Arc, Mutex};

/// Rows looked at together.
const ROWS: usize = 1 << 16;

pub(super) struct GpuPredictor<D: Driver> {
    driver: Arc<D>,
    /// One question at a time: a pass has one set of buffers.
    pass: Mutex<Pass<D>>,
    tensors: Vec<Held<D::Buffer>>,
    classes: usize,
    p: usize,
}

impl<D: Driver> GpuPredictor<D> {
    pub fn new(driver: Arc<D>, question: &Question<'_>) -> Result<Self> {
        Ok(GpuPredictor {
            pass: Mutex::new(Pass::new(driver.clone(), question, ROWS, false)?),
            tensors: hold(&*driver, question.tensors)?,
            classes: question.classes,
            p: question.prototype_labels.len(),
            driver,
        })
    }

    /// What `what` leaves in the outcome, `width` columns, as `n x width`.
    fn outcome(&self, features: &Features, what: Rows, width: usize) -> Result<Array2<f64>> {
        let pass = self.pass.lock().unwrap_or_else(|e| e.into_inner());
        let mut all = Array2::zeros((features.rows(), width));
        for (start, end) in blocks(features.rows(), pass.chunk) {
            let n = end - start;
            let x = pass.upload_rows(features, start, end)?;
            let codes = self.driver.with_words(&vec![0; n])?;
            let factors = self.driver.with_numbers(&vec![1.0; n])?;
            let batch = Batch { x: &x, codes: &codes, factors: &factors, n };
            let part = Part { base: 0, x_base: 0, n };
            let launches = pass.one_chunk(&self.tensors, &batch, part, what);
            self.driver.run_once(&launches)?;
            let mut column = vec![0.0f32; n];
            for c in 0..width {
                self.driver.read_numbers(&pass.outcome, c * pass.chunk, &mut column)?;
                for (i, v) in column.iter().enumerate() {
                    all[[start + i, c]] = f64::from(*v);
                }
            }
        }
        Ok(all)
    }
}

fn blocks(n: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n.div_ceil(size)).map(move |i| (i * size, ((i + 1) * size).min(n)))
}

impl<D: Driver> Predictor for GpuPredictor<D> {
    fn winners(&self, features: &Features) -> Result<Vec<u32>> {
        Ok(self.outcome(features, Rows::Winner, 1)?.iter().map(|v| *v as u32).collect())
    }

    fn distances(&self, features: &Features) -> Result<Array2<f64>> {
        let pass = self.pass.lock().unwrap_or_else(|e| e.into_inner());
        let map = pass.about().composition.kernel.map();
        let mut all = Array2::zeros((features.rows(), self.p));
        for (start, end) in blocks(features.rows(), pass.chunk) {
            let n = end - start;
            let x = pass.upload_rows(features, start, end)?;
            self.driver.run_once(&pass.keys_of_chunk(&self.tensors, &x, (0, n)))?;
            let mut column = vec![0.0f32; n];
            for j in 0..self.p {
                self.driver.read_numbers(pass.keys(), j * pass.chunk, &mut column)?;
                for (i, key) in column.iter().enumerate() {
                    all[[start + i, j]] = f64::from(map.see(*key).value);
                }
            }
        }
        Ok(all)
    }

    fn class_minima(&self, features: &Features) -> Result<Array2<f64>> {
        self.outcome(features, Rows::ClassMinimum, self.classes)
    }

    fn class_scores(&self, features: &Features) -> Result<Array2<f64>> {
        self.outcome(features, Rows::ClassScores, self.classes)
    }

    fn target_scores(&self, features: &Features) -> Result<Vec<f64>> {
        Ok(self.outcome(features, Rows::TargetScores, 1)?.iter().copied().collect())
    }

    fn transform(&self, features: &Features) -> Result<Array2<f64>> {
        // Of the metrics that project; the others answer with distances.
        let width = {
            let pass = self.pass.lock().unwrap_or_else(|e| e.into_inner());
            pass.transform_width()
        };
        let Some(width) = width else { return self.distances(features) };
        let pass = self.pass.lock().unwrap_or_else(|e| e.into_inner());
        let mut all = Array2::zeros((features.rows(), width));
        for (start, end) in blocks(features.rows(), pass.chunk) {
            let n = end - start;
            let x = pass.upload_raw(features, start, end)?;
            let Some((launch, y)) = pass.projections(&self.tensors, &x, (0, n)) else { break };
            self.driver.run_once(&[launch])?;
            let mut values = vec![0.0f32; n * width];
            self.driver.read_numbers(y, 0, &mut values)?;
            for (i, v) in values.iter().enumerate() {
                all[[start + i / width, i % width]] = f64::from(*v);
            }
        }
        Ok(all)
    }
}
