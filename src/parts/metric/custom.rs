//! A metric of the user's own: a distance and its derivative, pair by pair.

use super::Inputs;
use super::direct::{Direct, Pairwise};
use crate::parts::real::Real;
use std::sync::Arc;

/// A distance of a row to a prototype, both of `d` features, and its derivative. In double precision, whatever the
/// model is trained in. Rows arrive as they are, not centred.
pub trait UserMetric: Send + Sync {
    /// The distance, >= 0.
    fn distance(&self, x: &[f64], w: &[f64]) -> f64;

    /// `dw += g dD/dw`. A subgradient where D has a kink.
    fn add_gradient(&self, g: f64, x: &[f64], w: &[f64], dw: &mut [f64]);
}

/// A shared [`UserMetric`].
#[derive(Clone)]
pub struct Shared(pub Arc<dyn UserMetric>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserMetric")
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// See the [module](self).
pub type Custom<T> = Direct<T, Shared>;

impl<T: Real> Direct<T, Shared> {
    /// Copies the prototypes.
    pub fn new(inputs: Inputs<'_, T>, metric: Shared) -> Self {
        Direct::with(inputs, metric)
    }
}

/// A slice in double precision.
fn wide<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.f64()).collect()
}

impl<T: Real> Pairwise<T> for Shared {
    fn distance(&self, x: &[T], w: &[T]) -> T {
        T::of(self.0.distance(&wide(x), &wide(w)))
    }

    fn add_gradient(&self, g: T, x: &[T], w: &[T], dw: &mut [T]) {
        let mut more = vec![0.0; dw.len()];
        self.0.add_gradient(g.f64(), &wide(x), &wide(w), &mut more);
        dw.iter_mut().zip(more).for_each(|(d, m)| *d += T::of(m));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metric;
    use super::super::check::{self, Subject};
    use super::*;

    /// `sum (x - w)^2 + (x - w)^4`
    struct Quartic;

    impl UserMetric for Quartic {
        fn distance(&self, x: &[f64], w: &[f64]) -> f64 {
            x.iter().zip(w).map(|(x, w)| (x - w).powi(2) + (x - w).powi(4)).sum()
        }
        fn add_gradient(&self, g: f64, x: &[f64], w: &[f64], dw: &mut [f64]) {
            for ((d, x), w) in dw.iter_mut().zip(x).zip(w) {
                *d -= g * (2.0 * (x - w) + 4.0 * (x - w).powi(3));
            }
        }
    }

    struct Own;

    impl Subject for Own {
        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            Box::new(Custom::new(inputs, Shared(Arc::new(Quartic))))
        }
        fn distance(&self, x: &[f64], w: &[f64], _: &[f64]) -> f64 {
            Quartic.distance(x, w)
        }
        fn gradient(&self, x: &[f64], w: &[f64], _: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let slope = |(x, w): (&f64, &f64)| 2.0 * (w - x) + 4.0 * (w - x).powi(3);
            (x.iter().zip(w).map(slope).collect(), vec![])
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Own);
    }
}
