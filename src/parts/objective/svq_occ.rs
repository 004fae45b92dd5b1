//! SVQ-OCC: a neural-gas representation of the target class and a classification cost on responsibilities (Staps et al. 2022).
//!
//! ```text
//! E = alpha R + (1 - alpha) C
//! R = sum_i t_i sum_k h_ik D_ik / (N+ + e)      h = exp(-rank/(lambda + e)), N+ = sum t
//! p = response of a prototype to a row            gaussian, student_t or uniform
//! H = sg((theta - D)/(sigma + e))                 soft step at the threshold
//! r = sum_k p_k H_k                               C: contrastive, brier or cross_entropy of r against t
//! ```
//!
//! In single precision `1 - H` and `1 - r` are formed as `Hb = sg(-(theta - D)/(sigma + e))` and `rb = sum p Hb`, never as
//! differences. With these `dr/dD_k = J_k = w_k (H_k - r) - p_k H_k Hb_k/(sigma + e)`, `H_k - r = rb - Hb_k`, where w is the response's derivative over that, and
//! `dr/dtheta_k = p_k H_k Hb_k/(sigma + e)` times what the clamp of theta lets through.
//!
//! Sums over rows are in units of the number of rows: `f_i = omega_i / n` in place of `omega_i`, `e/n` in place of `e`.

use super::EPS;
use crate::error::{Error, Result};
use crate::parts::exp::share;
use crate::parts::real::Real;
use crate::parts::simd;

/// The smallest threshold.
pub const THETA_MIN: f64 = 1e-6;

/// The classification cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// One minus the markedness of the soft confusion matrix: not a mean over rows.
    Contrastive,
    /// Mean squared error.
    Brier,
    /// Mean cross-entropy.
    CrossEntropy,
}

/// How prototypes respond to a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Response {
    /// `softmax(-gamma D)`
    Gaussian {
        /// Inverse temperature.
        gamma: f64,
    },
    /// `(1 + D/nu)^(-(nu + 1)/2)`, normalised.
    StudentT {
        /// Degrees of freedom.
        nu: f64,
    },
    /// All the same.
    Uniform,
}

impl Cost {
    /// The names.
    pub const NAMES: [&str; 3] = ["contrastive", "brier", "cross_entropy"];

    /// By name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "contrastive" => Ok(Cost::Contrastive),
            "brier" => Ok(Cost::Brier),
            "cross_entropy" => Ok(Cost::CrossEntropy),
            _ => Err(Error::unknown("cost_function", name, &Self::NAMES)),
        }
    }
}

/// What a row says: `r`, `rb = 1 - r`, and for each prototype `dr/dD` and `dr/dtheta`.
pub struct Detection<'a, T> {
    /// Responsibility of the target class.
    pub r: T,
    /// Its complement.
    pub rb: T,
    /// `dr/dD_k`
    pub by_distance: &'a [T],
    /// `dr/dtheta_k`
    pub by_theta: &'a [T],
}

/// Working memory of [`detect`].
#[derive(Clone, Debug, Default)]
pub struct Buffers<T> {
    p: Vec<T>,
    w: Vec<T>,
    h: Vec<T>,
    by_distance: Vec<T>,
    by_theta: Vec<T>,
}

/// `r` of one row of distances. Rows that are far from all prototypes are told apart by it, however little it is.
pub fn responsibility<T: Real>(
    d: &[T],
    thetas: &[T],
    response: Response,
    sigma: T,
    buffers: &mut Buffers<T>,
) -> T {
    responsible(d, thetas, response, (sigma, T::LEAST), buffers).0
}

