//! Models put together from parts: every combination that is not refused has the right gradient, trains, and is found in its file.

mod common;

use common::{check_by_differences, data, problem, random};
use lvq::data::{ReadOptions, read};
use lvq::model::compose::PARTS;
use lvq::model::parameter::Kind;
use lvq::parts::composition::Precision;
use lvq::{Cpu, Dataset, Features, Fitted, Labels, Model, Training};
use ndarray::Array2;

/// All values of a part.
fn values(part: &str) -> Vec<String> {
    match PARTS.iter().find(|p| p.name == part).unwrap().kind {
        Kind::Choice(names) => names.iter().map(|n| n.to_string()).collect(),
        _ => vec!["false".into(), "true".into()],
    }
}

/// Every combination of parts, those among them that are refused as none.
fn combinations() -> Vec<(String, Option<Model>)> {
    let mut all = vec![(String::new(), Model::new("compose").unwrap())];
    for part in PARTS {
        let mut more = Vec::new();
        for (what, model) in &all {
            for value in values(part.name) {
                let next = model.clone().set_text(part.name, &value).unwrap();
                more.push((format!("{what}{}={value} ", part.name), next));
            }
        }
        all = more;
    }
    all.into_iter()
        .map(|(what, model)| {
            let fits = model.check_parts().is_ok();
            (what, fits.then_some(model))
        })
        .collect()
}

#[test]
fn every_combination_by_finite_differences() {
    let (mut checked, mut refused) = (0, 0);
    for (what, model) in combinations() {
        match model {
            None => refused += 1,
            Some(model) if model.row().is_rule() || what.contains("trace_normalise=true") => {}
            Some(mut model) => {
                if model.has("lr_ratio") {
                    // Any other ratio is no gradient of the loss.
                    model = model.set("lr_ratio", 1.0).unwrap();
                }
                check_by_differences(&model, &what);
                checked += 1;
            }
        }
    }
    assert!(checked > 250 && refused > 1000, "{checked} {refused}");
}

#[test]
fn every_combination_trains_and_is_found_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let x = Array2::from_shape_vec((40, 3), random(5, 120)).unwrap();
    let y: Vec<i64> = (0..40).map(|i| i % 2).collect();
    let data = Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap();
    let t = Training { max_iter: 5, lr: 0.02, epsilon: 0.0, ..Training::default() };
    for (what, model) in combinations() {
        let Some(mut model) = model else { continue };
        if model.has("subspace_dim") {
            model = model.set("subspace_dim", 1).unwrap();
        }
        let f = t.fit(&model, &data, &Cpu::default()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(f.tensors.list.iter().all(|t| t.data.iter().all(|v| v.is_finite())), "{what}");
        f.save(&path).unwrap();
        let again = Fitted::load(&path).unwrap();
        assert!(
            again.tensors == f.tensors && again.prototype_labels == f.prototype_labels,
            "{what}"
        );
        let labels = f.predict(&data.features).unwrap();
        assert_eq!(again.predict(&data.features).unwrap(), labels, "{what}");
        let cpu = Cpu::default();
        let asked = again.on(&cpu).unwrap();
        if model.row().is_one_class() {
            let s = asked.decision_function(&data.features).unwrap();
            assert!(s.iter().all(|s| (0.0..=1.0).contains(s)), "{what}");
        } else if !what.contains("reasoning") {
            // (What reasoning gives are scores of each class by itself.)
            for row in asked.predict_proba(&data.features).unwrap().rows() {
                assert!((row.sum() - 1.0).abs() < 1e-5, "{what}: {row}");
            }
        }
        assert_eq!(asked.transform(&data.features).unwrap().nrows(), 40, "{what}");
    }
}

