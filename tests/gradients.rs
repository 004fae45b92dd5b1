//! Gradients of whole models: finite differences for every model and metric, the worked examples of the
//! specification, and the properties that need no reference.

mod common;

use common::{check_by_differences, loss_and_gradient, problem, random, relative, training};
use lvq::model::catalogue::{CATALOGUE, MetricChoice};
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Cpu, Dataset, Features, Label, Labels, Model, Training};
use ndarray::Array2;

#[test]
fn every_model_and_metric_by_finite_differences() {
    for row in CATALOGUE.iter().filter(|r| !r.is_rule()) {
        let model = Model::new(row.name).unwrap();
        let metrics: &[&str] = match row.metric {
            MetricChoice::Pluggable => &[
                "squared_euclidean",
                "euclidean",
                "manhattan",
                "lp",
                "chebyshev",
                "omega",
                "local_omega",
                "tangent",
            ],
            _ => &[""],
        };
        for metric in metrics {
            let mut model = model.clone();
            if !metric.is_empty() {
                model = model.set("distance_fn", *metric).unwrap();
            }
            if model.has("lr_ratio") {
                // Any other ratio is no gradient of the loss.
                model = model.set("lr_ratio", 1.0).unwrap();
            }
            if *metric == "lp" {
                model = model.set("p", 3.5).unwrap();
            }
            let transfers: &[&str] = match model.has("transfer_fn") {
                true => &["identity", "sigmoid_beta", "swish_beta"],
                false => &[""],
            };
            for transfer in transfers {
                let mut model = model.clone();
                if !transfer.is_empty() {
                    model = model.set("transfer_fn", *transfer).unwrap().set("beta", 3.0).unwrap();
                }
                check_by_differences(&model, &format!("{} {metric} {transfer}", row.name));
            }
        }
    }
    for cost in ["contrastive", "brier", "cross_entropy"] {
        for response in ["gaussian", "student_t", "uniform"] {
            let model = Model::new("SVQOCC_M").unwrap().set("cost_function", cost).unwrap();
            let model = model.set("response_type", response).unwrap().set("sigma", 0.4).unwrap();
            check_by_differences(&model, &format!("SVQOCC_M {cost} {response}"));
        }
    }
    let soft = Model::new("RSLVQ").unwrap().set("exact_log", true).unwrap();
    check_by_differences(&soft.set("sigma", 0.4).unwrap(), "RSLVQ exact_log");
    let ranked = Model::new("CBC").unwrap().set("similarity_fn", "rank_scaled_gaussian").unwrap();
    check_by_differences(&ranked, "CBC rank_scaled_gaussian");
    let angle = Model::new("CBC").unwrap().set("similarity_fn", "cosine").unwrap();
    check_by_differences(&angle, "CBC cosine");
}

/// A metric of the user's own, which need not be translation invariant.
struct Weighted;

impl lvq::parts::metric::custom::UserMetric for Weighted {
    fn distance(&self, x: &[f64], w: &[f64]) -> f64 {
        x.iter().zip(w).map(|(x, w)| (x - w) * (x - w) / (1.0 + x * x)).sum()
    }

    fn add_gradient(&self, g: f64, x: &[f64], w: &[f64], dw: &mut [f64]) {
        for ((d, x), w) in dw.iter_mut().zip(x).zip(w) {
            *d -= 2.0 * g * (x - w) / (1.0 + x * x);
        }
    }
}

#[test]
fn metrics_of_the_users_own() {
    let own = std::sync::Arc::new(Weighted);
    for name in ["GLVQ", "CELVQ", "RSLVQ", "CBC"] {
        let model = Model::new(name).unwrap().metric_fn(own.clone()).unwrap();
        check_by_differences(&model, &format!("{name} with its own metric"));
        let (data, given) = problem(&model, 30, 3, 3, 2);
        let extras = lvq::Extras { given, ..Default::default() };
        let f = training().fit_with(&model, &data, &Cpu::default(), extras).unwrap();
        let (first, last) = (f.record.loss_history[0], *f.record.loss_history.last().unwrap());
        assert!(last < first, "{name}");
        // Inference in the same metric, on rows as they are.
        if name == "GLVQ" {
            let d = f.on(&Cpu::default()).unwrap().distances(&data.features).unwrap();
            let mut row = vec![0.0; 3];
            data.features.row_into(4, &mut row);
            let w = f.prototype_matrix();
            use lvq::parts::metric::custom::UserMetric;
            let by_hand = Weighted.distance(&row, w.row(2).to_slice().unwrap());
            assert!((d[[4, 2]] - by_hand).abs() < 1e-12);
        }
        let path = std::env::temp_dir().join("lvq-own-metric.safetensors");
        assert!(f.save(&path).unwrap_err().to_string().contains("distance_fn"));
    }
    assert!(Model::new("GMLVQ").unwrap().metric_fn(own).is_err());
}

