//! The hazard tables of the specification, a test a group of rows; the rows' numbers are in the comments.
//!
//! What holds for every model alike (numbers that are not finite, shapes, labels) is in `bad_input.rs` for the flat models, and
//! here for all: an error that names what is wrong, or finite numbers and a warning.

mod common;

use common::{data, loss_and_gradient, problem};
use lvq::data::{ReadOptions, read};
use lvq::model::catalogue::{CATALOGUE, KernelChoice, MetricChoice};
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Cpu, Dataset, Error, Extras, Features, Fitted, Label, Labels, Model, Training};
use ndarray::{Array2, array};

fn iris() -> Dataset {
    read(&data("iris.csv"), &ReadOptions::default()).unwrap()
}

fn model(name: &str, sets: &[(&str, &str)]) -> Model {
    sets.iter().fold(Model::new(name).unwrap(), |m, (k, v)| m.set_text(k, v).unwrap())
}

fn fit(m: &Model, data: &Dataset) -> Result<Fitted, Error> {
    run(m, data, 3, 0.01)
}

fn run(m: &Model, data: &Dataset, max_iter: usize, lr: f64) -> Result<Fitted, Error> {
    let t = Training { max_iter, lr, epsilon: 0.0, ..Training::default() };
    t.fit(m, data, &Cpu::default())
}

fn message<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    }
}

fn assert_finite(f: &Fitted, what: &str) {
    for t in &f.tensors.list {
        assert!(t.data.iter().all(|v| v.is_finite()), "{what}: {}", t.name);
    }
    assert!(f.record.loss_history.iter().all(|v| v.is_finite()), "{what}");
}

fn assert_warns(f: &Fitted, expected: &str) {
    let all = &f.record.warnings;
    assert!(all.iter().any(|w| w.contains(expected)), "no '{expected}' in {all:?}");
}

fn scaled(factor: f64, shift: f64) -> Dataset {
    let mut d = iris();
    if let Features::F64(x) = &d.features {
        d.features = x.view().mapv(|v| v * factor + shift).into();
    }
    d
}

fn new_rows() -> impl Iterator<Item = &'static lvq::model::catalogue::Row> {
    CATALOGUE.iter().filter(|r| {
        r.range().is_some() || r.is_one_class() || r.spread || {
            r.kernel == KernelChoice::Gaussian || r.kernel == KernelChoice::Exponential
        }
    })
}

/// Neural gas rows 1, 2; one-class 8.4, 8.5; kernels H1, H1b; Wasserstein row 4.
#[test]
fn numbers_that_are_not_finite_in_fit_and_predict() {
    for row in new_rows() {
        let m = Model::new(row.name).unwrap();
        for bad in [f64::NAN, f64::INFINITY] {
            let mut d = iris();
            if let Features::F64(x) = &d.features {
                let mut x = x.view().to_owned();
                x[[7, 2]] = bad;
                d.features = x.into();
            }
            match fit(&m, &d) {
                Err(Error::NotFinite { row: 7, column: 2, .. }) => {}
                other => panic!("{}: {:?}", row.name, other.map(|f| f.n_iter())),
            }
        }
        let f = fit(&m, &iris()).unwrap();
        match f.predict(&Features::from(array![[1.0, 2.0, 3.0, 4.0], [1.0, f64::NAN, 3.0, 4.0]])) {
            Err(Error::NotFinite { row: 1, column: 1, .. }) => {}
            other => panic!("{}: {other:?}", row.name),
        }
        // 8.18, H12: another number of columns, one column above all.
        let text = message(f.predict(&Features::from(array![[1.0], [2.0]])));
        assert!(text.contains("4 features"), "{}: {text}", row.name);
        // 8.29, H21: one iteration.
        assert_eq!(run(&m, &iris(), 1, 0.01).unwrap().n_iter(), 1);
    }
}

