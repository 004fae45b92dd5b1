//! A linear map per class, `D_ij = |(x_i - w_j) Omega_c(j)|^2`: for each class the metric [`omega`](super::omega) over its prototypes.

use super::block::grow;
use super::omega::Omega;
use super::{Inputs, Metric, Pair, Scratch, Sums};
use crate::parts::real::Real;

/// See the [module](self).
pub struct ClassOmega<T: Real> {
    p: usize,
    d: usize,
    classes: Vec<Class<T>>,
    /// Class of each prototype and its number among the prototypes of the class.
    places: Vec<(usize, usize)>,
    /// Sums of each class's metric.
    sums_of_one: usize,
    learn_prototypes: bool,
    learn_own: bool,
}

struct Class<T: Real> {
    metric: Omega<T>,
    members: Vec<usize>,
}

impl<T: Real> ClassOmega<T> {
    /// `inputs.own` holds `C x d x l` values; `labels` are the classes of the prototypes.
    pub fn new(inputs: Inputs<'_, T>, l: usize, labels: &[u32]) -> Self {
        let d = inputs.d;
        let mut places = Vec::with_capacity(labels.len());
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); inputs.own.len() / (d * l)];
        for (j, c) in labels.iter().enumerate() {
            let members = &mut members[*c as usize];
            places.push((*c as usize, members.len()));
            members.push(j);
        }
        let classes: Vec<Class<T>> = members
            .into_iter()
            .enumerate()
            .map(|(c, members)| {
                let prototypes: Vec<T> = members
                    .iter()
                    .flat_map(|j| inputs.prototypes[j * d..][..d].iter().copied())
                    .collect();
                let own = &inputs.own[c * d * l..][..d * l];
                let inputs = Inputs { prototypes: &prototypes, own, ..inputs };
                Class { metric: Omega::new(inputs, l), members }
            })
            .collect();
        ClassOmega {
            p: labels.len(),
            d,
            sums_of_one: classes.first().map_or(0, |c| c.metric.sums().len()),
            classes,
            places,
            learn_prototypes: inputs.learn_prototypes,
            learn_own: inputs.learn_own,
        }
    }
}

impl<T: Real> Metric<T> for ClassOmega<T> {
    fn forward(&self, x: &[T], dist: &mut [T], scratch: &mut Scratch<T>) {
        let b = x.len() / self.d;
        scratch.nested.resize_with(self.classes.len(), Scratch::default);
        for (class, nested) in self.classes.iter().zip(&mut scratch.nested) {
            let k = class.members.len();
            if k == 0 {
                continue;
            }
            let part = grow(&mut scratch.work, b * k);
            class.metric.forward(x, part, nested);
            for (row, part) in dist.chunks_exact_mut(self.p).zip(part.chunks_exact(k)) {
                for (j, v) in class.members.iter().zip(part) {
                    row[*j] = *v;
                }
            }
        }
    }

    fn exact(&self, x: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        let (class, place) = self.places[prototype];
        self.classes[class].metric.exact(x, row, place, &mut scratch.nested[class])
    }

    fn slack(&self, row: usize, scratch: &Scratch<T>) -> T {
        let of = |(class, nested): (&Class<T>, &Scratch<T>)| match class.members.is_empty() {
            true => T::zero(),
            false => class.metric.slack(row, nested),
        };
        self.classes.iter().zip(&scratch.nested).map(of).fold(T::zero(), num_traits::Float::max)
    }

    /// Those of each class's metric, class after class.
    fn sums(&self) -> Vec<usize> {
        self.classes.iter().flat_map(|c| c.metric.sums()).collect()
    }

    fn backward_pairs(
        &self,
        x: &[T],
        pairs: &[Pair<T>],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        for (c, class) in self.classes.iter().enumerate() {
            let own: Vec<Pair<T>> = pairs
                .iter()
                .filter_map(|pair| {
                    let (of, place) = self.places[pair.prototype as usize];
                    (of == c).then_some(Pair { prototype: place as u32, ..*pair })
                })
                .collect();
            if !own.is_empty() {
                with_sums(sums, c * self.sums_of_one, self.sums_of_one, |sums| {
                    class.metric.backward_pairs(x, &own, &mut scratch.nested[c], sums);
                });
            }
        }
    }

