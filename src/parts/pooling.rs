//! Stratified pooling: a row of `p` values becomes one value a class.

use super::real::Real;
use crate::error::{Error, Result};

/// How the values of a class become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The least; the largest number for an empty class.
    Min,
    /// The greatest; the least number for an empty class.
    Max,
    /// The sum; 0 for an empty class.
    Sum,
    /// The product of values >= 0; 1 for an empty class.
    Prod,
}

/// Below this a factor counts as this.
const FLOOR: f64 = 1e-30;

impl Pooling {
    /// Pools one row into `out`, one value a class. A negative value is an error for the product.
    pub fn forward<T: Real>(self, values: &[T], labels: &[u32], out: &mut [T]) -> Result<()> {
        let largest = <T as num_traits::Float>::max_value();
        out.fill(match self {
            Pooling::Min => largest,
            Pooling::Max => -largest,
            Pooling::Sum | Pooling::Prod => T::zero(),
        });
        for (v, l) in values.iter().zip(labels) {
            let o = &mut out[*l as usize];
            *o = match self {
                Pooling::Min => num_traits::Float::min(*o, *v),
                Pooling::Max => num_traits::Float::max(*o, *v),
                Pooling::Sum => *o + *v,
                Pooling::Prod if *v < T::zero() => {
                    return Err(Error::data(format!("product pooling of a negative value, {v}")));
                }
                Pooling::Prod => {
                    *o + num_traits::Float::ln(num_traits::Float::max(*v, T::of(FLOOR)))
                }
            };
        }
        if self == Pooling::Prod {
            out.iter_mut().for_each(|o| *o = num_traits::Float::exp(*o));
        }
        Ok(())
    }

    /// From the gradient of the pooled values to that of the values. Extremes attained several times go to the first.
    pub fn backward<T: Real>(
        self,
        values: &[T],
        labels: &[u32],
        pooled: &[T],
        gradient: &[T],
        out: &mut [T],
    ) {
        let mut taken = vec![false; pooled.len()];
        for ((v, l), o) in values.iter().zip(labels).zip(out) {
            let c = *l as usize;
            *o = match self {
                Pooling::Sum => gradient[c],
                Pooling::Prod if *v <= T::of(FLOOR) => T::zero(),
                Pooling::Prod => gradient[c] * pooled[c] / *v,
                Pooling::Min | Pooling::Max if *v == pooled[c] && !taken[c] => {
                    taken[c] = true;
                    gradient[c]
                }
                Pooling::Min | Pooling::Max => T::zero(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_empty_classes_and_slopes() {
        let (values, labels) = ([0.5, 2.0, 1.5, 0.7], [0, 0, 2, 0]);
        let pool = |p: Pooling, v: &[f64]| {
            let mut out = [0.0; 3];
            p.forward(v, &labels, &mut out).unwrap();
            out
        };
        assert_eq!(pool(Pooling::Min, &values), [0.5, f64::MAX, 1.5]);
        assert_eq!(pool(Pooling::Max, &values), [2.0, -f64::MAX, 1.5]);
        assert_eq!(pool(Pooling::Sum, &values), [3.2, 0.0, 1.5]);
        assert!((pool(Pooling::Prod, &values)[0] - 0.7).abs() < 1e-15);
        for p in [Pooling::Min, Pooling::Max, Pooling::Sum, Pooling::Prod] {
            let weight = [1.3, 0.0, -0.4];
            let mut g = [0.0; 4];
            p.backward(&values, &labels, &pool(p, &values), &weight, &mut g);
            for j in 0..4 {
                let at = |h: f64| {
                    let mut v = values;
                    v[j] += h;
                    pool(p, &v)
                        .iter()
                        .zip(&weight)
                        .filter(|(_, w)| **w != 0.0)
                        .map(|(a, w)| a * w)
                        .sum::<f64>()
                };
                assert!((g[j] - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-8, "{p:?} {j}");
            }
        }
        assert!(Pooling::Prod.forward(&[-1.0], &[0], &mut [0.0]).is_err());
    }
}