/// Neural gas row 3 to 6; Wasserstein "labels not 0..C-1": the same numbers whatever the labels are called.
#[test]
fn labels_may_have_any_names() {
    for name in ["CELVQ_NG", "SCMNG", "RSLVQ_NG", "WGLVQ", "DKGLVQ_NG"] {
        let named = |offset: i64| {
            let d = iris();
            let codes = &d.labels.as_ref().unwrap().codes;
            let y: Vec<i64> = codes.iter().map(|c| i64::from(*c) * 2 + offset).collect();
            Dataset::new(d.features.clone(), Some(Labels::new(&y).unwrap())).unwrap()
        };
        let m = Model::new(name).unwrap();
        let (a, b) = (fit(&m, &named(0)).unwrap(), fit(&m, &named(-1)).unwrap());
        assert!(a.tensors == b.tensors, "{name}");
        let (p, q) = (a.predict_proba(&iris().features), b.predict_proba(&iris().features));
        assert_eq!(p.unwrap(), q.unwrap(), "{name}");
        assert_eq!(b.classes, [-1, 1, 3].map(Label::Int));
        let cpu = Cpu::default();
        let labels =
            b.on(&cpu).unwrap().predict_with_rejection(&iris().features, Some(0.0)).unwrap();
        let codes = b.on(&cpu).unwrap().predict_codes(&iris().features).unwrap();
        assert!(labels.iter().zip(&codes).all(|(l, c)| *l == Some(*c)), "{name}");
    }
}

/// Neural gas rows 7 to 9; one-class 8.14; kernels H11, H14; Wasserstein rows 5, 7, 8.
#[test]
fn classes_and_start_tensors_that_do_not_fit() {
    let one = Dataset::new(array![[1.0, 2.0], [3.0, 4.0]], Some(Labels::new(&[7i64, 7]).unwrap()))
        .unwrap();
    for row in new_rows().filter(|r| !r.is_one_class()) {
        let text = message(fit(&Model::new(row.name).unwrap(), &one));
        assert!(text.contains("two classes"), "{}: {text}", row.name);
    }
    let given = |p: usize, d: usize, labels: &[&str]| {
        let mut tensors = Tensors::default();
        let w: Vec<f64> = (0..p * d).map(|i| 1.0 + i as f64 / 7.0).collect();
        tensors.insert(Tensor::new("prototypes", &[p, d], w));
        let labels = labels.iter().map(|l| Label::Text(l.to_string())).collect();
        Given { tensors, prototype_labels: Some(labels) }
    };
    let start = |name: &str, given: Given| {
        let extras = Extras { given, ..Extras::default() };
        let t = Training { max_iter: 2, ..Training::default() };
        t.fit_with(&Model::new(name).unwrap(), &iris(), &Cpu::default(), extras)
    };
    // A class without a prototype.
    for name in ["SNG", "SCMNG", "CELVQ_NG", "RSLVQ_NG", "DKGLVQ_NG"] {
        let text = message(start(name, given(2, 4, &["setosa", "virginica"])));
        assert!(text.contains("versicolor"), "{name}: {text}");
    }
    // Another count, and an order of labels of one's own: every tensor follows.
    let labels = ["virginica", "setosa", "setosa", "versicolor", "setosa"];
    for row in new_rows().filter(|r| !r.is_one_class()) {
        let f = start(row.name, given(5, 4, &labels)).unwrap();
        for t in row.tensors.iter().filter(|t| {
            ["sigmas", "log_variances"].contains(&t.name)
                || t.name == "omegas" && row.metric != MetricChoice::ClassOmega
        }) {
            assert_eq!(f.tensors.get(t.name).unwrap().shape[0], 5, "{} {}", row.name, t.name);
        }
        let text = message(start(row.name, given(5, 3, &labels)));
        assert!(text.contains("(p, 4)"), "{}: {text}", row.name);
    }
    // Log-variances are those of the class that the label names.
    let f = start("WGLVQ", given(3, 4, &["virginica", "setosa", "versicolor"])).unwrap();
    let g = start("WGLVQ", given(3, 4, &["setosa", "virginica", "versicolor"])).unwrap();
    let (v, w) = (f.tensors.values("log_variances"), g.tensors.values("log_variances"));
    for (a, b) in v[..4].iter().zip(&w[4..8]) {
        // A few steps from the same start.
        assert!((a - b).abs() < 0.1, "{v:?} {w:?}");
    }
    // A target that does not occur.
    let text = message(fit(&model("OCGLVQ", &[("target_label", "rose")]), &iris()));
    assert!(text.contains("rose") && text.contains("virginica"), "{text}");
}

