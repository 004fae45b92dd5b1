//! The metrics without a tensor of their own.

use super::{
    Inputs, Metric, chebyshev::Chebyshev, cosine::Cosine, euclidean::Euclidean, lp::Lp,
    manhattan::Manhattan, squared_euclidean::SquaredEuclidean,
};
use crate::error::{Error, Result};
use crate::parts::composition::MetricName;
use crate::parts::real::Real;

/// The metrics without a tensor of their own; none for the others.
pub fn plain<T: Real>(metric: MetricName, inputs: Inputs<'_, T>) -> Option<Box<dyn Metric<T>>> {
    Some(match metric {
        MetricName::SquaredEuclidean => Box::new(SquaredEuclidean::new(inputs)),
        MetricName::Euclidean => Box::new(Euclidean::new(inputs)),
        MetricName::Manhattan => Box::new(Manhattan::new(inputs)),
        MetricName::Lp(p) => Box::new(Lp::new(inputs, p)),
        MetricName::Chebyshev => Box::new(Chebyshev::new(inputs)),
        MetricName::Cosine => Box::new(Cosine::new(inputs)),
        _ => return None,
    })
}

/// One of them by its name; `lp` with the exponent 2.
///
/// # Errors
/// Another name.
pub fn plain_named(name: &str) -> Result<MetricName> {
    const ALL: [MetricName; 6] = [
        MetricName::SquaredEuclidean,
        MetricName::Euclidean,
        MetricName::Manhattan,
        MetricName::Lp(2.0),
        MetricName::Chebyshev,
        MetricName::Cosine,
    ];
    let found = ALL.into_iter().find(|metric| metric.name() == name);
    found.ok_or_else(|| Error::unknown("metric", name, &ALL.map(MetricName::name)))
}
