//! Bad input at the library's border: a typed error that names what is wrong, before any work. (Files: `data.rs`; calls of
//! the command: `command_line.rs`; combinations of options: `training.rs`.)

mod common;

use common::data;
use lvq::data::{ReadOptions, read};
use lvq::model::start::Given;
use lvq::parts::composition::Precision;
use lvq::parts::tensor::{Tensor, Tensors};
use lvq::{Cpu, Dataset, Error, Extras, Features, Fitted, Label, Labels, Model, Training};
use ndarray::{Array2, array};
use std::path::Path;

fn iris() -> Dataset {
    read(&data("iris.csv"), &ReadOptions::default()).unwrap()
}

fn fit(model: Model, data: &Dataset) -> Result<Fitted, Error> {
    Training { max_iter: 3, ..Training::default() }.fit(&model, data, &Cpu::default())
}

fn with_given(model: &Model, given: Given) -> Result<Fitted, Error> {
    let extras = Extras { given, ..Extras::default() };
    Training { max_iter: 2, ..Training::default() }.fit_with(
        model,
        &iris(),
        &Cpu::default(),
        extras,
    )
}

fn message<T>(result: Result<T, Error>) -> String {
    match result {
        Ok(_) => panic!("accepted"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn data_that_cannot_be_trained_on() {
    let one = Dataset::new(array![[1.0, 2.0], [3.0, 4.0]], Some(Labels::new(&[7i64, 7]).unwrap()))
        .unwrap();
    let text = message(fit(Model::new("GLVQ").unwrap(), &one));
    assert!(text.contains("two classes") && text.contains('7'), "{text}");

    let none = Dataset::new(array![[1.0, 2.0], [3.0, 4.0]], None).unwrap();
    assert!(message(fit(Model::new("GLVQ").unwrap(), &none)).contains("labels"));

    // NaN and infinity, with row and column: also when they come in behind the constructor's back.
    for bad in [f64::NAN, f64::INFINITY] {
        let mut d = iris();
        if let Features::F64(x) = &d.features {
            let mut x = x.view().to_owned();
            x[[3, 2]] = bad;
            d.features = x.into();
        }
        match fit(Model::new("GMLVQ").unwrap(), &d) {
            Err(Error::NotFinite { row: 3, column: 2, .. }) => {}
            other => panic!("{:?}", other.map(|f| f.n_iter())),
        }
    }
    assert!(message(Dataset::new(Array2::<f64>::zeros((0, 3)), None)).contains("at least one row"));
    let text = message(Dataset::new(array![[1.0], [2.0]], Some(Labels::new(&[1i64]).unwrap())));
    assert!(text.contains('2') && text.contains('1'), "{text}");
    assert!(message(Labels::new(&[1.0, 1.7])).contains("row 1"));

    // Distances that overflow, digits that single precision has not, f16 that is too small.
    let scaled = |factor: f64, shift: f64| {
        let mut d = iris();
        if let Features::F64(x) = &d.features {
            d.features = x.view().mapv(|v| v * factor + shift).into();
        }
        d
    };
    let text = message(fit(Model::new("GLVQ").unwrap(), &scaled(1e20, 0.0)));
    assert!(text.contains("overflow") && text.contains("column 0"), "{text}");
    let far = fit(Model::new("GLVQ").unwrap(), &scaled(1e-3, 1e9)).unwrap();
    assert!(far.record.warnings.iter().any(|w| w.contains("f64")), "{:?}", far.record.warnings);
    let f16 = Training { precision: Precision::F16, max_iter: 2, ..Training::default() };
    let model = Model::new("GLVQ").unwrap();
    let text = message(f16.fit(&model, &scaled(1e5, 0.0), &Cpu::default()));
    assert!(text.contains("f16") && text.contains("bf16"), "{text}");

    // Weights.
    let weights = |w: Vec<f64>| iris().with_weights(w);
    assert!(message(weights(vec![1.0; 3])).contains("150"));
    let mut w = vec![1.0; 150];
    w[9] = -1.0;
    assert!(message(weights(w)).contains("row 9"));
    assert!(message(weights(vec![0.0; 150])).contains("all"));

    // Validation data.
    let narrow = Dataset::new(array![[1.0]], Some(Labels::new(&["setosa"]).unwrap())).unwrap();
    let unseen =
        Dataset::new(array![[1.0, 2.0, 3.0, 4.0]], Some(Labels::new(&["rose"]).unwrap())).unwrap();
    for (validation, expected) in [(narrow, "4 features"), (unseen, "rose")] {
        let extras = Extras { validation: Some(&validation), ..Extras::default() };
        let text = message(Training::default().fit_with(&model, &iris(), &Cpu::default(), extras));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn labels_of_any_kind_are_mapped() {
    // {0, 2, 5}, negative numbers, text: the same model, columns in the order of the classes.
    let x = iris();
    let codes = x.labels.as_ref().unwrap().codes.clone();
    let train = |labels: Labels| {
        let d = Dataset { labels: Some(labels), ..iris() };
        fit(Model::new("CELVQ").unwrap(), &d).unwrap()
    };
    let plain =
        train(Labels::new(&codes.iter().map(|c| i64::from(*c)).collect::<Vec<_>>()).unwrap());
    for values in [[0i64, 2, 5], [-7, -1, 3]] {
        let odd = train(
            Labels::new(&codes.iter().map(|c| values[*c as usize]).collect::<Vec<_>>()).unwrap(),
        );
        assert_eq!(odd.classes, values.map(Label::Int));
        assert_eq!(odd.tensors, plain.tensors);
        let proba = odd.predict_proba(&x.features).unwrap();
        assert_eq!(proba, plain.predict_proba(&x.features).unwrap());
        assert_eq!(proba.ncols(), 3);
        assert!(odd.predict(&x.features).unwrap().iter().all(|l| odd.classes.contains(l)));
    }
}

#[test]
fn start_tensors_that_do_not_fit() {
    let tensor = |name: &str, shape: &[usize], value: f64| {
        let n = shape.iter().product();
        Tensors { list: vec![Tensor::new(name, shape, vec![value; n])] }
    };
    let labels = |names: &[&str]| Some(names.iter().map(|n| Label::Text(n.to_string())).collect());
    let gmlvq = Model::new("GMLVQ").unwrap();
    let three = ["setosa", "versicolor", "virginica"];
    let table: Vec<(Given, &str)> = vec![
        (
            Given { tensors: tensor("prototypes", &[3, 5], 1.0), prototype_labels: labels(&three) },
            "(p, 4)",
        ),
        (
            Given { tensors: tensor("prototypes", &[2, 4], 1.0), prototype_labels: None },
            "prototype_labels",
        ),
        (
            Given {
                tensors: tensor("prototypes", &[3, 4], 1.0),
                prototype_labels: labels(&three[..2]),
            },
            "3 labels",
        ),
        (
            Given {
                tensors: tensor("prototypes", &[3, 4], 1.0),
                prototype_labels: labels(&["setosa", "rose", "virginica"]),
            },
            "rose",
        ),
        (
            Given { tensors: Tensors::default(), prototype_labels: labels(&three) },
            "without prototypes",
        ),
        (Given { tensors: tensor("omega", &[3, 4], 1.0), prototype_labels: None }, "(4, l)"),
        (
            Given { tensors: tensor("omegas", &[3, 4, 4], 1.0), prototype_labels: None },
            "valid: prototypes, omega",
        ),
        (
            Given { tensors: tensor("omega", &[4, 4], f64::NAN), prototype_labels: None },
            "not a finite number",
        ),
    ];
    for (given, expected) in table {
        let text = message(with_given(&gmlvq, given));
        assert!(text.contains(expected), "{text}");
    }
    let wide = Given { tensors: tensor("omegas", &[3, 4, 4], 0.5), prototype_labels: None };
    assert!(message(with_given(&Model::new("GTLVQ").unwrap(), wide)).contains("subspace_dim"));
    let fixed = Model::new("GLVQ").unwrap().set("distance_fn", "omega").unwrap();
    assert!(message(with_given(&fixed, Given::default())).contains("'omega'"));
    // What fits is used as it is, and a fixed matrix stays.
    let given = Given { tensors: tensor("omega", &[4, 2], 0.5), prototype_labels: None };
    let f = with_given(&fixed, given).unwrap();
    assert!(f.tensors.values("omega").iter().all(|v| *v == 0.5));
}

#[test]
fn hyper_parameters() {
    let table = [
        ("GMLVQ", "latent_dim", "0", "whole number >= 1"),
        ("GMLVQ", "latent_dim", "1.5", "whole number"),
        ("GMLVQ", "beta", "0", "> 0"),
        ("GMLVQ", "beta", "nan", "finite"),
        ("GLVQ", "margin", "inf", "finite"),
        ("RSLVQ", "sigma", "0", "> 0"),
        ("RSLVQ", "sigma", "-1", "> 0"),
        ("RSLVQ", "rejection_confidence", "1.5", "<= 1"),
        ("GLVQ", "distance_fn", "gaussian", "squared_euclidean"),
        ("GLVQ", "p", "0.5", ">= 1"),
        ("GLVQ", "transfer_fn", "sigmoid", "sigmoid_beta"),
        ("GLVQ", "n_prototypes_per_class", "0", ">= 1"),
        ("GLVQ", "n_prototypes_per_class", "1.5", "count"),
        ("GLVQ", "prototypes_initializer", "kmeans", "stratified_random"),
        ("GLVQ1", "margin", "0.5", "not used by GLVQ1"),
        ("GLVQ1", "beta", "3", "not used by GLVQ1"),
        ("GMLVQ", "distance_fn", "manhattan", "not used by GMLVQ"),
        ("GTLVQ", "subspace_dim", "0", "whole number >= 1"),
        ("LVQ21", "window", "0", "> 0"),
        ("CBC", "n_components", "0", ">= 1"),
        ("GLVQ", "nonsense", "1", "valid:"),
        ("GLVQ", "compat", "prosemble-1", "prosemble-2.4"),
    ];
    for (model, key, value, expected) in table {
        let text = message(Model::new(model).unwrap().set_text(key, value));
        assert!(text.contains(key) && text.contains(expected), "{model} {key}={value}: {text}");
    }
    // Against the data.
    let fails = |name: &str, key: &str, value: &str| {
        message(fit(Model::new(name).unwrap().set_text(key, value).unwrap(), &iris()))
    };
    assert!(fails("GTLVQ", "subspace_dim", "4").contains("below the number of features, 4"));
    assert!(fails("CBC", "n_classes", "2").contains("y has 3 classes"));
    assert!(fails("CBC", "n_components", "151").contains("n_components"));
    assert!(fails("GLVQ", "n_prototypes_per_class", "1,2").contains("3 classes"));
    assert!(fails("GLVQ", "n_prototypes_per_class", "setosa=1,rose=2").contains("versicolor"));
    assert!(fails("GLVQ", "p", "3").contains("distance_fn=lp"));
    let both = Model::new("CBC").unwrap().set("similarity_fn", "cosine").unwrap();
    let text = message(fit(both.set("distance_fn", "manhattan").unwrap(), &iris()));
    assert!(text.contains("similarity_fn"), "{text}");
    // What is unusual and works says so.
    let warned = |name: &str, key: &str, value: &str, expected: &str| {
        let f = fit(Model::new(name).unwrap().set_text(key, value).unwrap(), &iris()).unwrap();
        assert!(f.record.warnings.iter().any(|w| w.contains(expected)), "{:?}", f.record.warnings);
    };
    warned("GLVQ", "n_prototypes_per_class", "60", "start at the same place");
    warned("GMLVQ", "latent_dim", "6", "stay zero");
    warned("GLVQ", "n_prototypes_per_class", "setosa=1,versicolor=1,virginica=1,rose=1", "rose");
    // Options that change the other way about.
    assert_eq!(
        Model::new("GTLVQ").unwrap().set_text("tangent_dim", "1").unwrap().int("subspace_dim"),
        Some(1)
    );
}

#[test]
fn questions_that_do_not_fit_the_model() {
    let f = fit(Model::new("GMLVQ").unwrap(), &iris()).unwrap();
    let cpu = Cpu::default();
    let asked = f.on(&cpu).unwrap();
    for narrow in
        [Features::from(array![[1.0], [2.0]]), Features::from(array![[1.0, 2.0, 3.0, 4.0, 5.0]])]
    {
        let text = message(asked.predict(&narrow));
        assert!(text.contains("4 features"), "{text}");
    }
    match asked.predict_proba(&Features::from(array![[1.0, 2.0, f64::NAN, 4.0]])) {
        Err(Error::NotFinite { row: 0, column: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
    let some = Features::from(array![[5.1, 3.5, 1.4, 0.2], [f64::NAN, 2.0, 3.0, 4.0]]);
    let codes = asked.predict_or_reject_nan(&some).unwrap();
    assert!(codes[0].is_some() && codes[1].is_none());
    assert!(asked.predict(&Features::from(Array2::<f64>::zeros((0, 4)))).unwrap().is_empty());
    assert!(message(asked.posterior(&iris().features)).contains("GMLVQ"));
    assert!(message(asked.accuracy(&iris().features, &[0, 1])).contains("150"));
    assert!(message(asked.predict_with_rejection(&iris().features, Some(2.0))).contains("<= 1"));
    assert!(
        message(asked.accuracy_coverage_curve(&iris().features, &[0; 150], 1))
            .contains("n_thresholds")
    );
}

#[test]
fn files_that_are_no_models() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.safetensors");
    fit(Model::new("GMLVQ").unwrap(), &iris()).unwrap().save(&good).unwrap();
    let bytes = std::fs::read(&good).unwrap();
    let bad = folder.path().join("bad.safetensors");
    let load = |content: &[u8]| {
        std::fs::write(&bad, content).unwrap();
        match Fitted::load(&bad) {
            Err(e) => e,
            Ok(_) => panic!("loaded"),
        }
    };
    // Truncated anywhere, a flipped bit anywhere, empty, foreign.
    for cut in (0..bytes.len()).step_by(97) {
        assert!(matches!(load(&bytes[..cut]), Error::Format { .. }), "cut at {cut}");
    }
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in (8 + header..bytes.len()).step_by(61) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        let text = load(&flipped).to_string();
        assert!(text.contains("bad.safetensors"), "{text}");
    }
    assert!(load(b"PK\x03\x04 a zip file").to_string().contains("bad.safetensors"));
    // Another program's safetensors, and a layout of the future.
    let golden = common::golden_folder().join("GLVQ.safetensors");
    let text = message(Fitted::load(&golden));
    assert!(text.contains("no lvq model"), "{text}");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("\\\"format\\\":1"), "the header is JSON in JSON");
    let future = bytes_replaced(&bytes, b"\\\"format\\\":1", b"\\\"format\\\":9");
    assert!(load(&future).to_string().contains("version 9"));
    assert!(message(Fitted::load(Path::new("/no/such/model"))).contains("/no/such/model"));
    assert!(matches!(Fitted::load(folder.path()), Err(Error::Io { .. } | Error::Format { .. })));
    // Saving where nothing can be written leaves nothing.
    let f = Fitted::load(&good).unwrap();
    assert!(matches!(f.save(Path::new("/no/such/folder/m.safetensors")), Err(Error::Io { .. })));
    assert!(matches!(f.save(folder.path()), Err(Error::Io { .. })));
}

fn bytes_replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).expect("found");
    let mut new = bytes.to_vec();
    new[at..at + to.len()].copy_from_slice(to);
    new
}

/// A saved and loaded model answers with the same bits, whatever it is.
#[test]
fn saving_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let d = iris();
    for row in lvq::model::catalogue::CATALOGUE {
        for precision in [Precision::F32, Precision::F64] {
            let training = Training { max_iter: 3, precision, ..Training::default() };
            let f = training.fit(&Model::new(row.name).unwrap(), &d, &Cpu::default()).unwrap();
            f.save(&path).unwrap();
            let loaded = Fitted::load(&path).unwrap();
            assert_eq!(loaded.tensors, f.tensors, "{}", row.name);
            assert_eq!(
                loaded.predict_proba(&d.features).unwrap(),
                f.predict_proba(&d.features).unwrap()
            );
            assert_eq!(loaded.record.loss_history, f.record.loss_history);
        }
    }
    // Options that the reference loses: a Manhattan model stays one.
    let model = Model::new("GLVQ").unwrap().set("distance_fn", "manhattan").unwrap();
    let f = fit(model, &d).unwrap();
    f.save(&path).unwrap();
    let x = d.features.select(&[7]);
    let loaded = Fitted::load(&path).unwrap();
    let distances = loaded.on(&Cpu::default()).unwrap().distances(&x).unwrap();
    let mut row = [0.0; 4];
    x.row_into(0, &mut row);
    let by_hand: f64 =
        row.iter().zip(f.prototype_matrix().row(0)).map(|(a, b)| (a - b).abs()).sum();
    assert!((distances[[0, 0]] - by_hand).abs() < 1e-5);
    // A function of the user's own cannot be stored, and says so.
    use lvq::parts::objective::transfer::Transfer;
    let own = Transfer::Custom(std::sync::Arc::new(|z| (2.0 * z, 2.0)));
    let f = fit(Model::new("GLVQ").unwrap().transfer(own).unwrap(), &d).unwrap();
    assert!(message(f.save(&path)).contains("transfer_fn"));
}

/// Quantised models compute with the values that their codes stand for, also after loading.
#[test]
fn quantised_models() {
    use lvq::model::quantise::Precision as Bits;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.safetensors");
    let d = iris();
    let training = Training { max_iter: 60, ..Training::default() };
    let f = training.fit(&Model::new("GMLVQ").unwrap(), &d, &Cpu::default()).unwrap();
    let truth = d.labels.as_ref().unwrap().values();
    let full = f.accuracy(&d.features, &truth).unwrap();
    for bits in [
        Bits::parse("float16").unwrap(),
        Bits::parse("bfloat16").unwrap(),
        Bits::parse("int8").unwrap(),
    ] {
        let q = f.quantize(bits, false).unwrap();
        assert!((q.accuracy(&d.features, &truth).unwrap() - full).abs() < 0.05, "{bits:?}");
        q.save(&path).unwrap();
        let loaded = Fitted::load(&path).unwrap();
        assert_eq!(loaded.tensors, q.tensors);
        assert_eq!(loaded.predict(&d.features).unwrap(), q.predict(&d.features).unwrap());
        let text = message(training.resume(&loaded, &d, &Cpu::default(), Extras::default()));
        assert!(text.contains("dequantise"), "{text}");
        training.partial_fit(&loaded.dequantize(), &d, &Cpu::default()).unwrap();
    }
}
