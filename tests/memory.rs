//! A step of a winner-takes-all model holds the data and a few blocks, never n x k distances.

use lvq::model::start::Given;
use lvq::{Cpu, Features, Labels, Model, Training};
use ndarray::Array2;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

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

#[test]
fn no_step_holds_all_distances() {
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
            assert!(more < 12 << 20, "{name}, {threads} threads: {more} bytes beside the data");
        }
    }
}