/// The range checks of all four tables: one-class 8.8, 8.20 to 8.25; kernels H4b to H8, H15, H17 and H18 where they concern these
/// models; neural gas `gamma_init` to `n_prototypes_per_class`; Wasserstein `latent_dim`.
#[test]
fn hyper_parameters_out_of_range() {
    let table = [
        ("SNG", "gamma_init", "0", "> 0"),
        ("SNG", "gamma_init", "nan", "nan"),
        ("SNG", "gamma_final", "-1", ">= 0"),
        ("SNG", "gamma_decay", "1.5", "<= 1"),
        ("SNG", "gamma_decay", "-0.1", "> 0"),
        ("SNG", "gamma_decay", "nan", "nan"),
        ("SNG", "lr_ratio", "nan", "nan"),
        ("SNG", "lr_ratio", "-1", ">= 0"),
        ("RSLVQ_NG", "sigma", "0", "> 0"),
        ("RSLVQ_NG", "sigma", "-1", "> 0"),
        ("RSLVQ_NG", "rejection_confidence", "1.5", "<= 1"),
        ("STNG", "subspace_dim", "0", ">= 1"),
        ("SMNG", "latent_dim", "0", ">= 1"),
        ("SMNG", "latent_dim", "-2", ">= 1"),
        ("SNG", "n_prototypes_per_class", "0", ">= 1"),
        ("OCGLVQ", "n_prototypes", "0", ">= 1"),
        ("OCGLVQ", "n_prototypes", "1,2", "whole number"),
        ("OCGMLVQ", "latent_dim", "0", ">= 1"),
        ("OCRSLVQ", "sigma", "0", "> 0"),
        ("SVQOCC", "nu", "0", "> 0"),
        ("SVQOCC", "sigma", "0", "> 0"),
        ("SVQOCC", "gamma_resp", "-1", "> 0"),
        ("SVQOCC", "alpha", "1.5", "<= 1"),
        ("SVQOCC", "alpha", "-0.5", ">= 0"),
        ("OCGLVQ", "beta", "-1", "> 0"),
        ("OCGLVQ_NG", "gamma_final", "-1", ">= 0"),
        ("SVQOCC", "lambda_final", "-1", ">= 0"),
        ("SVQOCC", "lambda_decay", "1.5", "<= 1"),
        ("DKGMLVQ", "latent_dim", "0", ">= 1"),
        ("DKGMLVQ", "omega_hat_scale", "0", "0"),
        ("DKGLVQ", "sigma_init", "middle", "median"),
        ("DKGLVQ", "sigma_init", "true", "median"),
        ("DKGLVQ", "sigma_init", "0", "> 0"),
        ("DKGLVQ", "sigma_init", "-1", "> 0"),
        ("DKGLVQ", "sigma_init", "inf", "inf"),
        ("DKGLVQ", "sigma_min", "0", "> 0"),
        ("WGMLVQ", "latent_dim", "0", ">= 1"),
    ];
    for (name, key, value, expected) in table {
        let set = Model::new(name).unwrap().set_text(key, value);
        let text = message(set.and_then(|m| fit(&m, &iris())));
        assert!(text.contains(key) && text.contains(expected), "{name} {key}={value}: {text}");
    }
    // 8.7 and neural gas `subspace_dim`: against the data.
    for name in ["STNG", "TCELVQ_NG", "OCGTLVQ", "OCGTLVQ_NG", "SVQOCC_T"] {
        let text = message(fit(&model(name, &[("subspace_dim", "4")]), &iris()));
        assert!(text.contains("subspace_dim") && text.contains('4'), "{name}: {text}");
    }
    // 8.24: a start that is not above the end is raised; H15: an end of 0 is allowed and said.
    let f = fit(&model("SNG", &[("gamma_init", "0.05"), ("gamma_final", "0.1")]), &iris()).unwrap();
    assert!((f.tensors.values("gamma")[0] - 0.1).abs() < 1e-5);
    let f = fit(&model("DKGLVQ_NG", &[("gamma_final", "0")]), &iris()).unwrap();
    assert_finite(&f, "gamma_final=0");
    assert_warns(&f, "ends at 0");
    // 8.8: more columns than features.
    assert_warns(&fit(&model("OCGMLVQ", &[("latent_dim", "6")]), &iris()).unwrap(), "stay zero");
    // The range of RS-NG near 0 takes the gradient with it.
    assert_warns(
        &fit(&model("RSLVQ_NG", &[("gamma_final", "0.05")]), &iris()).unwrap(),
        "vanishes",
    );
    let f = fit(&model("RSLVQ_NG", &[("gamma_final", "0.1")]), &iris()).unwrap();
    assert!(f.record.warnings.iter().all(|w| !w.contains("vanishes")));
    // The name of another family.
    let text = message(Model::new("SRNG").unwrap().set_text("lambda_init", "1"));
    assert!(text.contains("'gamma_init'"), "{text}");
    // H7: below the floor is the floor.
    let m = model("DKGLVQ", &[("sigma_init", "1e-9"), ("sigma_min", "0.01")]);
    let f = run(&m, &iris(), 1, 1e-12).unwrap();
    assert!(f.tensors.values("sigmas").iter().all(|s| (*s - 0.01).abs() < 1e-6));
}