/// `r` and `1 - r`, of steps whose exponentials are 0 up to `faint`; leaves p, w, H, and Hb in `by_distance`.
fn responsible<T: Real>(
    d: &[T],
    thetas: &[T],
    response: Response,
    (sigma, faint): (T, T),
    buffers: &mut Buffers<T>,
) -> (T, T) {
    let Buffers { p, w, h, by_distance, by_theta } = buffers;
    for buffer in [&mut *p, &mut *w, &mut *h, &mut *by_distance, &mut *by_theta] {
        buffer.resize(d.len(), T::zero());
    }
    let rest = respond(d, response, p, w);
    steps(d, thetas, [sigma + T::of(EPS), T::of(THETA_MIN), faint], h, by_distance);
    let (r, rb) = responsibilities(p, h, by_distance);
    (r, rb + rest)
}

/// Responds to one row of distances. `sigma`: width of the soft step.
pub fn detect<'a, T: Real>(
    d: &[T],
    thetas: &[T],
    response: Response,
    sigma: T,
    buffers: &'a mut Buffers<T>,
) -> Detection<'a, T> {
    let (r, rb) = responsible(d, thetas, response, (sigma, T::FAINT), buffers);
    let Buffers { p, w, h, by_distance, by_theta } = buffers;
    let (width, floor) = (sigma + T::of(EPS), T::of(THETA_MIN));
    // What is so far below the clip has no slope: it would only make subnormal numbers.
    let clear = |r: T| if r < T::of(EPS) * T::epsilon() { T::zero() } else { r };
    slopes(p, w, h, thetas, [width, floor, clear(r), clear(rb)], by_distance, by_theta);
    Detection { r, rb, by_distance, by_theta }
}

crate::vectorized! {
    /// The soft steps H and Hb; `numbers`: width, least threshold, and the exponent up to which an exponential is 0.
    fn steps<T>(d: &[T], thetas: &[T], numbers: [T; 3], h: &mut [T], hb: &mut [T]) {
        let [width, floor, faint] = numbers;
        for (((d, theta), h), hb) in d.iter().zip(thetas).zip(h).zip(hb) {
            let theta = if *theta > floor { *theta } else { floor };
            let z = (theta - *d) / width;
            let e = (-simd::absolute(z)).exponential_from(faint);
            let (small, large) = (e / (T::one() + e), T::one() / (T::one() + e));
            (*h, *hb) = if z >= T::zero() { (large, small) } else { (small, large) };
        }
    }

    /// `sum p H` and `sum p Hb`.
    fn responsibilities<T>(p: &[T], h: &[T], hb: &[T]) -> (T, T) {
        (simd::dot(p, h), simd::dot(p, hb))
    }

    /// From Hb in `by_distance` to `dr/dD`, and `dr/dtheta`; `numbers`: width, least threshold, r and 1 - r.
    fn slopes<T>(p: &[T], w: &[T], h: &[T], thetas: &[T], numbers: [T; 4], by_distance: &mut [T], by_theta: &mut [T]) {
        let [width, floor, r, rb] = numbers;
        let (half, from_h) = (T::of(0.5), r < rb);
        for (((((p, w), h), theta), by_distance), by_theta) in
            p.iter().zip(w).zip(h).zip(thetas).zip(by_distance).zip(by_theta)
        {
            let hb = *by_distance;
            let own = *p * *h * hb / width;
            // H - r = rb - Hb, from the two numbers that are small.
            let above = if from_h { *h - r } else { rb - hb };
            *by_distance = *w * above - own;
            let at = if *theta == floor { half } else { T::zero() };
            *by_theta = own * if *theta > floor { T::one() } else { at };
        }
    }

    /// `softmax(-gamma D)` into p, `-gamma p` into w.
    fn gaussian<T>(d: &[T], gamma: T, p: &mut [T], w: &mut [T]) {
        let least = simd::least(d);
        for (p, d) in p.iter_mut().zip(d) {
            *p = share(gamma * (least - *d));
        }
        let sum = simd::total(p);
        for (p, w) in p.iter_mut().zip(w) {
            *p /= sum;
            *w = -gamma * *p;
        }
    }
}

