//! What a person sees while training runs: a bar on a terminal, plain lines elsewhere, always on standard error.

use crate::train::{Flow, Iteration, Observer};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows the iterations of one run.
pub struct Progress {
    quiet: bool,
    started: bool,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

/// Time from one plain line to the next, where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

impl Progress {
    pub fn new(quiet: bool) -> Self {
        Progress { quiet, started: false, bar: None, last_line: Instant::now() }
    }

    /// Whether the work has begun.
    pub fn started(&self) -> bool {
        self.started
    }
}

impl Observer for Progress {
    fn on_start(&mut self, rows: usize, features: usize, max_iter: usize) {
        self.started = true;
        self.last_line = Instant::now();
        if self.quiet {
            return;
        }
        if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new(max_iter as u64);
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {per_sec}  {eta} left")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            self.bar = Some(bar);
        } else {
            eprintln!(
                "training on {rows} rows x {features} features, at most {max_iter} iterations"
            );
        }
    }

    fn on_iteration(&mut self, it: &Iteration<'_>) -> Flow {
        let mut text = format!("loss {:.6}", it.loss);
        if let Some(v) = it.validation_loss {
            text.push_str(&format!("  validation {v:.6}"));
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(it.iteration as u64 + 1);
                bar.set_message(text);
            }
            None if !self.quiet && self.last_line.elapsed() >= LINES => {
                let rate = (it.iteration + 1) as f64 / it.seconds.max(1e-9);
                let left = it.max_iter.saturating_sub(it.iteration + 1) as f64 / rate;
                let n = it.iteration + 1;
                eprintln!("iteration {n}/{}  {text}  {rate:.1}/s  {left:.0} s left", it.max_iter);
                self.last_line = Instant::now();
            }
            None => {}
        }
        Flow::Continue
    }

    fn on_end(&mut self, _: &crate::model::Fitted) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