/// Far, near, shifted and saturated data: neural gas rows 10 to 14 and 20; one-class 8.1; kernels H2 to H4; Wasserstein row 1.
#[test]
fn scales_and_places() {
    for row in new_rows() {
        let name = row.name;
        let m = Model::new(name).unwrap();
        for (factor, shift) in [(1e8, 0.0), (1e3, 0.0), (1e-6, 0.0), (1.0, 1e5), (1.0, 5e3)] {
            let f = match run(&m, &scaled(factor, shift), 5, 1e-3) {
                Ok(f) => f,
                // A threshold is the distance itself, which no number holds: an error that says what helps.
                Err(e) if name.starts_with("OCDKGMLVQ") => {
                    assert!(factor > 1.0 || shift > 0.0);
                    assert!(e.to_string().to_lowercase().contains("scale"), "{e}");
                    continue;
                }
                Err(e) => panic!("{name} at scale {factor} and offset {shift}: {e}"),
            };
            assert_finite(&f, &format!("{name} at scale {factor} and offset {shift}"));
            let p = f.on(&Cpu::default()).unwrap().distances(&iris().features).unwrap();
            assert!(p.iter().all(|v| !v.is_nan()), "{name}");
        }
        assert_warns(&fit(&m, &scaled(1e-6, 0.0)).unwrap(), "scale the data");
        let text = message(fit(&m, &scaled(1e19, 0.0)));
        assert!(text.contains("overflow") && text.contains("column 0"), "{name}: {text}");
    }
    // A common offset costs no accuracy, in training and prediction.
    for name in ["SNG", "MCELVQ_NG", "WGLVQ", "WGRLVQ", "OCGLVQ", "DKGLVQ"] {
        let m = match Model::new(name).unwrap() {
            m if m.row().is_one_class() => m.set_text("target_label", "setosa").unwrap(),
            m => m,
        };
        let accuracy = |shift: f64| {
            let d = scaled(1.0, shift);
            let f = run(&m, &d, 60, 0.01).unwrap();
            let y = d.labels.as_ref().unwrap().values();
            let answers = f.predict(&d.features).unwrap();
            let target = |l: &Label| *l == Label::Text("setosa".into());
            let right = |(a, b): &(&Label, &Label)| match m.row().is_one_class() {
                true => target(a) == target(b),
                false => a == b,
            };
            answers.iter().zip(&y).filter(right).count() as f64 / 150.0
        };
        let (here, there) = (accuracy(0.0), accuracy(5e3));
        assert!((here - there).abs() <= 0.02 && here > 0.8, "{name}: {here} {there}");
    }
    // A row on both of its prototypes.
    let mut given = problem(&Model::new("SNG").unwrap(), 6, 3, 3, 1).1;
    given.tensors.values_mut("prototypes").fill(0.5);
    let x = Features::from(Array2::from_elem((6, 3), 0.5));
    let d = Dataset::new(x, Some(Labels::new(&[0i64, 1, 2, 0, 1, 2]).unwrap())).unwrap();
    let (loss, g) = loss_and_gradient(&Model::new("SNG").unwrap(), &d, &given);
    assert!(loss.abs() < 1e-12 && g.values("prototypes").iter().all(|v| *v == 0.0));
    let t = Training { max_iter: 2, precision: Precision::F64, ..Training::default() };
    let extras = Extras { given, ..Extras::default() };
    let f = t.fit_with(&Model::new("SNG").unwrap(), &d, &Cpu::default(), extras).unwrap();
    assert_warns(&f, "first gradient is zero");
    // Nothing left to learn is said: one prototype responsible for everything, rows beyond every kernel.
    let m = model("RSLVQ_NG", &[("sigma", "0.01"), ("n_prototypes_per_class", "2")]);
    assert_warns(&fit(&m, &iris()).unwrap(), "one prototype is responsible");
    let m = model("DKGLVQ", &[("sigma_init", "0.01")]);
    let f = fit(&m, &iris()).unwrap();
    assert_warns(&f, "bandwidths");
    // H2: the winner is still the nearest, though all distances are 2.
    let w = f.prototype_matrix();
    let mut far = w.clone();
    far.mapv_inplace(|v| v + 40.0);
    let order: Vec<Label> =
        (0..3).map(|j| f.classes[f.prototype_labels[j] as usize].clone()).collect();
    let nearest = |x: &[f64]| {
        let d = |j: usize| -> f64 { (0..4).map(|k| (x[k] - w[[j, k]]).powi(2)).sum() };
        order[(0..3).min_by(|a, b| d(*a).total_cmp(&d(*b))).unwrap()].clone()
    };
    let expected: Vec<Label> = far.rows().into_iter().map(|x| nearest(&x.to_vec())).collect();
    assert_eq!(f.predict(&Features::from(far)).unwrap(), expected);
}

