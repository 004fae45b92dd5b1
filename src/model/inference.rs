//! What a fitted model can be asked, on a device.
//!
//! One metric per model: labels, probabilities, confidence, win ratios and curves all come from the model's own
//! distance (`inference_metric = euclidean` is a switch for comparing with the reference).

use super::catalogue::{CooperationChoice, KernelChoice};
use super::fitted::Fitted;
use crate::backend::{Backend, Predictor};
use crate::data::{Features, Label};
use crate::error::{Error, Result};
use crate::parts::composition::{Cooperation, Precision};
use crate::parts::cooperation::ranks::{Neighbourhood, ranks};
use crate::parts::kernel::Map;
use ndarray::{Array1, Array2};
use std::borrow::Cow;

/// A fitted model on a device.
pub struct Inference<'a> {
    fitted: &'a Fitted,
    predictor: Box<dyn Predictor>,
    /// The plain Euclidean twin of `inference_metric = euclidean`.
    euclidean: Option<Box<dyn Predictor>>,
    /// What the keys of [`Inference::second`] stand for.
    map: Map,
    sigma: Option<f64>,
}

/// Accuracy among accepted rows and share of accepted rows, at each confidence threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct CoverageCurve {
    /// Thresholds, from 0 to 1.
    pub thresholds: Vec<f64>,
    /// Accuracy among the rows at or above; 1 if there are none.
    pub accuracy: Vec<f64>,
    /// Share of rows at or above.
    pub coverage: Vec<f64>,
}

impl<'a> Inference<'a> {
    pub(super) fn new(fitted: &'a Fitted, backend: &dyn Backend) -> Result<Self> {
        // The compositions are kept by the predictors, which copy what they need.
        let composition = fitted.composition()?;
        let predictor = backend.predictor(fitted.question(&composition))?;
        let euclidean = match fitted.model.text("inference_metric").as_deref() {
            Some("euclidean") => {
                let plain = fitted.euclidean_composition()?;
                Some(backend.predictor(fitted.question(&plain))?)
            }
            _ => None,
        };
        let sigma = match composition.cooperation {
            Cooperation::Posterior { sigma } | Cooperation::PosteriorRanks { sigma, .. } => {
                Some(sigma)
            }
            _ => None,
        };
        let map = if euclidean.is_some() { Map::Identity } else { composition.kernel.map() };
        Ok(Inference { fitted, predictor, euclidean, map, sigma })
    }

    fn reasons(&self) -> bool {
        self.fitted.model.row().cooperation == CooperationChoice::Reasoning
    }