/// Section 12 of the specification: four rows, three prototypes, float64 values of the reference.
#[test]
fn worked_examples() {
    let x = [0.2, -0.4, 1.0, 0.3, -0.7, 1.1, 1.4, 1.6];
    let x = Array2::from_shape_vec((4, 2), x.to_vec()).unwrap();
    let data =
        Dataset::new(Features::from(x), Some(Labels::new(&[0i64, 0, 1, 1]).unwrap())).unwrap();
    let w = vec![0.1, 0.2, 0.9, -0.5, 0.6, 1.2];
    let omega = [1.0, 0.5, -0.25, 0.75];
    let local: Vec<f64> = omega
        .iter()
        .copied()
        .chain(omega.iter().map(|v| v / 2.0))
        .chain(omega.iter().map(|v| v + 0.1))
        .collect();
    let bases = [0.6, 0.8, 1.0, 0.0, -0.8, 0.6];
    let rho = [0.2, -0.3];
    let reasonings = [0.6, 0.2, 0.3, 0.7, 0.9, 0.4, 0.1, 0.5, 0.25, 0.5, 0.75, 0.3];
    type Own<'a> = Option<(&'a str, Vec<usize>, &'a [f64])>;
    let plain: Own<'_> = None;
    // Model, options, its own tensor, loss, gradient of prototypes, gradient of the own tensor.
    type Example<'a> = (&'a str, &'a [(&'a str, &'a str)], Own<'a>, f64, &'a [f64], &'a [f64]);
    let cases: Vec<Example<'_>> = vec![
        (
            "GLVQ",
            &[],
            plain.clone(),
            -0.3797832556,
            &[-0.11303095, 0.38167758, -0.03696083, -0.29568663, 0.12608595, -0.34402477],
            &[],
        ),
        (
            "GLVQ",
            &[("transfer_fn", "sigmoid_beta")],
            plain.clone(),
            0.2031458778,
            &[-0.29317085, 0.33241446, -0.03954061, -0.31632484, 0.51082412, -0.20865604],
            &[],
        ),
        (
            "GLVQ",
            &[("transfer_fn", "swish_beta"), ("margin", "0.1")],
            plain.clone(),
            0.0309412231,
            &[-0.14839033, 0.16362135, -0.00295277, -0.02362215, 0.21546782, -0.00015918],
            &[],
        ),
        (
            "GLVQ",
            &[("distance_fn", "euclidean")],
            plain.clone(),
            -0.2208396766,
            &[-0.05677865, 0.27872083, -0.01903943, -0.15231543, 0.02339961, -0.21967811],
            &[],
        ),
        (
            "GLVQ",
            &[("distance_fn", "manhattan")],
            plain.clone(),
            -0.2821237274,
            &[-0.21001500, 0.21001500, -0.09274627, -0.09274627, 0.04338606, -0.14256435],
            &[],
        ),
        (
            "GLVQ",
            &[("distance_fn", "lp"), ("p", "3")],
            plain.clone(),
            -0.1942732327,
            &[-0.03073922, 0.28883736, -0.00242385, -0.15512655, -0.00596552, -0.21799700],
            &[],
        ),
        (
            "GLVQ",
            &[("distance_fn", "chebyshev")],
            plain.clone(),
            -0.1510695187,
            &[0.0, 0.38223140, 0.0, -0.15570934, -0.05165289, -0.20039178],
            &[],
        ),
        ("GLVQ1", &[], plain.clone(), 0.0925, &[-0.45, 0.75, -0.05, -0.4, -0.4, -0.2], &[]),
        ("GLVQ21", &[], plain.clone(), -1.3175, &[0.2, 1.45, -0.05, -0.4, 0.25, -1.4], &[]),
        (
            "CELVQ",
            &[],
            plain.clone(),
            0.3797892440,
            &[-0.19368103, 0.31737608, -0.02103379, -0.16827030, 0.41026419, -0.24178414],
            &[],
        ),
        (
            "SLVQ",
            &[],
            plain.clone(),
            -0.8318615666,
            &[-0.09041806, 0.47776951, 0.06361463, 0.13630849, 0.12500000, -0.70000000],
            &[],
        ),
        (
            "RSLVQ",
            &[],
            plain.clone(),
            0.4201542817,
            &[-0.07643318, 0.17789630, -0.01053767, 0.05253309, 0.14589293, -0.13783856],
            &[],
        ),
        (
            "GRLVQ",
            &[],
            Some(("relevances", vec![2], &rho)),
            -0.3496166083,
            &[-0.14190705, 0.32911491, -0.05913365, -0.28693098, 0.12819201, -0.30100119],
            &[0.04597233, -0.04597233],
        ),
        (
            "GMLVQ",
            &[],
            Some(("omega", vec![2, 2], &omega)),
            -0.3009877672,
            &[-0.19830931, 0.24178375, -0.07927151, -0.21465131, 0.10317432, -0.28971397],
            &[0.01696696, 0.26364408, 0.36570832, -0.07648256],
        ),
        (
            "LGMLVQ",
            &[],
            Some(("omegas", vec![3, 2, 2], &local)),
            -0.2254038610,
            &[0.0, 0.0, -0.01593055, -0.01428581, -0.05076392, -0.20220202],
            &[
                0.0,
                0.0,
                0.0,
                0.0,
                -0.22324407,
                0.00356158,
                0.25376285,
                -0.30055407,
                0.19804283,
                0.22838281,
                0.17113240,
                -0.08711431,
            ],
        ),
        (
            "GTLVQ",
            &[],
            Some(("omegas", vec![3, 2, 1], &bases)),
            -0.0267777792,
            &[-0.20641133, 0.15480849, 0.0, -0.04291029, -0.16798419, -0.22397893],
            &[0.21385363, -0.16039022, 0.0, 0.03003720, 0.41583543, 0.55444724],
        ),
        (
            "MRSLVQ",
            &[],
            Some(("omega", vec![2, 2], &omega)),
            0.5449279513,
            &[-0.09387311, 0.10736166, -0.00313834, 0.06755722, 0.18165586, -0.08657505],
            &[0.08855150, 0.13873507, 0.26211835, -0.40851776],
        ),
        (
            "LMRSLVQ",
            &[],
            Some(("omegas", vec![3, 2, 2], &local)),
            0.8011044217,
            &[-0.07429869, 0.07629952, -0.01873017, 0.05763913, 0.19989751, -0.06696133],
            &[
                -0.09253339,
                -0.02662320,
                0.05521455,
                -0.08706964,
                -0.16312444,
                -0.02019714,
                0.16854463,
                -0.26017359,
                0.45717231,
                0.32773188,
                0.11084915,
                -0.05346729,
            ],
        ),
        (
            "CBC",
            &[],
            Some(("reasonings", vec![3, 2, 2], &reasonings)),
            0.0651088773,
            &[-0.07862835, 0.02950541, -0.02668395, -0.06187310, 0.07366774, -0.04697816],
            &[
                0.00082247,
                0.02038069,
                0.03732757,
                -0.00953664,
                -0.08200214,
                0.01028333,
                0.11530090,
                -0.06068025,
                -0.01595914,
                0.03896183,
                0.03322258,
                -0.00366451,
            ],
        ),
    ];
    for (name, set, own, loss, dw, down) in cases {
        let mut model = Model::new(name).unwrap();
        for (k, v) in set {
            model = model.set_text(k, v).unwrap();
        }
        let mut tensors = Tensors::default();
        tensors.insert(Tensor::new(model.prototypes(), &[3, 2], w.clone()));
        let own_name = own.as_ref().map(|o| o.0);
        if let Some((name, shape, values)) = own {
            tensors.insert(Tensor::new(name, &shape, values.to_vec()));
        }
        let labels = Some([0, 0, 1].map(Label::Int).to_vec());
        let (l, g) = loss_and_gradient(&model, &data, &Given { tensors, prototype_labels: labels });
        assert!((l - loss).abs() < 1e-9, "{name} {set:?}: loss {l}");
        let error = relative(g.values(model.prototypes()), dw, 0.0);
        assert!(error < 1e-7, "{name} {set:?}: prototypes off by {error:e}");
        if let Some(own) = own_name {
            let error = relative(g.values(own), down, 0.0);
            assert!(error < 1e-7, "{name}: {own} off by {error:e}");
        }
    }
}