/// The response p and the factor w of `dr/dD`. Returns what is missing of `sum p = 1` (Student's has `e` in the denominator): it
/// belongs to `1 - r`.
fn respond<T: Real>(d: &[T], response: Response, p: &mut [T], w: &mut [T]) -> T {
    match response {
        Response::Gaussian { gamma } => {
            gaussian(d, T::of(gamma), p, w);
            T::zero()
        }
        Response::StudentT { nu } => {
            let (nu, half) = (T::of(nu), T::of((nu + 1.0) / 2.0));
            let mut sum = T::of(EPS);
            for (p, d) in p.iter_mut().zip(d) {
                *p = num_traits::Float::powf(T::one() + *d / nu, -half);
                sum += *p;
            }
            for ((p, w), d) in p.iter_mut().zip(w).zip(d) {
                *p /= sum;
                *w = -half * *p / (nu + *d);
            }
            T::of(EPS) / sum
        }
        Response::Uniform => {
            p.fill(T::one() / T::of(d.len() as f64));
            w.fill(T::zero());
            T::zero()
        }
    }
}

/// Cost of one row and its derivative with respect to r, of the costs that are means over rows. Clipped responsibilities pass nothing
/// (half at the bound).
pub fn row_cost<T: Real>(cost: Cost, r: T, rb: T, target: bool) -> (T, T) {
    let floor = T::of(EPS);
    let clipped = |v: T| num_traits::Float::max(v, floor);
    let passes = pass(r, rb);
    let (right, sign) = if target { (r, -T::one()) } else { (rb, T::one()) };
    let wrong = if target { rb } else { r };
    match cost {
        Cost::CrossEntropy => {
            (-num_traits::Float::ln(clipped(right)), sign * passes / clipped(right))
        }
        _ => {
            let e = clipped(wrong);
            (e * e, sign * passes * T::of(2.0) * e)
        }
    }
}

/// What the clip of r to `[eps, 1 - eps]` lets through.
pub fn pass<T: Real>(r: T, rb: T) -> T {
    let floor = T::of(EPS);
    if r < floor || rb < floor {
        T::zero()
    } else if r == floor || rb == floor {
        T::of(0.5)
    } else {
        T::one()
    }
}

/// The soft confusion matrix, in units of the number of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Confusion {
    /// `sum f t r`
    pub true_positive: f64,
    /// `sum f t (1 - r)`
    pub false_negative: f64,
    /// `sum f (1 - t) r`
    pub false_positive: f64,
    /// `sum f (1 - t)(1 - r)`
    pub true_negative: f64,
}

impl Confusion {
    /// Adds a row of weight f.
    pub fn add(&mut self, f: f64, r: f64, rb: f64, target: bool) {
        let (r, rb) = (r.max(EPS), rb.max(EPS));
        if target {
            self.true_positive += f * r;
            self.false_negative += f * rb;
        } else {
            self.false_positive += f * r;
            self.true_negative += f * rb;
        }
    }

    /// Adds other rows.
    pub fn merge(&mut self, o: &Confusion) {
        self.true_positive += o.true_positive;
        self.false_negative += o.false_negative;
        self.false_positive += o.false_positive;
        self.true_negative += o.true_negative;
    }

