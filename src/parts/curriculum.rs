//! Self-paced curriculum (Kumar et al. 2010): easy rows first.
//!
//! With row losses l, `l' = l - min l`; the threshold is the row loss of the fraction `a` of easiest rows,
//! `a = p0 + (1 - p0) f`, where f goes from 0 to 1 over training. Weights are constants for the gradient:
//! hard `[l' <= th]`, soft `exp(-max(l' - th, 0)/th)`, linear `clip(1 - (l' - th)/th, 0, 1)`.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How weights fall with the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In or out.
    Hard,
    /// Exponentially.
    #[default]
    Soft,
    /// Linearly.
    Linear,
}

/// How the fraction of easy rows grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// `f`
    #[default]
    Linear,
    /// `(e^f - 1)/(e - 1)`
    Exponential,
    /// `(1 - cos(pi f))/2`
    Cosine,
}

/// A curriculum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Curriculum {
    /// Fraction of rows that are easy at the start.
    pub init_percentile: f64,
    /// How it grows.
    pub schedule: Pace,
    /// How weights fall.
    pub mode: Mode,
}

impl Default for Curriculum {
    fn default() -> Self {
        Curriculum { init_percentile: 0.3, schedule: Pace::Linear, mode: Mode::Soft }
    }
}

impl Curriculum {
    /// Checks the ranges.
    pub fn check(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.init_percentile) {
            return Ok(());
        }
        Err(Error::parameter(
            "curriculum.init_percentile",
            format!("must be >= 0 and <= 1, got {}", self.init_percentile),
        ))
    }

    /// Weight of each row in iteration `i` of `total`.
    pub fn weights(&self, losses: &[f64], i: usize, total: usize) -> Vec<f64> {
        if losses.is_empty() {
            return Vec::new();
        }
        let f = (i as f64 / (total.max(2) - 1) as f64).min(1.0);
        let f = match self.schedule {
            Pace::Linear => f,
            Pace::Exponential => f.exp_m1() / 1f64.exp_m1(),
            Pace::Cosine => 0.5 * (1.0 - (std::f64::consts::PI * f).cos()),
        };
        let fraction = self.init_percentile + (1.0 - self.init_percentile) * f;
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let mut sorted: Vec<f64> = losses.iter().map(|l| l - least).collect();
        sorted.sort_by(f64::total_cmp);
        let at = ((fraction * losses.len() as f64) as usize).min(losses.len() - 1);
        let threshold = sorted[at];
        let scale = threshold.max(1e-10);
        let weight = |l: &f64| {
            let above = l - least - threshold;
            match self.mode {
                Mode::Hard => f64::from(u8::from(above <= 0.0)),
                Mode::Soft => (-above.max(0.0) / scale).exp(),
                Mode::Linear => (1.0 - above / scale).clamp(0.0, 1.0),
            }
        };
        losses.iter().map(weight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easy_rows_first_then_all() {
        let losses = [-0.9, -0.2, 0.3, 0.8, -0.5];
        for mode in [Mode::Hard, Mode::Soft, Mode::Linear] {
            for schedule in [Pace::Linear, Pace::Exponential, Pace::Cosine] {
                let c = Curriculum { mode, schedule, ..Curriculum::default() };
                let first = c.weights(&losses, 0, 10);
                assert!(
                    first[0] == 1.0
                        && first[3] < 0.6
                        && first.iter().all(|w| (0.0..=1.0).contains(w))
                );
                assert_eq!(c.weights(&losses, 9, 10), [1.0; 5], "{mode:?} {schedule:?}");
            }
        }
        let hard = Curriculum { mode: Mode::Hard, ..Curriculum::default() };
        assert_eq!(hard.weights(&losses, 0, 10), [1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(hard.weights(&[2.0; 3], 0, 1), [1.0; 3]);
    }
}