/// The rule models of section 12: one iteration with rate 0.1.
#[test]
fn worked_rules() {
    let x = [0.2, -0.4, 1.0, 0.3, -0.7, 1.1, 1.4, 1.6];
    let x = Array2::from_shape_vec((4, 2), x.to_vec()).unwrap();
    let data =
        Dataset::new(Features::from(x), Some(Labels::new(&[0i64, 0, 1, 1]).unwrap())).unwrap();
    let w = vec![0.1, 0.2, 0.9, -0.5, 0.6, 1.2];
    let cases: [(&str, f64, f64, [f64; 6]); 3] = [
        ("LVQ1", 0.1, 0.8175, [0.145, 0.125, 0.91, -0.42, 0.68, 1.24]),
        ("LVQ21", 0.1, -1.3175, [0.08666667, 0.10333333, 0.91, -0.42, 0.5875, 1.27]),
        ("MedianLVQ", 0.01, -0.3797833, [0.2, -0.4, 0.2, -0.4, 1.4, 1.6]),
    ];
    for (name, lr, loss, expected) in cases {
        let mut model = Model::new(name).unwrap();
        if name == "MedianLVQ" {
            model = model.set("assignment", "class").unwrap();
        }
        let mut tensors = Tensors::default();
        tensors.insert(Tensor::new("prototypes", &[3, 2], w.clone()));
        let labels = Some([0, 0, 1].map(Label::Int).to_vec());
        let extras = lvq::Extras {
            given: Given { tensors, prototype_labels: labels },
            ..Default::default()
        };
        let training = Training { max_iter: 1, lr, ..training() };
        let f = training.fit_with(&model, &data, &Cpu::default(), extras).unwrap();
        assert!((f.record.loss_history[0] - loss).abs() < 1e-7, "{name}");
        assert!(relative(f.tensors.values("prototypes"), &expected, 0.0) < 1e-8, "{name}");
    }
}