/// Reasonable on real data, and not by chance: six models that have no name.
#[test]
fn models_without_a_name_learn() {
    let iris = read(&data("iris.csv"), &ReadOptions::default()).unwrap();
    for sets in [
        &[("metric", "relevance"), ("cooperation", "ranks_each"), ("objective", "cross_entropy")][..],
        &[("metric", "omega"), ("kernel", "gaussian"), ("cooperation", "ranks_own")],
        &[("metric", "omega"), ("spread", "true"), ("cooperation", "ranks_own")],
        &[("metric", "class_omega"), ("cooperation", "posterior"), ("objective", "rslvq")],
        &[("metric", "tangent"), ("cooperation", "posterior_ranks"), ("objective", "rslvq")],
        &[("metric", "local_omega"), ("cooperation", "reasoning"), ("objective", "hinge")],
    ] {
        let m =
            sets.iter().fold(Model::new("compose").unwrap(), |m, (k, v)| m.set_text(k, v).unwrap());
        let t = Training { max_iter: 400, lr: 0.01, ..Training::default() };
        let f = t.fit(&m, &iris, &Cpu::default()).unwrap();
        let y = iris.labels.as_ref().unwrap().values();
        let answers = f.predict(&iris.features).unwrap();
        let right = answers.iter().zip(&y).filter(|(a, b)| a == b).count();
        assert!(right >= 135, "{sets:?}: {right} of 150");
    }
}

/// The same parts under a name and without one are the same model to the bit.
#[test]
fn a_named_model_is_its_parts() {
    for (name, sets) in [
        ("SMNG", &[("metric", "omega"), ("cooperation", "ranks_own")][..]),
        ("DKGRLVQ", &[("metric", "relevance"), ("kernel", "gaussian")]),
        ("WGRLVQ", &[("metric", "relevance"), ("spread", "true")]),
        (
            "OCGTLVQ",
            &[("metric", "tangent"), ("cooperation", "winner"), ("objective", "one_class")],
        ),
    ] {
        let named = Model::new(name).unwrap();
        let own =
            sets.iter().fold(Model::new("compose").unwrap(), |m, (k, v)| m.set_text(k, v).unwrap());
        let (data, given) = problem(&named, 30, 3, 3, 2);
        let fit = |m: &Model| {
            let extras = lvq::Extras { given: given.clone(), ..Default::default() };
            let t = Training { max_iter: 20, precision: Precision::F64, ..Training::default() };
            t.fit_with(m, &data, &Cpu::default(), extras).unwrap()
        };
        let (a, b) = (fit(&named).tensors, fit(&own).tensors);
        assert_eq!(a.list.len(), b.list.len());
        for t in &a.list {
            assert!(b.get(&t.name).unwrap() == t, "{name}: {}", t.name);
        }
    }
}

/// Probabilities and confidence follow from the distances that the model itself reports, in every kernel.
#[test]
fn probabilities_and_confidence_follow_from_the_distances() {
    let iris = read(&data("iris.csv"), &ReadOptions::default()).unwrap();
    for name in ["GLVQ", "GMLVQ", "WGLVQ", "DKGLVQ", "DKGRLVQ", "DKGMLVQ", "DKGLVQ_NG"] {
        let t = Training { max_iter: 10, precision: Precision::F64, ..Training::default() };
        let m = Model::new(name).unwrap().set("n_prototypes_per_class", 2).unwrap();
        let f = t.fit(&m, &iris, &Cpu::default()).unwrap();
        let cpu = Cpu::default();
        let asked = f.on(&cpu).unwrap();
        let distances = asked.distances(&iris.features).unwrap();
        let p = asked.predict_proba(&iris.features).unwrap();
        let (codes, confidence) = asked.confidence(&iris.features).unwrap();
        for (i, d) in distances.rows().into_iter().enumerate() {
            let mut least = [f64::INFINITY; 3];
            for (d, c) in d.iter().zip(&f.prototype_labels) {
                least[*c as usize] = least[*c as usize].min(*d);
            }
            let first = least.iter().copied().fold(f64::INFINITY, f64::min);
            let sum: f64 = least.iter().map(|d| (first - d).exp()).sum();
            for c in 0..3 {
                assert!(
                    (p[[i, c]] - (first - least[c]).exp() / sum).abs() < 1e-9,
                    "{name} row {i}"
                );
            }
            let best = least.iter().position(|d| *d == first).unwrap();
            let second =
                (0..3).filter(|c| *c != best).map(|c| least[c]).fold(f64::INFINITY, f64::min);
            assert_eq!(codes[i] as usize, best);
            let expected = (second - first) / (second + first + 1e-10);
            assert!((confidence[i] - expected).abs() < 1e-9, "{name} {} {expected}", confidence[i]);
        }
    }
}