    /// Checks rows and applies the model's scaling.
    fn prepare<'x>(&self, x: &'x Features) -> Result<Cow<'x, Features>> {
        let expected = self.fitted.features();
        if x.columns() != expected {
            return Err(Error::shape("X", format!("{expected} features"), x.columns()));
        }
        x.check_finite("X")?;
        match &self.fitted.scaler {
            Some(scaler) => Ok(Cow::Owned(scaler.transform(x)?)),
            None => Ok(Cow::Borrowed(x)),
        }
    }

    /// The predictor of probabilities, confidence and win ratios.
    fn second(&self) -> &dyn Predictor {
        self.euclidean.as_deref().unwrap_or(&*self.predictor)
    }

    /// Class of each row, as an index into the model's classes. Not for one-class models, whose answer may be no class of the
    /// data: see [`Inference::predict`].
    pub fn predict_codes(&self, x: &Features) -> Result<Vec<u32>> {
        self.classifies("predict_codes")?;
        let x = self.prepare(x)?;
        if self.reasons() {
            return Ok(self.predictor.class_scores(&x)?.rows().into_iter().map(argmax).collect());
        }
        // The reference's GRLVQ ignores its relevances here too.
        let ignores = self.euclidean.is_some()
            && self.fitted.model.row().kernel == KernelChoice::None
            && !self.fitted.model.row().spread
            && self.fitted.model.metric() == crate::parts::composition::MetricName::Relevance;
        let predictor = if ignores { self.second() } else { &*self.predictor };
        let labels = &self.fitted.prototype_labels;
        Ok(predictor.winners(&x)?.into_iter().map(|j| labels[j as usize]).collect())
    }

    /// Label of each row.
    pub fn predict(&self, x: &Features) -> Result<Vec<Label>> {
        if let Some(labels) = &self.fitted.one_class {
            let scores = self.decision_function(x)?;
            let label =
                |s: f64| if s >= 0.5 { labels.target.clone() } else { labels.outlier.clone() };
            return Ok(scores.into_iter().map(label).collect());
        }
        let classes = &self.fitted.classes;
        Ok(self.predict_codes(x)?.into_iter().map(|c| classes[c as usize].clone()).collect())
    }

    /// An error that says what a one-class model offers in place of a classifier's function.
    fn classifies(&self, function: &str) -> Result<()> {
        match self.fitted.one_class {
            None => Ok(()),
            Some(_) => Err(Error::parameter(
                function,
                format!(
                    "{} is a one-class model: use the score (--scores, decision_function) and its \
                     thresholds (--upper, --lower, predict_with_reject)",
                    self.fitted.model.name()
                ),
            )),
        }
    }

    /// Score of each row by a one-class model, in `[0, 1]`, high for the target class; 1/2 is the threshold.
    pub fn decision_function(&self, x: &Features) -> Result<Vec<f64>> {
        if self.fitted.one_class.is_none() {
            return Err(Error::parameter(
                "decision_function",
                format!("{} is a classifier; use predict_proba", self.fitted.model.name()),
            ));
        }
        self.predictor.target_scores(&*self.prepare(x)?)
    }

    /// Answers of a one-class model with a zone of rejection: target at a score of `upper` or more, outlier below `lower`, none between.
    pub fn predict_with_reject(
        &self,
        x: &Features,
        upper: f64,
        lower: f64,
    ) -> Result<Vec<Option<Label>>> {
        if !(0.0..=1.0).contains(&upper) || !(0.0..=1.0).contains(&lower) || lower > upper {
            return Err(Error::parameter(
                "upper, lower",
                format!("must be in [0, 1] and lower at most upper; got {upper} and {lower}"),
            ));
        }
        let scores = self.decision_function(x)?;
        let labels = self.fitted.one_class.as_ref().expect("checked by decision_function");
        let answer = |s: f64| {
            if s >= upper {
                Some(labels.target.clone())
            } else if s < lower {
                Some(labels.outlier.clone())
            } else {
                None
            }
        };
        Ok(scores.into_iter().map(answer).collect())
    }

    /// The same as [`Inference::predict_codes`] for rows that may hold NaN or infinities: none for those.
    pub fn predict_or_reject_nan(&self, x: &Features) -> Result<Vec<Option<u32>>> {
        let mut row = vec![0.0f64; x.columns()];
        let good: Vec<usize> = (0..x.rows())
            .filter(|&i| {
                x.row_into(i, &mut row);
                row.iter().all(|v| v.is_finite())
            })
            .collect();
        let mut codes = vec![None; x.rows()];
        for (i, code) in good.iter().zip(self.predict_codes(&x.select(&good))?) {
            codes[*i] = Some(code);
        }
        Ok(codes)
    }

    /// Index of the nearest prototype of each row.
    pub fn winners(&self, x: &Features) -> Result<Vec<u32>> {
        self.predictor.winners(&*self.prepare(x)?)
    }

    /// Distances to all prototypes, `n x p`.
    pub fn distances(&self, x: &Features) -> Result<Array2<f64>> {
        self.predictor.distances(&*self.prepare(x)?)
    }

    /// What the model projects rows to: `x Omega` (`n x l`), or the distances.
    pub fn transform(&self, x: &Features) -> Result<Array2<f64>> {
        self.predictor.transform(&*self.prepare(x)?)
    }

    /// Probability of each class, `n x classes`: softmax of the negative smallest distances; for CBC the class scores,
    /// which need not sum to 1.
    ///
    /// One-class models: the score, `n x 1`.
    pub fn predict_proba(&self, x: &Features) -> Result<Array2<f64>> {
        if self.fitted.one_class.is_some() {
            let scores = self.decision_function(x)?;
            return Ok(Array1::from_vec(scores).insert_axis(ndarray::Axis(1)));
        }
        let x = self.prepare(x)?;
        if self.reasons() {
            return self.predictor.class_scores(&x);
        }
        let (mut minima, map) = match self.fitted.model.text("pooling").as_deref() {
            Some("ng") => (self.ranked_means(&self.predictor.distances(&x)?), Map::Identity),
            _ => (self.second().class_minima(&x)?, self.map),
        };
        let absent = self.absent();
        for mut row in minima.rows_mut() {
            let least = row.fold(f64::INFINITY, |a, &b| a.min(b));
            row.mapv_inplace(|key| match key < absent {
                true => (-map.excess(key, least)).exp(),
                false => 0.0,
            });
            let sum = row.sum();
            row.mapv_inplace(|e| e / sum);
        }
        Ok(minima)
    }

    /// The key of a class without prototypes.
    fn absent(&self) -> f64 {
        match self.fitted.precision {
            Precision::F64 => f64::MAX,
            _ => f64::from(f32::MAX),
        }
    }

    /// Rank-weighted mean distance to each class, as in training with ranks in each class.
    fn ranked_means(&self, distances: &Array2<f64>) -> Array2<f64> {
        let (p, labels) = (self.fitted.prototypes(), &self.fitted.prototype_labels);
        let neighbourhood = Neighbourhood::<f64>::new(self.fitted.range().unwrap_or(0.0), p);
        let mut means = Array2::zeros((distances.nrows(), self.fitted.classes.len()));
        for (d, mut out) in distances.rows().into_iter().zip(means.rows_mut()) {
            for c in 0..out.len() {
                let own: Vec<f64> =
                    (0..p).filter(|j| labels[*j] as usize == c).map(|j| d[j]).collect();
                let mut order = vec![0; own.len()];
                ranks(&own, &mut order);
                let weighted = own.iter().zip(order);
                out[c] = weighted.map(|(d, r)| d * neighbourhood.weight(r, own.len())).sum();
                if own.is_empty() {
                    out[c] = f64::MAX;
                }
            }
        }
        means
    }

    /// Posterior of each class under the trained mixture, with its width sigma, `n x classes`. Soft models only.
    pub fn posterior(&self, x: &Features) -> Result<Array2<f64>> {
        self.classifies("posterior")?;
        let Some(sigma) = self.sigma else {
            return Err(Error::parameter(
                "posterior",
                format!("{} is no mixture; use predict_proba", self.fitted.model.name()),
            ));
        };
        let d = self.predictor.distances(&*self.prepare(x)?)?;
        let mut posterior = Array2::zeros((d.nrows(), self.fitted.classes.len()));
        for (d, mut out) in d.rows().into_iter().zip(posterior.rows_mut()) {
            let least = d.fold(f64::INFINITY, |a, &b| a.min(b));
            for (d, &c) in d.iter().zip(&self.fitted.prototype_labels) {
                out[c as usize] += ((least - d) / (2.0 * sigma * sigma)).exp();
            }
            let sum = out.sum();
            out.mapv_inplace(|v| v / sum);
        }
        Ok(posterior)
    }

    /// Predicted class and confidence of each row.
    ///
    /// Confidence is `(d- - d+)/(d- + d+)` with the smallest distance to the predicted class and to all others, in
    /// `[0, 1]`; for CBC the best minus the second best score; 1 if there is but one class.
    pub fn confidence(&self, x: &Features) -> Result<(Vec<u32>, Vec<f64>)> {
        self.classifies("confidence")?;
        if self.reasons() {
            let scores = self.predictor.class_scores(&*self.prepare(x)?)?;
            let both = scores.rows().into_iter().map(|row| {
                let best = argmax(row);
                let others = row.iter().enumerate().filter(|(c, _)| *c != best as usize);
                let second = others.map(|(_, v)| *v).fold(f64::NEG_INFINITY, f64::max);
                let confidence = if row.len() == 1 { 1.0 } else { row[best as usize] - second };
                (best, confidence)
            });
            return Ok(both.unzip());
        }
        let absent = self.absent();
        let keys = self.second().class_minima(&*self.prepare(x)?)?;
        let both = keys.rows().into_iter().map(|row| {
            let best = argmax((-&row).view());
            let others = row.iter().enumerate().filter(|(c, _)| *c != best as usize);
            let second = others.map(|(_, v)| *v).fold(f64::INFINITY, f64::min);
            if second >= absent {
                return (best, 1.0);
            }
            let (plus, minus, eps) = self.map.pair(row[best as usize], second);
            let (plus, minus) = (plus.value, minus.value);
            (best, (minus - plus) / (minus + plus + eps))
        });
        Ok(both.unzip())
    }

    /// Predicted class of each row whose confidence reaches `threshold`, none for the others.
    ///
    /// Soft models (SLVQ, RSLVQ and their matrix forms) compare the largest class probability instead, and without a
    /// threshold use the model's `rejection_confidence`; all others reject nothing without one.
    pub fn predict_with_rejection(
        &self,
        x: &Features,
        threshold: Option<f64>,
    ) -> Result<Vec<Option<u32>>> {
        self.classifies("predict_with_rejection")?;
        let threshold = threshold.or(self.fitted.model.float("rejection_confidence"));
        if let Some(t) = threshold
            && !(0.0..=1.0).contains(&t)
        {
            return Err(Error::parameter("reject", format!("must be >= 0 and <= 1, got {t}")));
        }
        let Some(threshold) = threshold else {
            return Ok(self.predict_codes(x)?.into_iter().map(Some).collect());
        };
        let (codes, confidence) = self.rejection_scores(x)?;
        let keep = codes.into_iter().zip(confidence);
        Ok(keep.map(|(code, c)| (c >= threshold).then_some(code)).collect())
    }

    /// Class and the number that the reject option compares.
    fn rejection_scores(&self, x: &Features) -> Result<(Vec<u32>, Vec<f64>)> {
        if self.fitted.model.row().is_soft() {
            let proba = self.predict_proba(x)?;
            Ok(proba.rows().into_iter().map(|r| (argmax(r), r[argmax(r) as usize])).unzip())
        } else {
            self.confidence(x)
        }
    }

    /// Share of rows whose confidence is below `threshold`.
    pub fn rejection_rate(&self, x: &Features, threshold: f64) -> Result<f64> {
        let (_, confidence) = self.confidence(x)?;
        let below = confidence.iter().filter(|c| **c < threshold).count();
        Ok(below as f64 / confidence.len().max(1) as f64)
    }

    /// Accuracy and coverage over a grid of confidence thresholds from 0 to 1. `y`: class codes.
    pub fn accuracy_coverage_curve(
        &self,
        x: &Features,
        y: &[u32],
        n_thresholds: usize,
    ) -> Result<CoverageCurve> {
        if n_thresholds < 2 {
            return Err(Error::parameter("n_thresholds", "must be at least 2"));
        }
        if x.rows() != y.len() {
            return Err(Error::shape("labels", format!("{} values", x.rows()), y.len()));
        }
        let (codes, confidence) = self.confidence(x)?;
        let thresholds: Vec<f64> =
            (0..n_thresholds).map(|i| i as f64 / (n_thresholds - 1) as f64).collect();
        let (mut accuracy, mut coverage) = (Vec::new(), Vec::new());
        for t in &thresholds {
            let accepted = || confidence.iter().zip(codes.iter().zip(y)).filter(|(c, _)| *c >= t);
            let count = accepted().count();
            let right = accepted().filter(|(_, (a, b))| a == b).count();
            accuracy.push(if count == 0 { 1.0 } else { right as f64 / count as f64 });
            coverage.push(count as f64 / y.len().max(1) as f64);
        }
        Ok(CoverageCurve { thresholds, accuracy, coverage })
    }

    /// The threshold of least cost `cost_error (1 - accuracy) coverage + cost_reject (1 - coverage)` (Chow 1970); the
    /// first of the grid if there are several.
    pub fn optimal_threshold(
        &self,
        x: &Features,
        y: &[u32],
        cost_reject: f64,
        cost_error: f64,
        n_thresholds: usize,
    ) -> Result<f64> {
        let curve = self.accuracy_coverage_curve(x, y, n_thresholds)?;
        let cost = |i: usize| {
            let (a, c) = (curve.accuracy[i], curve.coverage[i]);
            cost_error * (1.0 - a) * c + cost_reject * (1.0 - c)
        };
        let best = (0..n_thresholds).fold(0, |b, i| if cost(i) < cost(b) { i } else { b });
        Ok(curve.thresholds[best])
    }

    /// For each prototype, the share of all rows that it is nearest to and whose label it bears. `y`: class codes.
    pub fn prototype_win_ratios(&self, x: &Features, y: &[u32]) -> Result<Array1<f64>> {
        if x.rows() != y.len() {
            return Err(Error::shape("labels", format!("{} values", x.rows()), y.len()));
        }
        let mut ratios = Array1::zeros(self.fitted.prototypes());
        if self.reasons() {
            return Err(Error::parameter(
                "prototype_win_ratios",
                "components belong to no class; use the reasonings",
            ));
        }
        self.classifies("prototype_win_ratios")?;
        for (j, y) in self.second().winners(&*self.prepare(x)?)?.into_iter().zip(y) {
            if self.fitted.prototype_labels[j as usize] == *y {
                ratios[j as usize] += 1.0;
            }
        }
        Ok(ratios / y.len().max(1) as f64)
    }

    /// Share of right labels. `y`: class codes.
    pub fn accuracy(&self, x: &Features, y: &[u32]) -> Result<f64> {
        if x.rows() != y.len() {
            return Err(Error::shape("labels", format!("{} values", x.rows()), y.len()));
        }
        if let Some(labels) = &self.fitted.one_class {
            // Everything that is not the target is an outlier, whatever it is called.
            let target = self.fitted.target_code();
            let is_target = self.predict(x)?.into_iter().map(|l| l == labels.target);
            let right = is_target.zip(y).filter(|(t, y)| *t == (**y == target)).count();
            return Ok(right as f64 / y.len().max(1) as f64);
        }
        let codes = self.predict_codes(x)?;
        let right = codes.iter().zip(y).filter(|(a, b)| a == b).count();
        Ok(right as f64 / y.len().max(1) as f64)
    }
}

/// Index of the largest value, the first on ties.
fn argmax(row: ndarray::ArrayView1<'_, f64>) -> u32 {
    let best = row.iter().enumerate().fold(0, |b, (i, v)| if *v > row[b] { i } else { b });
    best as u32
}