/// The same bits for any number of threads, on enough rows that every thread has work.
#[test]
fn gradients_do_not_depend_on_threads() {
    let (n, d) = (20_011, 7);
    let x = Array2::from_shape_vec((n, d), random(3, n * d)).unwrap();
    let y: Vec<i64> = (0..n).map(|i| (i % 3) as i64).collect();
    let data = Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap();
    for row in CATALOGUE.iter().filter(|r| !r.is_rule()) {
        let model = Model::new(row.name).unwrap();
        for precision in [Precision::F64, Precision::F32] {
            let training = Training { precision, ..training() };
            let run = |threads| {
                let cpu = Cpu::with_threads(Some(threads)).unwrap();
                training.gradient(&model, &data, &Given::default(), &cpu).unwrap()
            };
            let one = run(1);
            for threads in [2, 4] {
                let more = run(threads);
                assert_eq!(one.0.to_bits(), more.0.to_bits(), "{} {precision}", row.name);
                assert!(one.1 == more.1, "{} {precision}: {threads} threads", row.name);
            }
        }
    }
}

/// Prototypes at exactly the same place: the first learns by default and they part; shared gradients keep them together.
#[test]
fn ties() {
    let (data, _) = problem(&Model::new("GLVQ").unwrap(), 40, 2, 2, 2);
    for name in ["GLVQ", "GLVQ1", "CELVQ", "GMLVQ"] {
        let model = |ties: &str| {
            Model::new(name)
                .unwrap()
                .set("ties", ties)
                .unwrap()
                .set("n_prototypes_per_class", 2)
                .unwrap()
                .set("prototypes_initializer", "class_conditional_mean")
                .unwrap()
        };
        let spread = |ties: &str| {
            let t = Training { max_iter: 20, lr: 0.05, ..training() };
            let f = t.fit(&model(ties), &data, &Cpu::default()).unwrap();
            let w = f.prototype_matrix();
            (0..2).map(|a| (w[[0, a]] - w[[1, a]]).abs()).fold(0.0, f64::max)
        };
        assert_eq!(spread("even"), 0.0, "{name}");
        assert!(spread("first") > 1e-3, "{name}");
    }
}

