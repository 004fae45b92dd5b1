//! What a training step costs: operations and bytes, from the sizes alone.
//!
//! A multiply-add counts 2. Bytes are those that must cross the memory bus at least: the data once, the tensors a few times.

use crate::parts::composition::{Composition, Cooperation, MetricName};

/// Cost of one full-batch step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Operations of the forward pass.
    pub forward_flops: f64,
    /// Operations of the backward pass.
    pub backward_flops: f64,
    /// Bytes.
    pub bytes: f64,
}

impl Cost {
    /// Operations of the whole step.
    pub fn flops(&self) -> f64 {
        self.forward_flops + self.backward_flops
    }
}

/// Cost of a step of `composition` on `n` rows, `d` features, `p` prototypes, `classes` classes; `l`: columns of each
/// linear map (latent or subspace dimension); `size`: bytes of a stored feature.
pub fn step(composition: &Composition, [n, d, p, classes, l]: [usize; 5], size: usize) -> Cost {
    let [n, d, p, classes, l] = [n, d, p, classes, l].map(|v| v as f64);
    // Non-zeros a row in G.
    let q = match composition.cooperation {
        Cooperation::Winner => 1.0,
        Cooperation::WinnerPair { .. } => 2.0f64.min(p),
        Cooperation::ClassMinimum { .. } => classes.min(p),
        Cooperation::RanksOwn { .. } => (p / classes + 1.0).min(p),
        Cooperation::Posterior { .. }
        | Cooperation::PosteriorRanks { .. }
        | Cooperation::RanksEach
        | Cooperation::RanksAll
        | Cooperation::Reasoning => p,
    };
    let (forward, backward) = match composition.metric {
        MetricName::SquaredEuclidean
        | MetricName::Euclidean
        | MetricName::Manhattan
        | MetricName::Lp(_)
        | MetricName::Chebyshev
        | MetricName::Cosine
        | MetricName::Custom => (2.0 * n * p * d, 2.0 * n * q * d),
        MetricName::Relevance => (2.0 * n * p * d + n * d, 2.0 * n * q * d + 3.0 * n * q * d),
        MetricName::Omega => (2.0 * n * d * l + 2.0 * n * p * l, 4.0 * n * q * l + 2.0 * n * d * l),
        MetricName::ClassOmega => (
            2.0 * n * classes * d * l + 2.0 * n * p * l,
            4.0 * n * q * l + 2.0 * n * classes * d * l,
        ),
        MetricName::Bilinear => {
            (2.0 * n * d * l + 3.0 * n * p * l, 9.0 * n * q * l + 2.0 * n * d * l)
        }
        MetricName::LocalOmega => (2.0 * n * p * d * l, 2.0 * n * q * d * l),
        MetricName::Tangent => {
            (2.0 * n * p * d * l + 2.0 * n * p * d, n * q * (4.0 * d * l + 2.0 * d))
        }
    };
    let extra = match composition.cooperation {
        Cooperation::Reasoning => 6.0 * n * p * classes,
        Cooperation::Posterior { .. } => 4.0 * n * p,
        Cooperation::PosteriorRanks { .. } | Cooperation::RanksAll => n * p * (p + 4.0),
        Cooperation::RanksOwn { .. } | Cooperation::RanksEach => n * p * (p / classes + 4.0),
        _ => n * p,
    };
    let maps = match composition.metric {
        MetricName::Omega | MetricName::Bilinear => d * l,
        MetricName::ClassOmega => classes * d * l,
        MetricName::LocalOmega | MetricName::Tangent => p * d * l,
        MetricName::Relevance => d,
        _ => 0.0,
    };
    // Tensors: read in the forward, gradient written, optimizer reads and writes them with two moments.
    let tensors = p * d + maps;
    Cost {
        forward_flops: forward + extra,
        backward_flops: backward,
        bytes: n * d * size as f64 + 4.0 * n + 8.0 * tensors * size as f64,
    }
}