    /// The contrastive cost of `n` rows, and its derivative with respect to `f r` of a target row and of any other.
    ///
    /// `C = 1 - (TP TN - FP FN)/(A B)`, `A = TP + FP + e`, `B = TN + FN + e`; with `P = TP + FN`, `N = TN + FP` the numerator is
    /// `m = N TP - P FP`; `kap = m (A - B)/(A B)^2`; targets `-(N/(A B) + kap)`, others `P/(A B) - kap`.
    pub fn contrastive(&self, n: usize) -> (f64, f64, f64) {
        let e = EPS / n as f64;
        let (a, b) = (
            self.true_positive + self.false_positive + e,
            self.true_negative + self.false_negative + e,
        );
        let (p, q) =
            (self.true_positive + self.false_negative, self.true_negative + self.false_positive);
        let m = self.true_positive * self.true_negative - self.false_positive * self.false_negative;
        let ab = a * b;
        let kap = m * (a - b) / ab / ab;
        (1.0 - m / ab, -(q / ab + kap), p / ab - kap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THETAS: [f64; 3] = [0.8, 1.5, 1e-6];
    const D: [f64; 3] = [0.5, 1.7, 0.9];

    fn responses() -> [Response; 3] {
        [Response::Gaussian { gamma: 1.3 }, Response::StudentT { nu: 2.0 }, Response::Uniform]
    }

    #[test]
    fn slopes_by_differences() {
        for response in responses() {
            let r = |d: &[f64], t: &[f64]| detect(d, t, response, 0.4, &mut Buffers::default()).r;
            let mut buffers = Buffers::default();
            let at = detect(&D, &THETAS, response, 0.4, &mut buffers);
            assert!((at.r + at.rb - 1.0).abs() < 1e-9);
            for k in 0..3 {
                let moved = |v: &[f64; 3], h: f64| {
                    let mut v = *v;
                    v[k] += h;
                    v
                };
                let h = 1e-7;
                let dd = (r(&moved(&D, h), &THETAS) - r(&moved(&D, -h), &THETAS)) / (2.0 * h);
                assert!((at.by_distance[k] - dd).abs() < 1e-7, "{response:?}");
                let dt = (r(&D, &moved(&THETAS, h)) - r(&D, &moved(&THETAS, -h))) / (2.0 * h);
                assert!((at.by_theta[k] - dt).abs() < 1e-7, "{response:?} {k}");
            }
        }
    }

    #[test]
    fn costs_by_differences() {
        for cost in [Cost::Brier, Cost::CrossEntropy] {
            for target in [true, false] {
                let r = 0.3;
                let (_, slope) = row_cost(cost, r, 1.0 - r, target);
                let at = |r: f64| row_cost(cost, r, 1.0 - r, target).0;
                assert!((slope - (at(r + 1e-6) - at(r - 1e-6)) / 2e-6).abs() < 1e-8);
            }
        }
        let rows = [(0.8, true), (0.3, true), (0.2, false), (0.6, false), (0.1, false)];
        let value = |rows: &[(f64, bool)]| {
            let mut c = Confusion::default();
            rows.iter().for_each(|(r, t)| c.add(0.2, *r, 1.0 - r, *t));
            c.contrastive(5)
        };
        let (_, by_target, by_other) = value(&rows);
        for i in 0..5 {
            let moved = |h: f64| {
                let mut rows = rows;
                rows[i].0 += h;
                value(&rows).0
            };
            let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let expected = 0.2 * if rows[i].1 { by_target } else { by_other };
            assert!((slope - expected).abs() < 1e-8);
        }
    }

    #[test]
    fn far_rows_are_told_apart() {
        let r = |d: f32| {
            let d = [d, d + 1.0];
            responsibility(&d, &[1.0; 2], Response::Uniform, 1.0, &mut Buffers::default())
        };
        assert!(r(60.0) > r(70.0) && r(70.0) > 0.0);
    }

    #[test]
    fn saturated_responses_are_finite_in_single_precision() {
        for response in responses() {
            for d in [[0.0f32; 3], [1e6; 3], [1e30; 3]] {
                let mut buffers = Buffers::default();
                let at = detect(&d, &[1.0, 2.0, 0.0], response, 0.01, &mut buffers);
                let (r, rb) = (at.r, at.rb);
                assert!(at.by_distance.iter().chain(at.by_theta).all(|v| v.is_finite()));
                for cost in [Cost::Brier, Cost::CrossEntropy] {
                    for target in [true, false] {
                        let (l, b) = row_cost(cost, r, rb, target);
                        assert!(l.is_finite() && b.is_finite());
                    }
                }
            }
        }
    }
}