/// H3, H3b, H4, H16: the exponential kernel far beyond the range of single precision.
#[test]
fn the_exponential_kernel_has_no_limit() {
    for name in ["DKGMLVQ", "DKGMLVQ_NG", "OCDKGMLVQ", "OCDKGMLVQ_NG"] {
        let m = Model::new(name).unwrap();
        for factor in [5.0, 100.0, 1e4] {
            for precision in [Precision::F32, Precision::F64, Precision::Bf16] {
                let t = Training { max_iter: 10, lr: 1e-3, precision, ..Training::default() };
                let f = match t.fit(&m, &scaled(factor, 0.0), &Cpu::default()) {
                    Ok(f) => f,
                    // A threshold is the distance itself, not its logarithm.
                    Err(e) if m.row().is_one_class() && factor > 5.0 => {
                        assert!(e.to_string().to_lowercase().contains("scale"), "{e}");
                        continue;
                    }
                    Err(e) => panic!("{name} {factor} {precision}: {e}"),
                };
                assert_finite(&f, &format!("{name} {factor} {precision}"));
                if !m.row().is_one_class() {
                    let p = f.predict_proba(&scaled(factor, 0.0).features).unwrap();
                    assert!(p.iter().all(|v| v.is_finite()), "{name} {factor} {precision}");
                } else {
                    let s = f
                        .on(&Cpu::default())
                        .unwrap()
                        .decision_function(&scaled(factor, 0.0).features)
                        .unwrap();
                    assert!(s.iter().all(|v| (0.0..=1.0).contains(v)), "{name}: {s:?}");
                }
            }
        }
        // Single precision follows double where a straight evaluation has no bit left. Against a threshold of that size every
        // score of a one-class model is at its end, and what is left of the slope is rounding.
        let stretch = if m.row().is_one_class() { 2.0 } else { 12.0 };
        let (data, mut given) = problem(&m, 20, 3, 3, 2);
        given.tensors.values_mut("omega_hat").iter_mut().for_each(|v| *v *= stretch);
        let of = |precision| {
            let t = Training { precision, ..Training::default() };
            t.gradient(&m, &data, &given, &Cpu::default()).unwrap().1
        };
        let (single, double) = (of(Precision::F32), of(Precision::F64));
        for t in &double.list {
            let error = common::relative(single.values(&t.name), &t.data, 1e-6);
            assert!(error < 2e-3, "{name} {}: {error:e}", t.name);
        }
    }
}