    fn backward_dense(
        &self,
        x: &[T],
        _: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let b = x.len() / self.d;
        for (c, class) in self.classes.iter().enumerate() {
            let k = class.members.len();
            if k == 0 {
                continue;
            }
            let part = grow(&mut scratch.work, b * k);
            for (row, part) in g.chunks_exact(self.p).zip(part.chunks_exact_mut(k)) {
                for (j, v) in class.members.iter().zip(part) {
                    *v = row[*j];
                }
            }
            with_sums(sums, c * self.sums_of_one, self.sums_of_one, |sums| {
                class.metric.backward_dense(x, &[], part, &mut scratch.nested[c], sums);
            });
        }
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let mut dw = vec![T::zero(); if self.learn_prototypes { self.p * self.d } else { 0 }];
        let mut domegas = Vec::new();
        for (c, class) in self.classes.iter().enumerate() {
            let sums = sums[c * self.sums_of_one..][..self.sums_of_one].to_vec();
            for (name, values) in class.metric.finish(&sums) {
                if name == "omega" {
                    domegas.extend(values);
                } else {
                    for (j, v) in class.members.iter().zip(values.chunks_exact(self.d)) {
                        dw[j * self.d..][..self.d].copy_from_slice(v);
                    }
                }
            }
        }
        let mut gradients = vec![];
        if self.learn_prototypes {
            gradients.push(("prototypes", dw));
        }
        if self.learn_own {
            gradients.push(("omegas", domegas));
        }
        gradients
    }
}

/// Lends `count` of the buffers, from `first` on, as a list of their own.
fn with_sums<T>(sums: &mut Sums<T>, first: usize, count: usize, f: impl FnOnce(&mut Sums<T>)) {
    let mut part: Sums<T> = sums[first..first + count].iter_mut().map(std::mem::take).collect();
    f(&mut part);
    for (slot, values) in sums[first..].iter_mut().zip(part) {
        *slot = values;
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{self, Subject};
    use super::super::local_omega::LocalOmega;
    use super::*;

    /// One class a prototype: then the metric is [`LocalOmega`].
    struct Each(usize);

    impl Subject for Each {
        const OWN: &'static str = "omegas";

        fn build<T: Real>(&self, inputs: Inputs<'_, T>) -> Box<dyn Metric<T>> {
            let p = inputs.prototypes.len() / inputs.d;
            let labels: Vec<u32> = (0..p as u32).collect();
            Box::new(ClassOmega::new(inputs, self.0, &labels))
        }
        fn own_shape(&self, d: usize) -> (usize, bool) {
            (d * self.0, true)
        }
        fn distance(&self, x: &[f64], w: &[f64], own: &[f64]) -> f64 {
            check::projected_difference(x, w, own, self.0).iter().map(|t| t * t).sum()
        }
        fn gradient(&self, x: &[f64], w: &[f64], own: &[f64]) -> (Vec<f64>, Vec<f64>) {
            let l = self.0;
            let t = check::projected_difference(x, w, own, l);
            let dw = |a: usize| (0..l).map(|k| -2.0 * own[a * l + k] * t[k]).sum();
            let dw = (0..x.len()).map(dw).collect();
            (dw, (0..own.len()).map(|i| 2.0 * (x[i / l] - w[i / l]) * t[i % l]).collect())
        }
    }

    #[test]
    fn all_checks() {
        check::all(&Each(2));
        check::all(&Each(3));
    }

    /// Classes that share a matrix: distances, and gradients summed over the class, are those of local maps.
    #[test]
    fn shared_within_a_class() {
        let (d, l, labels) = (3, 2, [1u32, 0, 1, 1]);
        let value = |i: usize| ((i * 37 % 19) as f64 - 9.0) / 7.0;
        let w: Vec<f64> = (0..4 * d).map(value).collect();
        let x: Vec<f64> = (0..5 * d).map(|i| value(i + 5)).collect();
        let own: Vec<f64> = (0..2 * d * l).map(|i| value(i + 11)).collect();
        let local: Vec<f64> =
            labels.iter().flat_map(|c| own[*c as usize * d * l..][..d * l].to_vec()).collect();
        let inputs = Inputs {
            d,
            prototypes: &w,
            own: &own,
            learn_prototypes: true,
            learn_own: true,
            operand: Default::default(),
        };
        let shared = ClassOmega::new(inputs, l, &labels);
        let each = LocalOmega::new(Inputs { own: &local, ..inputs }, l);
        let run = |metric: &dyn Metric<f64>| {
            let mut scratch = Scratch::default();
            let (mut dist, g) = (vec![0.0; 20], (0..20).map(value).collect::<Vec<_>>());
            metric.forward(&x, &mut dist, &mut scratch);
            let mut sums = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
            metric.backward_dense(&x, &dist, &g, &mut scratch, &mut sums);
            (dist, metric.finish(&sums))
        };
        let ((da, ga), (db, gb)) = (run(&shared), run(&each));
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(close(&da, &db) && close(&ga[0].1, &gb[0].1));
        let mut summed = vec![0.0; 2 * d * l];
        for (j, c) in labels.iter().enumerate() {
            for i in 0..d * l {
                summed[*c as usize * d * l + i] += gb[1].1[j * d * l + i];
            }
        }
        assert!(close(&ga[1].1, &summed));
    }
}
