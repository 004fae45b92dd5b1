//! A step of a winner-takes-all model holds the data and a few blocks, never n x k distances; data that is mapped it does not hold.

use lvq::data::write::npy_bytes_of_integers;
use lvq::data::{ReadOptions, read};
use lvq::model::start::Given;
use lvq::{Cpu, Features, Labels, Model, Training};
use ndarray::Array2;
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Counts what is allocated now and at most.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator unchanged; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Held by the test that counts.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn no_step_holds_all_distances() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (n, d, classes) = (60_000, 16, 10);
    let x = Array2::from_shape_fn((n, d), |(i, a)| ((i * 31 + a * 17) % 101) as f32 * 0.01);
    let y: Vec<i64> = (0..n as i64).map(|i| i % classes).collect();
    let data = lvq::Dataset::new(Features::from(x), Some(Labels::new(&y).unwrap())).unwrap();
    // 500 prototypes: n x k distances in f32 are 120 MB.
    for name in ["GLVQ", "GRLVQ", "GMLVQ", "GLVQ21", "CELVQ", "RSLVQ"] {
        let model = Model::new(name).unwrap().set("n_prototypes_per_class", 50).unwrap();
        let training = Training { max_iter: 2, epsilon: 0.0, ..Training::default() };
        for threads in [1, 2] {
            let cpu = Cpu::with_threads(Some(threads)).unwrap();
            // The threads of the pool before are gone, and with them what they held.
            std::thread::sleep(std::time::Duration::from_millis(50));
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            training.gradient(&model, &data, &Given::default(), &cpu).unwrap();
            let more = PEAK.load(Relaxed) - before;
            println!("{name}, {threads} threads: {} KiB beside the data", more >> 10);
            assert!(more > 100 << 10, "{name}, {threads} threads: a block at least, got {more}");
            assert!(more < 16 << 20, "{name}, {threads} threads: {more} bytes beside the data");
        }
    }
}

/// From the file to the accuracy at the end; only lists of one value a row grow with the rows.
#[test]
fn training_does_not_hold_mapped_features() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (n, d, classes) = (400_000, 64, 4);
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&x).unwrap());
    let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {d})}}");
    file.write_all(b"\x93NUMPY\x01\x00\x76\x00").unwrap();
    file.write_all(format!("{text:118}").as_bytes()).unwrap();
    for i in 0..n {
        for a in 0..d {
            let value = ((i * 31 + a * 17) % 101) as f32 * 0.01 + ((i + a) % classes) as f32;
            file.write_all(&value.to_le_bytes()).unwrap();
        }
    }
    file.into_inner().unwrap();
    let codes: Vec<i64> = (0..n).map(|i| (i % classes) as i64).collect();
    std::fs::write(&y, npy_bytes_of_integers(&codes)).unwrap();

    let cpu = Cpu::with_threads(Some(2)).unwrap();
    let options = ReadOptions { labels: Some(y), mmap: true, ..ReadOptions::default() };
    // Starts from chosen rows, from class means, from principal axes, from distances of all target rows.
    for (name, key, value) in [
        ("GLVQ", "prototypes_initializer", "stratified_random"),
        ("RSLVQ", "prototypes_initializer", "class_mean"),
        ("GMLVQ", "omega_initializer", "pca"),
        ("OCGLVQ", "prototypes_initializer", "stratified_random"),
    ] {
        let model = Model::new(name).unwrap().set(key, value).unwrap();
        for batch_size in [None, Some(20_000)] {
            let training =
                Training { max_iter: 3, epsilon: 0.0, batch_size, ..Training::default() };
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            let data = read(&x, &options).unwrap();
            let fitted = training.fit(&model, &data, &cpu).unwrap();
            let labels = fitted.on(&cpu).unwrap().predict(&data.features).unwrap();
            let more = PEAK.load(Relaxed) - before;
            println!("{name}, batches of {batch_size:?}: {} KiB beside the file", more >> 10);
            assert_eq!(labels.len(), n);
            assert!(more > 4 * n, "{name}: the codes of the rows at least, got {more}");
            assert!(more < (12 << 20) + 48 * n, "{name}, {batch_size:?}: {more} bytes");
        }
    }
}
