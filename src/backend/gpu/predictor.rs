//! A fitted model on a GPU, or on several that share the rows.

use super::pass::{Batch, Held, Part, Pass, Rows, hold};
use super::{Driver, shards};
use crate::backend::{Predictor, Question};
use crate::data::Features;
use crate::error::Result;
use ndarray::{Array2, Axis, concatenate};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Rows looked at together.
const ROWS: usize = 1 << 16;

pub(super) struct GpuPredictor<D: Driver> {
    devices: Vec<Device<D>>,
    classes: usize,
}

/// The model on one device.
struct Device<D: Driver> {
    driver: Arc<D>,
    /// One question at a time: a pass has one set of buffers.
    pass: Mutex<Pass<D>>,
    tensors: Vec<Held<D::Buffer>>,
    p: usize,
}

/// What is asked of each row.
#[derive(Clone, Copy)]
enum Asked {
    /// So many columns of the outcome.
    Outcome(Rows, usize),
    Distances,
    Transform,
}

impl<D: Driver> GpuPredictor<D> {
    pub fn new(drivers: &[Arc<D>], question: &Question<'_>) -> Result<Self> {
        let devices = drivers.iter().map(|driver| Device::new(driver.clone(), question));
        let classes = question.classes;
        Ok(GpuPredictor { devices: devices.collect::<Result<_>>()?, classes })
    }

    /// Each device answers for its share of the rows.
    fn answer(&self, features: &Features, asked: Asked) -> Result<Array2<f64>> {
        if let [device] = &self.devices[..] {
            return device.answer(features, 0..features.rows(), asked);
        }
        let shares = shards(features.rows(), self.devices.len());
        let answers: Vec<Result<_>> = (self.devices.par_iter().zip(shares))
            .map(|(device, rows)| device.answer(features, rows, asked))
            .collect();
        let answers = answers.into_iter().collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = answers.iter().map(|a| a.view()).collect();
        Ok(concatenate(Axis(0), &views).expect("answers are equally wide"))
    }
}

impl<D: Driver> Device<D> {
    fn new(driver: Arc<D>, question: &Question<'_>) -> Result<Self> {
        Ok(Device {
            pass: Mutex::new(Pass::new(driver.clone(), question, ROWS, false)?),
            tensors: hold(&*driver, question.tensors)?,
            p: question.prototype_labels.len(),
            driver,
        })
    }

    fn answer(&self, features: &Features, rows: Range<usize>, asked: Asked) -> Result<Array2<f64>> {
        let pass = self.pass.lock().unwrap_or_else(|e| e.into_inner());
        match (asked, pass.transform_width()) {
            (Asked::Outcome(what, width), _) => self.outcome(&pass, features, rows, what, width),
            (Asked::Transform, Some(width)) => self.transform(&pass, features, rows, width),
            // Metrics that project nothing answer with distances.
            (Asked::Distances, _) | (Asked::Transform, None) => {
                self.distances(&pass, features, rows)
            }
        }
    }

    /// What `what` leaves in the outcome, `width` columns, as `n x width`.
    fn outcome(
        &self,
        pass: &Pass<D>,
        features: &Features,
        rows: Range<usize>,
        what: Rows,
        width: usize,
    ) -> Result<Array2<f64>> {
        let mut all = Array2::zeros((rows.len(), width));
        for (start, end) in blocks(rows.len(), pass.chunk) {
            let n = end - start;
            let x = pass.upload_rows(features, rows.start + start, rows.start + end)?;
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

    fn distances(
        &self,
        pass: &Pass<D>,
        features: &Features,
        rows: Range<usize>,
    ) -> Result<Array2<f64>> {
        let map = pass.about().composition.kernel.map();
        let mut all = Array2::zeros((rows.len(), self.p));
        for (start, end) in blocks(rows.len(), pass.chunk) {
            let n = end - start;
            let x = pass.upload_rows(features, rows.start + start, rows.start + end)?;
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

    fn transform(
        &self,
        pass: &Pass<D>,
        features: &Features,
        rows: Range<usize>,
        width: usize,
    ) -> Result<Array2<f64>> {
        let mut all = Array2::zeros((rows.len(), width));
        for (start, end) in blocks(rows.len(), pass.chunk) {
            let n = end - start;
            let x = pass.upload_raw(features, rows.start + start, rows.start + end)?;
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

fn blocks(n: usize, size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n.div_ceil(size)).map(move |i| (i * size, ((i + 1) * size).min(n)))
}

impl<D: Driver> Predictor for GpuPredictor<D> {
    fn winners(&self, features: &Features) -> Result<Vec<u32>> {
        let winners = self.answer(features, Asked::Outcome(Rows::Winner, 1))?;
        Ok(winners.iter().map(|v| *v as u32).collect())
    }

    fn distances(&self, features: &Features) -> Result<Array2<f64>> {
        self.answer(features, Asked::Distances)
    }

    fn class_minima(&self, features: &Features) -> Result<Array2<f64>> {
        self.answer(features, Asked::Outcome(Rows::ClassMinimum, self.classes))
    }

    fn class_scores(&self, features: &Features) -> Result<Array2<f64>> {
        self.answer(features, Asked::Outcome(Rows::ClassScores, self.classes))
    }

    fn target_scores(&self, features: &Features) -> Result<Vec<f64>> {
        let scores = self.answer(features, Asked::Outcome(Rows::TargetScores, 1))?;
        Ok(scores.iter().copied().collect())
    }

    fn transform(&self, features: &Features) -> Result<Array2<f64>> {
        self.answer(features, Asked::Transform)
    }
}
