//! Files of data as users have them: what is read, and what each kind of bad file is told.
//!
//! The files in `tests/files` were made with NumPy (`make.py` there).

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use lvq::Error;
use lvq::data::read::npy::{NpyArray, read_npy};
use lvq::data::{Features, Label, ReadOptions, read};
use lvq::model::container::{StoredTensor, read_container, tensors_from, write_container};
use ndarray::{Array2, array};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files").join(name)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(folder: &TempDir, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, contents).unwrap();
    path
}

fn unlabelled() -> ReadOptions {
    ReadOptions { unlabelled: true, ..ReadOptions::default() }
}

fn target(name: &str) -> ReadOptions {
    ReadOptions { target: Some(name.into()), ..ReadOptions::default() }
}

fn texts(labels: &[&str]) -> Vec<Label> {
    labels.iter().map(|text| Label::Text(text.to_string())).collect()
}

fn ints(labels: &[i64]) -> Vec<Label> {
    labels.iter().map(|&value| Label::Int(value)).collect()
}

#[test]
fn the_sets_of_the_project_are_read() {
    for (name, rows, columns, counts) in [
        ("iris", 150, 4, &[50, 50, 50][..]),
        ("wine", 178, 13, &[59, 71, 48]),
        ("breast_cancer", 569, 30, &[357, 212]),
        ("digits", 1797, 64, &[178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/{name}.csv"));
        let dataset = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!((dataset.rows(), dataset.columns()), (rows, columns), "{name}");
        assert_eq!(dataset.feature_names.len(), columns);
        assert_eq!(dataset.labels.unwrap().counts(), counts, "{name}");
    }
}

#[test]
fn csv_columns_are_chosen_by_the_options() {
    let folder = folder();
    // A byte order mark, Windows line ends, blanks, quotes and an empty line are all met in practice.
    let path = put(
        &folder,
        "a.csv",
        "\u{feff}a, b ,\"kind\",w\r\n1, 2.5,x,1\r\n\r\n-3e2,+.5,\" y, z \",0.5\r\n",
    );
    let all = ReadOptions { weights_column: Some("w".into()), ..ReadOptions::default() };
    let dataset = read(&path, &all).unwrap();
    assert_eq!(dataset.features, Features::from(array![[1.0, 2.5], [-300.0, 0.5]]));
    assert_eq!(dataset.feature_names, ["a", "b"]);
    assert_eq!(dataset.weights, Some(vec![1.0, 0.5]));
    let labels = dataset.labels.unwrap();
    assert_eq!((labels.values(), &labels.codes[..]), (texts(&["x", "y, z"]), &[0, 1][..]));

    let path = put(&folder, "b.csv", "kind,a,b\n1.0,5,6\n-2,7,8\n1,9,10\n");
    let dataset = read(&path, &target("kind")).unwrap();
    assert_eq!(dataset.feature_names, ["a", "b"]);
    assert_eq!(dataset.labels.unwrap().values(), ints(&[1, -2, 1]));
}

#[test]
fn whole_numbers_are_integers_and_one_text_makes_all_texts() {
    let folder = folder();
    let labels = |fields: &[&str]| {
        let rows: String = fields.iter().map(|field| format!("1,{field}\n")).collect();
        read(&put(&folder, "a.csv", format!("a,label\n{rows}")), &ReadOptions::default())
            .map(|dataset| dataset.labels.unwrap().values())
    };
    assert_eq!(labels(&["1", "1.0", "1e0", "-7"]).unwrap(), ints(&[1, 1, 1, -7]));
    assert_eq!(labels(&["9223372036854775807", "0"]).unwrap(), ints(&[i64::MAX, 0]));
    assert_eq!(labels(&["1", "2.5", "a"]).unwrap(), texts(&["1", "2.5", "a"]));
    let message = labels(&["1", "2", "1.5"]).unwrap_err().to_string();
    assert!(message.contains("row 2 (line 4)") && message.contains("1.5"), "{message}");
    let message = labels(&["1", "nan"]).unwrap_err().to_string();
    assert!(message.contains("row 1 (line 3)"), "{message}");
}

#[test]
fn for_prediction_the_label_column_may_be_missing() {
    let folder = folder();
    let path = put(&folder, "a.csv", "a,b,kind\n1,2,3\n4,5,6\n");
    let with = |target: Option<&str>, expected_columns| {
        let target = target.map(String::from);
        let dataset =
            read(&path, &ReadOptions { target, expected_columns, ..unlabelled() }).unwrap();
        (dataset.columns(), dataset.labels.map(|labels| labels.values()))
    };
    assert_eq!(with(None, None), (3, None));
    assert_eq!(with(None, Some(3)), (3, None));
    assert_eq!(with(None, Some(2)), (2, Some(ints(&[3, 6]))));
    assert_eq!(with(Some("kind"), Some(2)), (2, Some(ints(&[3, 6]))));
    assert_eq!(with(Some("a"), None), (2, Some(ints(&[1, 4]))));
    assert_eq!(with(Some("species"), Some(3)), (3, None));
}

#[test]
fn every_bad_csv_is_told_what_is_wrong_and_where() {
    let folder = folder();
    let default = ReadOptions::default();
    let weights = ReadOptions { weights_column: Some("w".into()), ..ReadOptions::default() };
    let cases: Vec<(&[u8], &ReadOptions, &[&str])> = vec![
        (b"", &default, &["is empty", "header"]),
        (b"\n\n", &default, &["is empty"]),
        (b"a,b,c\n", &default, &["no rows"]),
        (b"a,b,c", &default, &["no rows"]),
        (b"a,b,c\n1,2,x\n1,x2,y\n", &default, &["row 1 (line 3)", "column 'b'", "'x2'"]),
        (b"a,b,c\n1,,x\n", &default, &["row 0 (line 2)", "column 'b'", "empty"]),
        (b"a,b,c\n1,nan,x\n", &default, &["row 0 (line 2)", "column 'b'", "finite"]),
        (b"a,b,c\n1,1e999,x\n", &default, &["column 'b'", "finite"]),
        (b"a,b,c\n1,2,x\n\n1,2\n", &default, &["row 1 (line 4)", "2 fields", "expected 3"]),
        (b"\r\na,b,c\r\n1,2,x\r\n1,b,x\r\n", &default, &["row 1 (line 4)"]),
        (b"a,b,c\n\"1\",2,\"x\"\n\n\n1,b,x", &default, &["row 1 (line 5)"]),
        (b"a,b,c\n1,2,3,4\n", &default, &["row 0", "4 fields", "expected 3"]),
        (b"a,b,c\n1,2,\n", &default, &["column 'c'", "row 0", "label is empty"]),
        (b"a,a,c\n1,2,3\n", &default, &["two columns", "'a'"]),
        (b",a,c\n1,2,3\n", &default, &["column 0 has no name"]),
        (b"5.1,3.5,setosa\n4.9,3.0,setosa\n", &default, &["first line looks like data", "'5.1'"]),
        (b"a;b;c\n1;2;3\n", &default, &["commas"]),
        (b"c\n1\n", &default, &["no column of features"]),
        (b"a,c\n1,\"x\n2,y\n", &default, &["row 0 (line 2)", "quote"]),
        (b"a,b\xff,c\n1,2,3\n", &default, &["header", "UTF-8"]),
        (b"a,b,c\n1,2\xff,3\n", &default, &["row 0", "column 'b'", "UTF-8"]),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", &default, &["not CSV"]),
        (b"a,w,c\n1,-1,x\n", &weights, &["weight of row 0", "-1"]),
        (b"a,w,c\n1,0,x\n", &weights, &["all weights are 0"]),
    ];
    for (contents, options, expected) in cases {
        let path = put(&folder, "bad.csv", contents);
        let error = read(&path, options).unwrap_err();
        let message = error.to_string();
        let shown = String::from_utf8_lossy(contents);
        assert!(matches!(error, Error::Format { .. } | Error::Data(_)), "{shown}: {error:?}");
        assert!(message.contains("bad.csv"), "{shown}: {message}");
        for part in expected {
            assert!(message.contains(part), "{shown}: expected '{part}' in: {message}");
        }
    }
}

#[test]
fn unknown_columns_are_answered_with_the_nearest() {
    let folder = folder();
    let path = put(&folder, "a.csv", "length,width,species\n1,2,x\n");
    let message = read(&path, &target("specis")).unwrap_err().to_string();
    assert!(message.contains("did you mean 'species'"), "{message}");
    assert!(message.contains("a.csv") && message.contains("length"), "{message}");
    let options = ReadOptions { weights_column: Some("widht".into()), ..ReadOptions::default() };
    let message = read(&path, &options).unwrap_err().to_string();
    assert!(message.contains("did you mean 'width'"), "{message}");
    let both = ReadOptions { weights_column: Some("species".into()), ..target("species") };
    assert!(matches!(read(&path, &both), Err(Error::Parameter { .. })));
}

#[test]
fn options_that_do_not_fit_the_file_are_errors() {
    let labels = || ReadOptions { labels: Some("y.npy".into()), ..ReadOptions::default() };
    let weights = ReadOptions { weights_column: Some("w".into()), ..ReadOptions::default() };
    for (name, options, option) in [
        ("a.csv", labels(), "labels"),
        ("-", labels(), "labels"),
        ("a.npz", labels(), "labels"),
        ("a.safetensors", labels(), "labels"),
        ("a.npy", target("y"), "target"),
        ("a.npz", target("y"), "target"),
        ("a.safetensors", target("y"), "target"),
        ("a.npy", weights, "weights"),
    ] {
        match read(Path::new(name), &options) {
            Err(Error::Parameter { name, .. }) => assert_eq!(name, option),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn files_that_are_not_there_or_of_another_kind() {
    let folder = folder();
    for ending in ["csv", "npy", "npz", "safetensors"] {
        let path = folder.path().join("no").with_extension(ending);
        let error = read(&path, &unlabelled()).unwrap_err();
        assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{ending}: {error}");

        let path = folder.path().join("folder").with_extension(ending);
        fs::create_dir(&path).unwrap();
        let error = read(&path, &unlabelled()).unwrap_err();
        assert!(matches!(&error, Error::Io { path: p, .. } if *p == path), "{ending}: {error}");
    }
    for name in ["data.parquet", "data", "csv"] {
        let message = read(&put(&folder, name, "x"), &unlabelled()).unwrap_err().to_string();
        assert!(message.contains(".csv, .npy, .npz or .safetensors"), "{message}");
    }
    for ending in ["npy", "npz", "safetensors"] {
        for contents in [&b""[..], b"a", b"a,b\n1,2\n3,4\n", &[0xff; 100], &[0; 100]] {
            let path = put(&folder, &format!("foreign.{ending}"), contents);
            let error = read(&path, &unlabelled()).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{ending} {contents:?}: {error:?}");
        }
    }
}

#[test]
fn mapped_files_are_what_is_read() {
    let mapped = |path: &Path| read(path, &ReadOptions { mmap: true, ..unlabelled() });
    for name in ["f8.npy", "version-2.npy"] {
        let (there, here) = (mapped(&at(name)).unwrap(), read(&at(name), &unlabelled()).unwrap());
        assert!(matches!(&there.features, Features::F64(table) if table.is_mapped()), "{name}");
        assert!(matches!(&here.features, Features::F64(table) if !table.is_mapped()), "{name}");
        assert_eq!(there, here, "{name}");
    }
    let folder = folder();
    let bad = Array2::from_shape_fn((3, 2), |(i, a)| if i + a == 2 { f32::NAN } else { 1.0 });
    let bad = put(&folder, "bad.npy", lvq::data::write::npy_bytes(bad.view()));
    let cases = [
        (at("f8-fortran.npy"), "f8-fortran.npy"),
        (at("f8-fortran.npy"), "columns come first (Fortran order); save numpy.ascontiguousarray"),
        (at("f4-big-endian.npy"), "'>f4'"),
        (at("f2.npy"), "of type '<f2'; save x.astype"),
        (at("flat.npy"), "[3], expected (rows, columns)"),
        (at("stored.npz"), "mmap: only .npy files can be mapped"),
        ("-".into(), "mmap: only .npy files can be mapped"),
        ("x.csv".into(), "mmap: only .npy files can be mapped"),
        ("no.npy".into(), "no.npy"),
        (bad, "row 1, column 1"),
    ];
    for (path, expected) in cases {
        let message = mapped(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{path:?}: expected '{expected}' in: {message}");
    }
}

fn f64s(features: Features) -> Array2<f64> {
    match features {
        Features::F64(table) => table.into_array(),
        other => panic!("{other:?}"),
    }
}

fn f32s(features: Features) -> Array2<f32> {
    match features {
        Features::F32(table) => table.into_array(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arrays_of_numpy_are_read() {
    let x = |name: &str| read(&at(name), &unlabelled()).unwrap().features;
    let wide = array![[0.1, -2.0, 3.0], [4.0, 5.5, 1e300]];
    for name in ["f8.npy", "f8-fortran.npy", "version-2.npy"] {
        assert_eq!(f64s(x(name)), wide, "{name}");
    }
    let small = array![[0.0, 1.0, 2.0], [3.0, 4.0, 100.0]];
    assert_eq!(f64s(x("i8.npy")), small);
    for name in ["f4-big-endian.npy", "f2.npy", "u1.npy"] {
        assert_eq!(f32s(x(name)), small.mapv(|v: f64| v as f32), "{name}");
    }
    assert_eq!(f32s(x("bool.npy")), array![[0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]);
}

#[test]
fn labels_of_numpy_are_read() {
    let folder = folder();
    let y = |rows: usize, name: &str| {
        let matrix = Array2::<f64>::zeros((rows, 1));
        let path = put(&folder, "x.npy", lvq::data::write::npy_bytes(matrix.view()));
        let options = ReadOptions { labels: Some(at(name)), ..ReadOptions::default() };
        read(&path, &options).map(|dataset| dataset.labels.unwrap().values())
    };
    assert_eq!(y(3, "labels-unicode.npy").unwrap(), texts(&["zwei", "eins ∑", "zwei"]));
    assert_eq!(y(2, "labels-big-endian.npy").unwrap(), texts(&["b", "a"]));
    assert_eq!(y(2, "labels-bytes.npy").unwrap(), texts(&["b", "a"]));
    assert_eq!(y(2, "labels-column.npy").unwrap(), ints(&[7, -1]));

    for (rows, name, parts) in [
        (2, "labels-float.npy", &["labels-float.npy", "row 1", "0.5"][..]),
        (2, "labels-wide.npy", &["labels-wide.npy", "[2, 2]", "(n, 1)"]),
        (3, "labels-column.npy", &["x.npy", "expected 3", "got 2"]),
        (1, "objects.npy", &["objects.npy", "Python objects"]),
        (1, "no.npy", &["no.npy"]),
    ] {
        let message = y(rows, name).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{name}: expected '{part}' in: {message}");
        }
    }
}

#[test]
fn arrays_that_are_no_features_are_refused() {
    for (name, part) in [
        ("flat.npy", "[3]"),
        ("complex.npy", "'<c16'"),
        ("structured.npy", "structured"),
        ("objects.npy", "Python objects"),
        ("labels-unicode.npy", "texts"),
    ] {
        let error = read(&at(name), &unlabelled()).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains(name) && message.contains(part), "{message}");
    }
    let message = read(&at("f8.npy"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("has no labels"), "{message}");
    assert!(matches!(read_npy(&at("flat.npy")).unwrap(), NpyArray::Numbers(t) if t.shape == [3]));
}

#[test]
fn a_feature_that_is_not_finite_is_named() {
    let folder = folder();
    let matrix = array![[0.0, 1.0], [2.0, f32::NEG_INFINITY]];
    let path = put(&folder, "x.npy", lvq::data::write::npy_bytes(matrix.view()));
    match read(&path, &unlabelled()) {
        Err(Error::NotFinite { source_name, row: 1, column: 1, value }) => {
            assert_eq!((source_name, value), (path.display().to_string(), f64::NEG_INFINITY));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn archives_of_numpy_are_read() {
    let options = ReadOptions { weights_column: Some("w".into()), ..ReadOptions::default() };
    let dataset = read(&at("stored.npz"), &options).unwrap();
    assert_eq!(f64s(dataset.features)[[1, 2]], 1e300);
    assert_eq!(dataset.labels.unwrap().values(), ints(&[1, 0]));
    assert_eq!(dataset.weights, Some(vec![0.5, 2.0]));

    let dataset = read(&at("deflated.npz"), &ReadOptions::default()).unwrap();
    assert_eq!(f32s(dataset.features)[[1, 2]], 100.0);
    assert_eq!(dataset.labels.unwrap().values(), texts(&["b", "a"]));

    let message = read(&at("other-names.npz"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("no array 'x'") && message.contains("data, target"), "{message}");
    let message = read(&at("deflated.npz"), &options).unwrap_err().to_string();
    assert!(message.contains("no array 'w'") && message.contains("x, y"), "{message}");
}

/// A file of one's own: tensors `x` (2,3) and `y` (2).
fn own_safetensors(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("a.safetensors");
    let x = StoredTensor::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let y = StoredTensor::from_i64(&[2], &[4, 2]).unwrap();
    write_container(&path, &[("x".into(), x), ("y".into(), y)], &json!({})).unwrap();
    path
}

#[test]
fn safetensors_are_read() {
    let folder = folder();
    let path = own_safetensors(&folder);
    let dataset = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(f32s(dataset.features)[[1, 0]], 4.0);
    assert_eq!(dataset.labels.unwrap().codes, [1, 0]);

    let only_x = folder.path().join("b.safetensors");
    let x = StoredTensor::from_f64(&[1, 1], &[1.0]).unwrap();
    write_container(&only_x, &[("x".into(), x)], &json!({})).unwrap();
    assert!(read(&only_x, &unlabelled()).unwrap().labels.is_none());
    let message = read(&only_x, &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("no array 'y'; it holds x"), "{message}");
}

#[test]
fn every_truncation_is_an_error() {
    let folder = folder();
    let safetensors = own_safetensors(&folder);
    for source in
        [at("f8.npy"), at("version-2.npy"), at("stored.npz"), at("deflated.npz"), safetensors]
    {
        let whole = fs::read(&source).unwrap();
        let name = format!("cut.{}", source.extension().unwrap().to_str().unwrap());
        for length in 0..whole.len() {
            let error = read(&put(&folder, &name, &whole[..length]), &unlabelled()).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{source:?} at {length}: {error:?}");
            assert!(error.to_string().contains(&name));
        }
        // One byte too many is not what was written either. (ZIP allows for it.)
        if name != "cut.npz" {
            let longer = [&whole[..], &[0]].concat();
            assert!(read(&put(&folder, &name, longer), &unlabelled()).is_err(), "{name}");
        }
    }
}

#[test]
fn a_damaged_archive_member_is_named() {
    let folder = folder();
    let mut bytes = fs::read(at("stored.npz")).unwrap();
    // Members of this archive are stored as they are: damage the 1e300.
    let value = 1e300f64.to_le_bytes();
    let position = bytes.windows(8).position(|window| window == value).unwrap();
    bytes[position] ^= 1;
    let error = read(&put(&folder, "a.npz", bytes), &unlabelled()).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error:?}");
    assert!(error.to_string().contains("array 'x'"), "{error}");
}

#[test]
fn headers_that_promise_too_much_are_refused_at_once() {
    let folder = folder();
    let header = |text: &str| {
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes
    };
    let cases: [Vec<u8>; 7] = [
        u64::MAX.to_le_bytes().to_vec(),
        [&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(),
        header("[]"),
        header(r#"{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,18446744073709551615]}}"#),
        header(r#"{"x":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#),
        header(r#"{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}"#),
        header(&"[".repeat(100_000)),
    ];
    for bytes in cases {
        let path = put(&folder, "a.safetensors", &bytes);
        assert!(matches!(read(&path, &unlabelled()), Err(Error::Format { .. })));
        assert!(matches!(read_container(&path), Err(Error::Format { .. })));
    }
}

#[test]
fn element_types_that_are_not_supported_are_named() {
    let folder = folder();
    let text = r#"{"x":{"dtype":"F8_E4M3","shape":[1,1],"data_offsets":[0,1]}}"#;
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.push(0);
    let message =
        read(&put(&folder, "a.safetensors", bytes), &unlabelled()).unwrap_err().to_string();
    assert!(message.contains("'x'") && message.contains("F8_E4M3"), "{message}");
}

#[test]
fn model_files_tell_what_is_wrong() {
    let folder = folder();
    for (name, bad) in [
        ("not json", "{"),
        ("not an object", "[1]"),
        ("checksums", r#"{"crc32": 1}"#),
        ("checksum of nothing", r#"{"crc32": {"omega": 1}}"#),
    ] {
        let text = json!({ "__metadata__": { "lvq": bad } }).to_string();
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        let error = read_container(&put(&folder, "m.safetensors", bytes)).unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{name}: {error:?}");
    }
    for path in [folder.path().join("no.safetensors"), folder.path().to_path_buf()] {
        assert!(matches!(read_container(&path), Err(Error::Io { .. })));
        assert!(matches!(tensors_from(&path), Err(Error::Io { .. })));
    }
}

#[test]
fn a_model_that_cannot_be_written_leaves_everything_as_it_was() {
    let folder = folder();
    let path = own_safetensors(&folder);
    let before = fs::read(&path).unwrap();
    // A header that is no object is found out before anything is written.
    assert!(write_container(&path, &[], &json!(1)).is_err());
    // A folder in the place of the file, a folder that is not there, one that takes no files.
    let mut bad = vec![folder.path().to_path_buf(), folder.path().join("no/m.safetensors")];
    if cfg!(target_os = "linux") {
        bad.push("/proc/m.safetensors".into());
    }
    for place in bad {
        let error = write_container(&place, &[], &json!({})).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == place), "{error:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_file_without_permission_is_an_io_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let path = own_safetensors(&folder);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads everything; then there is nothing to test.
    if fs::File::open(&path).is_err() {
        assert!(matches!(read_container(&path), Err(Error::Io { .. })));
        assert!(matches!(read(&path, &unlabelled()), Err(Error::Io { .. })));
    }
}

proptest! {
    #[test]
    fn csv_reads_back_exactly(
        rows in prop::collection::vec(
            (prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO, "[a-z ,\"]{0,5}x"),
            1..20,
        ),
    ) {
        let folder = folder();
        let path = folder.path().join("a.csv");
        let mut file = fs::File::create(&path).unwrap();
        writeln!(file, "a,label").unwrap();
        for (value, label) in &rows {
            writeln!(file, "{value:?},\"{}\"", label.replace('"', "\"\"")).unwrap();
        }
        let dataset = read(&path, &ReadOptions::default()).unwrap();
        let column = f64s(dataset.features).column(0).to_vec();
        prop_assert_eq!(column, rows.iter().map(|row| row.0).collect::<Vec<_>>());
        let labels: Vec<&str> = rows.iter().map(|row| row.1.trim()).collect();
        prop_assert_eq!(dataset.labels.unwrap().values(), texts(&labels));
    }

    /// Any one byte changed: an error or some data set, never a panic.
    #[test]
    fn damage_never_panics(which in 0usize..5, position: prop::sample::Index, byte: u8) {
        let folder = folder();
        let source = match which {
            0 => at("f8-fortran.npy"),
            1 => at("labels-unicode.npy"),
            2 => at("stored.npz"),
            3 => at("deflated.npz"),
            _ => own_safetensors(&folder),
        };
        let mut bytes = fs::read(&source).unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        let name = format!("b.{}", source.extension().unwrap().to_str().unwrap());
        let _ = read(&put(&folder, &name, bytes), &unlabelled());
    }

    /// Any bytes at all as CSV.
    #[test]
    fn any_text_is_read_or_refused(text in "[0-9a,.\"\n\r;-]{0,60}", labelled: bool) {
        let folder = folder();
        let options = ReadOptions { unlabelled: !labelled, ..ReadOptions::default() };
        let _ = read(&put(&folder, "a.csv", text), &options);
    }
}