#[test]
fn properties_that_need_no_reference() {
    // Translation of rows and prototypes together changes nothing.
    for name in ["GLVQ", "GRLVQ", "GMLVQ", "LGMLVQ", "GTLVQ", "RSLVQ", "CBC"] {
        let model = Model::new(name).unwrap();
        let (data, given) = problem(&model, 30, 3, 3, 2);
        let (loss, gradient) = loss_and_gradient(&model, &data, &given);
        let shift = |v: &f64| v + 3.0;
        let moved = match &data.features {
            Features::F64(x) => Features::from(x.view().map(shift)),
            Features::F32(_) => unreachable!(),
        };
        let mut there = given.clone();
        let prototypes = there.tensors.values_mut(model.prototypes());
        prototypes.iter_mut().for_each(|v| *v = shift(v));
        let data = Dataset { features: moved, ..data };
        let (l, g) = loss_and_gradient(&model, &data, &there);
        assert!((l - loss).abs() < 1e-12, "{name}");
        for t in &gradient.list {
            assert!(
                relative(&g.get(&t.name).unwrap().data, &t.data, 1e-3) < 1e-10,
                "{name} {}",
                t.name
            );
        }
        // Relevances: the gradient sums to 0. GMLVQ: the loss does not depend on the scale of omega.
        if let Some(rho) = g.get("relevances") {
            assert!(rho.data.iter().sum::<f64>().abs() < 1e-14);
        }
        if name == "GMLVQ" {
            let along: f64 = g
                .values("omega")
                .iter()
                .zip(there.tensors.values("omega"))
                .map(|(a, b)| a * b)
                .sum();
            assert!(along.abs() < 1e-8, "{along}");
        }
    }
    // A prototype that wins nowhere does not move.
    let model = Model::new("GLVQ").unwrap();
    let (data, mut given) = problem(&model, 30, 3, 3, 2);
    given.tensors.values_mut("prototypes")[..3].copy_from_slice(&[90.0, 90.0, 90.0]);
    let (_, g) = loss_and_gradient(&model, &data, &given);
    assert_eq!(g.values("prototypes")[..3], [0.0; 3]);
}

/// Tight clusters far from the mean: the product form of the distance has no digits left, the answers have all.
#[test]
fn predictions_are_right_where_the_expansion_is_not() {
    // Few short prototypes are found by differences, others by products.
    [6, 60].into_iter().for_each(predictions_of);
}

fn predictions_of(d: usize) {
    let p = 40;
    let mut w = random(5, p * d);
    // Two far groups; within a group prototypes are 1e-2 apart on coordinates of size 100.
    for (i, v) in w.iter_mut().enumerate() {
        *v = if (i / d).is_multiple_of(2) { 100.0 } else { -100.0 } + 1e-2 * *v;
    }
    let rows: Vec<f64> = w.iter().zip(random(6, p * d)).map(|(w, e)| w + 1e-3 * e).collect();
    let singles = rows.iter().map(|v| *v as f32).collect();
    let singles = Features::from(Array2::from_shape_vec((p, d), singles).unwrap());
    let x = Features::from(Array2::from_shape_vec((p, d), rows).unwrap());
    let labels: Vec<i64> = (0..p as i64).collect();
    let data = Dataset::new(x.clone(), Some(Labels::new(&labels).unwrap())).unwrap();
    for (name, precision) in [
        ("GLVQ", Precision::F32),
        ("GMLVQ", Precision::F32),
        ("GRLVQ", Precision::F32),
        ("GMLVQ", Precision::F64),
    ] {
        let mut tensors = Tensors::default();
        tensors.insert(Tensor::new("prototypes", &[p, d], w.clone()));
        let names = labels.iter().map(|l| Label::Int(*l)).collect();
        let given = Given { tensors, prototype_labels: Some(names) };
        // One step of no size: the tensors stay as given.
        let training = Training {
            max_iter: 1,
            lr: 1e-30,
            optimizer: "sgd".into(),
            precision,
            ..Training::default()
        };
        let extras = lvq::Extras { given, ..Default::default() };
        let model = Model::new(name).unwrap();
        let f = training.fit_with(&model, &data, &Cpu::default(), extras).unwrap();
        let truth = data.labels.as_ref().unwrap().values();
        assert_eq!(f.predict(&x).unwrap(), truth, "{name} {precision}");
        // Rows that need not be converted may be read as they stand.
        assert_eq!(f.predict(&singles).unwrap(), truth, "{name} {precision}");
    }
}