/// H8b, H9, H10, H20; one-class 8.2, 8.3, 8.6, 8.9, 8.11 to 8.13, 8.15, 8.26 and 8.30; Wasserstein rows 2 and 3.
#[test]
fn degenerate_runs_are_finite_and_said() {
    // A class of one row.
    let mut y = vec![0i64; 20];
    y[..10].fill(1);
    y[0] = 2;
    let x = Array2::from_shape_vec((20, 2), common::random(8, 40)).unwrap();
    let lonely = Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap();
    for name in ["DKGLVQ", "DKGRLVQ", "DKGLVQ_NG", "WGLVQ", "WGRLVQ", "WGMLVQ"] {
        let f = fit(&Model::new(name).unwrap(), &lonely).unwrap();
        assert_finite(&f, name);
        if name.starts_with("DK") {
            assert_warns(&f, "prototype 2 of class 2");
        }
    }
    // Constant features: the floor of the variance is for the start only.
    let flat = Dataset::new(
        Features::from(Array2::from_shape_fn(
            (20, 2),
            |(i, j)| if j == 0 { i as f64 } else { 3.0 },
        )),
        Some(Labels::new(&(0..20).map(|i| i / 10).collect::<Vec<i64>>()).unwrap()),
    )
    .unwrap();
    let f = fit(&Model::new("WGLVQ").unwrap(), &flat).unwrap();
    assert!((f.tensors.values("log_variances")[1] - 1e-6f64.ln()).abs() < 0.1);
    // A log-variance beyond exp's range: an error that names a tensor, and the last finite model.
    match run(&Model::new("WGLVQ").unwrap(), &iris(), 30, 200.0) {
        Err(Error::Diverged { last, .. }) => assert_finite(&last.unwrap(), "last"),
        Err(other) => panic!("{other}"),
        Ok(f) => assert_finite(&f, "WGLVQ"),
    }
    // Only target rows.
    let all = Dataset::new(iris().features, Some(Labels::new(&[4i64; 150]).unwrap())).unwrap();
    for row in CATALOGUE.iter().filter(|r| r.is_one_class()) {
        let f = fit(&Model::new(row.name).unwrap(), &all).unwrap();
        assert_finite(&f, row.name);
        assert_warns(&f, "without an outlier");
    }
    // Thresholds that pass the largest distance.
    let f = run(&Model::new("OCDKGLVQ").unwrap(), &all, 60, 0.1).unwrap();
    assert_warns(&f, "accept every row");
    // All representation and no classification.
    let m = model("SVQOCC_M", &[("alpha", "1"), ("target_label", "setosa")]);
    let f = run(&m, &iris(), 3000, 0.02).unwrap();
    assert_finite(&f, "SVQOCC_M");
    assert_warns(&f, "shrunk");
    // Every response and cost, with responses near 0 and near 1, in single precision.
    for cost in ["contrastive", "brier", "cross_entropy"] {
        for response in ["gaussian", "student_t", "uniform"] {
            for factor in [1e-3, 1.0, 1e3] {
                let m = model("SVQOCC", &[("cost_function", cost), ("response_type", response)]);
                let f = run(&m, &scaled(factor, 0.0), 20, 0.01).unwrap();
                assert_finite(&f, &format!("{cost} {response} {factor}"));
            }
        }
    }
    // A prototype on every target row; copies of the mean, which part; fewer latent dimensions; thresholds of 0.
    let few = iris().select(&[0, 1, 2, 60, 61, 120]);
    let one = model("OCGLVQ", &[("n_prototypes", "3"), ("target_label", "setosa")]);
    assert_finite(&fit(&one, &few).unwrap(), "a prototype a row");
    for row in CATALOGUE.iter().filter(|r| r.is_one_class()) {
        let sets = [
            ("n_prototypes", "3"),
            ("prototypes_initializer", "class_conditional_mean"),
            ("target_label", "setosa"),
        ];
        let f = run(&model(row.name, &sets), &iris(), 10, 0.01).unwrap();
        assert_finite(&f, row.name);
        assert_warns(&f, "start at the same place");
        assert_eq!(f.prototype_matrix().nrows(), 3, "{}", row.name);
    }
    for name in ["OCGMLVQ", "OCLGMLVQ"] {
        let m = model(name, &[("latent_dim", "2"), ("target_label", "setosa")]);
        assert_finite(&fit(&m, &iris()).unwrap(), name);
    }
    let mut zero = problem(&Model::new("OCGLVQ").unwrap(), 12, 3, 2, 2);
    zero.1.tensors.values_mut("radii").fill(0.0);
    let (loss, g) = loss_and_gradient(&Model::new("OCGLVQ").unwrap(), &zero.0, &zero.1);
    assert!(loss.is_finite() && g.values("radii").iter().all(|v| *v == 0.0));
    // 8.10: a matrix of zeros has no trace to scale.
    let m = Model::new("OCGMLVQ").unwrap();
    let mut zero = problem(&m, 12, 3, 2, 2);
    zero.1.tensors.values_mut("omega").fill(0.0);
    let extras = Extras { given: zero.1, ..Extras::default() };
    let f = Training { max_iter: 3, ..Training::default() }
        .fit_with(&m, &zero.0, &Cpu::default(), extras)
        .unwrap();
    assert_finite(&f, "omega of zeros");
    // Both thresholds of a rejection.
    let f = fit(&model("OCGLVQ", &[("target_label", "setosa")]), &iris()).unwrap();
    let text =
        message(f.on(&Cpu::default()).unwrap().predict_with_reject(&iris().features, 0.2, 0.6));
    assert!(text.contains("lower at most upper"), "{text}");
}

