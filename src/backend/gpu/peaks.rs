//! A GPU's limits, measured in the run that is compared with them.

use super::{Driver, Launch};
use crate::backend::Peaks;
use crate::error::Result;
use std::time::Instant;

/// Workgroups that fill any device, and invocations of one (`shaders/peaks.comp`, `kernels/tensor_peaks.cu`).
const GROUPS: u32 = 4096;
const INVOCATIONS: f64 = 256.0;

/// Seconds beside which a launch is nothing.
const LONG: f64 = 4e-3;

/// Words that a workgroup of `peaks.copy` copies at a time.
const COPIED: usize = 2048;

/// Words that are copied at most: more than any cache holds.
const WORDS: usize = 1 << 28;

/// Rates of arithmetic and of a copy: the best of a few runs each.
pub(super) fn peaks<D: Driver>(driver: &D) -> Result<Peaks> {
    let to = driver.buffer(1)?;
    // Operations of a round of one workgroup.
    let rate = |kernel, operations: f64| -> Result<f64> {
        let launch = |rounds: u32| {
            let (constants, buffers) = (Vec::new(), vec![to.clone()]);
            driver.record(&[Launch {
                kernel,
                constants,
                buffers,
                words: vec![rounds],
                groups: [GROUPS, 1, 1],
            }])
        };
        // As many rounds as take long beside a launch.
        let mut rounds = 1;
        loop {
            let recorded = launch(rounds)?;
            let seconds = best(driver, &recorded)?;
            if seconds > LONG || rounds >= 1 << 14 {
                return Ok(operations * f64::from(rounds) * f64::from(GROUPS) / seconds);
            }
            rounds *= 4;
        }
    };
    let f32 = rate("peaks.f32", 2.0 * 64.0 * INVOCATIONS)?;
    // A warp's product of 16 x 8 x k terms, sixteen a round.
    let product = |terms: f64| 16.0 * 2.0 * 16.0 * 8.0 * terms * INVOCATIONS / 32.0;
    let tensor = match driver.limits().multiprocessors {
        0 => None,
        _ => Some([
            rate("tensor_peaks.tf32", product(8.0))? / 3.0,
            rate("tensor_peaks.bf16", product(16.0))?,
            rate("tensor_peaks.f16", product(16.0))?,
        ]),
    };
    let limits = driver.limits();
    let most = WORDS.min((limits.memory_bytes / 32).min(limits.buffer_bytes / 4) as usize);
    // As many words as take long beside a launch, up to more than any cache holds.
    let mut words = 1 << 22;
    let bandwidth = loop {
        words = words.min(most) / COPIED * COPIED;
        let copy = driver.record(&[Launch {
            kernel: "peaks.copy",
            constants: Vec::new(),
            buffers: vec![driver.buffer(words)?, driver.buffer(words)?],
            words: vec![words as u32],
            groups: [limits.groups.min((words / COPIED) as u32), 1, 1],
        }])?;
        let seconds = best(driver, &copy)?;
        if seconds > LONG || 2 * words > most {
            break 8.0 * words as f64 / seconds;
        }
        words *= 4;
    };
    Ok(Peaks { f32, tensor, bandwidth })
}

/// Seconds of the fastest of a few runs, after one that is not counted; of two where they take long.
fn best<D: Driver>(driver: &D, recorded: &D::Recorded) -> Result<f64> {
    driver.run(recorded)?;
    let mut least = f64::INFINITY;
    for run in 0..5 {
        if run > 1 && least > 4.0 * LONG {
            break;
        }
        let start = Instant::now();
        driver.run(recorded)?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}