/// H19, Wasserstein "int8": a model of eight-bit numbers answers as its dequantised self, and nearly as before.
#[test]
fn quantised_models_answer_with_the_numbers_that_the_codes_stand_for() {
    use lvq::model::quantise::Precision as Bits;
    for name in ["WGLVQ", "WGMLVQ", "WGRLVQ", "DKGLVQ", "DKGRLVQ", "SMNG"] {
        let f = run(&Model::new(name).unwrap(), &iris(), 100, 0.02).unwrap();
        let before = f.predict(&iris().features).unwrap();
        let small = f.quantize(Bits::Int8, true).unwrap();
        let after = small.predict(&iris().features).unwrap();
        let same = before.iter().zip(&after).filter(|(a, b)| a == b).count();
        assert!(same >= 140, "{name}: {same} of 150");
    }
}

/// 8.27: half precision forms thresholds, distances and the loss in single precision.
#[test]
fn half_precision_where_squares_do_not_fit() {
    for name in ["OCGLVQ", "OCGMLVQ", "OCGTLVQ", "SVQOCC", "SNG", "WGLVQ", "DKGLVQ"] {
        let t = Training { max_iter: 5, precision: Precision::F16, ..Training::default() };
        // Coordinates of 800 fit f16, their squares do not.
        let f = t.fit(&Model::new(name).unwrap(), &scaled(100.0, 0.0), &Cpu::default()).unwrap();
        assert_finite(&f, name);
    }
}

/// Neural gas, last rows: batches larger than the data, accumulation at a stationary loss, options read at every fit.
#[test]
fn batches_accumulation_and_fitting_again() {
    let iris = iris();
    let t =
        |batch: Option<usize>| Training { batch_size: batch, max_iter: 5, ..Training::default() };
    for name in ["SNG", "RSLVQ_NG", "OCGLVQ_NG"] {
        let m = Model::new(name).unwrap();
        let a = t(Some(1000)).fit(&m, &iris, &Cpu::default()).unwrap();
        let b = t(Some(150)).fit(&m, &iris, &Cpu::default()).unwrap();
        assert!(a.tensors == b.tensors, "{name}");
    }
    let accumulating = Training {
        gradient_accumulation_steps: Some(4),
        max_iter: 40,
        lr: 0.01,
        ..Training::default()
    };
    let f = accumulating.fit(&Model::new("SNG").unwrap(), &iris, &Cpu::default()).unwrap();
    assert!(f.n_iter() > 8, "stopped after {}", f.n_iter());
    for (init, last) in [("5", "0.5"), ("3", "0.2")] {
        let m = model("SNG", &[("gamma_init", init), ("gamma_final", last)]);
        let f = fit(&m, &iris).unwrap();
        let last: f64 = last.parse().unwrap();
        assert!((f.tensors.values("gamma")[0] - last).abs() < 1e-6);
    }
}
