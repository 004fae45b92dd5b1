//! The exponential kernel's distance with a learned matrix, in the logarithm (Villmann, Haase & Kaden 2015).
//!
//! With `Y = X O`, `V = W O` (`O` = omega_hat, `d x l`), `a = |y|^2`, `b = |v|^2`, `C = y.v`:
//! `D = e^a + e^b - 2 e^C`. It leaves the range of numbers soon, so everything here is about `ell = ln D`:
//!
//! ```text
//! m = max(a, b)   t = exp(-|a - b|/2)   q = |y - v|^2 = a + b - 2 C
//! br = expm1(-|a - b|/2)^2 - 2 t expm1(-q/2)      in [0, 2], no cancellation
//! ell = m + ln br                                  -inf where x = w
//! ```
//!
//! Backward, from `Gam = dL/dell = D dL/dD`. `dD/dy = 2 e^a y - 2 e^C v`, divided by D:
//!
//! ```text
//! dell/dy = (2/br) ( e^(C-m) (y - v) - e^(a-m) expm1(C - a) y )        C - a = (b - a - q)/2
//! dell/dv = (2/br) ( e^(C-m) (v - y) - e^(b-m) expm1(C - b) v )
//! dO = X^T dY + W^T dV      dW = dV O^T
//! ```
//!
//! Not translation invariant: rows and prototypes are taken as they are. Pairs with `Gam = 0` (all with `x = w`) contribute nothing.

use crate::parts::exp::{exp, exp_m1, ln};
use crate::parts::linalg::{Mat, gemm};
use crate::parts::metric::block::{pair_distances, side_by_side, sums_of_terms};
use crate::parts::metric::{Bent, Inputs, Metric, Pair, Scratch, Squares, Sums};
use crate::parts::real::Real;
use crate::parts::simd::{LANES, absolute, dot, squared_difference};

/// See the [module](self).
pub struct Exponential<T: Real> {
    d: usize,
    l: usize,
    w: Vec<T>,
    omega: Vec<T>,
    v: Vec<T>,
    /// The same, [`side_by_side`].
    v_t: Vec<T>,
    /// `|v|^2`
    b: Vec<T>,
    learn_prototypes: bool,
    learn_own: bool,
}

/// `ln D` and `br` from a, b and q.
#[inline(always)]
fn log_distance<T: Real>(a: T, b: T, q: T) -> (T, T) {
    let half = T::of(0.5);
    let gap = -absolute(a - b) * half;
    let e = exp_m1(gap);
    let br = e * e - T::of(2.0) * (T::one() + e) * exp_m1(-q * half);
    let m = if a < b { b } else { a };
    (m + ln(br), br)
}

/// The part of `a + b` below which the expansion of q has lost digits.
const LOST: f64 = 0.01;

/// Of the exponents of factors, so much of [`FAINT`](crate::parts::exp::Exponential::FAINT): they are multiplied by slopes that are shares as well.
const WEAKER: f64 = 0.7;

/// Pairs whose factors are formed side by side.
const PAIRS: usize = 64;

crate::vectorized! {
    /// `a = |y|^2` of each row, and from `-2 y.v` in `ell` the logarithms of the distances to all prototypes.
    wide fn log_distances<T>(y: &[T], l: usize, v_t: &[T], b: &[T], norms: &mut [T], ell: &mut [T]) {
        for ((y, norm), ell) in y.chunks_exact(l).zip(norms).zip(ell.chunks_exact_mut(b.len())) {
            let a = dot(y, y);
            let mut lost = 0;
            for (q, b) in ell.iter_mut().zip(b) {
                *q += a + *b;
                lost |= u32::from(*q < T::of(LOST) * (a + *b));
            }
            // The expansion of a small square has lost digits.
            if lost != 0 {
                sums_of_terms(y, v_t, |e| e * e, ell);
            }
            for (ell, b) in ell.iter_mut().zip(b) {
                *ell = log_distance(a, *b, *ell).0;
            }
            *norm = a;
        }
    }

    /// `a = |y|^2` of each row.
    fn row_norms<T>(y: &[T], l: usize, norms: &mut [T]) {
        for (y, norm) in y.chunks_exact(l).zip(norms) {
            *norm = dot(y, y);
        }
    }

    /// `ell` of one pair.
    fn pair<T>(y: &[T], v: &[T], a: T, b: T) -> T {
        log_distance(a, b, squared_difference(y, v)).0
    }

    /// `ell` of pairs, in place of their q.
    wide fn pairs_of<T>(a: &[T], b: &[T], q: &mut [T]) {
        for ((q, a), b) in q.iter_mut().zip(a).zip(b) {
            *q = log_distance(*a, *b, *q).0;
        }
    }

    /// From q and `Gam` of pairs the factors of `y - v` (in place of q), of `y` in `dY` (in place of `Gam`) and of `v` in `dV` (in place of b).
    wide fn factors<T>(a: &[T], b: &mut [T], q: &mut [T], gamma: &mut [T]) {
        let (half, zero) = (T::of(0.5), T::zero());
        let faint = T::FAINT * T::of(WEAKER);
        // What is less would be subnormal beside e^faint.
        let least = T::min_positive_value() * exp(-faint);
        for (((a, b), q), gamma) in a.iter().zip(b).zip(q).zip(gamma) {
            let br = log_distance(*a, *b, *q).1;
            let m = if *a < *b { *b } else { *a };
            let e_c = ((*a + *b - *q) * half - m).exponential_from(faint);
            let on_y = on(*a, (*b - *a - *q) * half, m, e_c, faint);
            let on_v = on(*b, (*a - *b - *q) * half, m, e_c, faint);
            let factor = T::of(2.0) * *gamma / br;
            let counts = (br > zero) & (absolute(*gamma) > least);
            *q = if counts { factor * e_c } else { zero };
            *gamma = if counts { factor * on_y } else { zero };
            *b = if counts { factor * on_v } else { zero };
        }
    }

    /// Adds the shares of pairs to `dY` of their rows and `dV` of their prototypes. `factors`: of `y - v`, `y` and `v`.
    fn add<T>(yv: (&[T], &[T]), l: usize, pairs: &[Pair<T>], factors: [&[T]; 3], dy: &mut [T], dv: &mut [T]) {
        let (y, v) = yv;
        let [on_both, on_y, on_v] = factors;
        for (k, pair) in pairs.iter().enumerate() {
            let (i, j) = (pair.row as usize * l, pair.prototype as usize * l);
            let f = [on_both[k], on_y[k], on_v[k]];
            add_one(&y[i..i + l], &v[j..j + l], f, &mut dy[i..i + l], &mut dv[j..j + l]);
        }
    }
}

crate::vectorized! {
    /// The same of both winners of each row, of different classes; `dY` is overwritten, from the first pair's row on.
    wide fn add_winners<T>(yv: (&[T], &[T]), l: usize, pairs: &[Pair<T>], factors: [&[T]; 3], dy: &mut [T], dv: &mut [T]) {
        let (y, v) = yv;
        let [on_both, on_y, on_v] = factors;
        for (k, pair) in (0..).step_by(2).zip(pairs.as_chunks::<2>().0) {
            let i = pair[0].row as usize * l;
            let [j, other] = [0, 1].map(|side| pair[side].prototype as usize * l);
            let (y, dy) = (&y[i..i + l], &mut dy[i..i + l]);
            let f = [on_both[k], on_both[k + 1], on_y[k] + on_y[k + 1], on_v[k], on_v[k + 1]];
            if let Ok([dv, dv_other]) = dv.get_disjoint_mut([j..j + l, other..other + l]) {
                add_two(y, [&v[j..j + l], &v[other..other + l]], f, dy, [dv, dv_other]);
            }
        }
    }
}

/// [`add_one`] for two prototypes; to be called inside a vectorized function. `f`: of both `y - v`, of y, and of both v.
#[inline(always)]
fn add_two<T: Real>(y: &[T], v: [&[T]; 2], f: [T; 5], dy: &mut [T], dv: [&mut [T]; 2]) {
    let [v, u] = v;
    let [dv, du] = dv;
    let values = |y: T, v: T, u: T, dv: T, du: T| {
        let (e, h) = (f[0] * (y - v), f[1] * (y - u));
        (e + h + f[2] * y, dv + (f[3] * v - e), du + (f[4] * u - h))
    };
    let ((y, y_rest), (dy, dy_rest)) = (y.as_chunks::<LANES>(), dy.as_chunks_mut::<LANES>());
    let ((v, v_rest), (u, u_rest)) = (v.as_chunks::<LANES>(), u.as_chunks::<LANES>());
    let ((dv, dv_rest), (du, du_rest)) = (dv.as_chunks_mut::<LANES>(), du.as_chunks_mut::<LANES>());
    for ((((y, v), u), dy), (dv, du)) in y.iter().zip(v).zip(u).zip(dy).zip(dv.iter_mut().zip(du)) {
        // Copies: the compiler need not ask whether the slices overlap.
        let (mut sum_y, mut sum_v, mut sum_u) = ([T::zero(); LANES], *dv, *du);
        for l in 0..LANES {
            (sum_y[l], sum_v[l], sum_u[l]) = values(y[l], v[l], u[l], sum_v[l], sum_u[l]);
        }
        (*dy, *dv, *du) = (sum_y, sum_v, sum_u);
    }
    let rest = y_rest.iter().zip(v_rest).zip(u_rest).zip(dy_rest);
    for ((((y, v), u), dy), (dv, du)) in rest.zip(dv_rest.iter_mut().zip(du_rest)) {
        (*dy, *dv, *du) = values(*y, *v, *u, *dv, *du);
    }
}

/// `dy += f (y - v) + f_y y`, `dv += f_v v - f (y - v)`; to be called inside a vectorized function.
#[inline(always)]
fn add_one<T: Real>(y: &[T], v: &[T], [f, f_y, f_v]: [T; 3], dy: &mut [T], dv: &mut [T]) {
    let ((y, y_rest), (v, v_rest)) = (y.as_chunks::<LANES>(), v.as_chunks::<LANES>());
    let ((dy, dy_rest), (dv, dv_rest)) = (dy.as_chunks_mut::<LANES>(), dv.as_chunks_mut::<LANES>());
    for (((y, v), dy), dv) in y.iter().zip(v).zip(dy).zip(dv) {
        // Copies: the compiler need not ask whether the slices overlap.
        let (mut sum_y, mut sum_v) = (*dy, *dv);
        for l in 0..LANES {
            let e = f * (y[l] - v[l]);
            sum_y[l] += e + f_y * y[l];
            sum_v[l] += f_v * v[l] - e;
        }
        (*dy, *dv) = (sum_y, sum_v);
    }
    for (((y, v), dy), dv) in y_rest.iter().zip(v_rest).zip(dy_rest).zip(dv_rest) {
        let e = f * (*y - *v);
        *dy += e + f_y * *y;
        *dv += f_v * *v - e;
    }
}

/// `e^(s-m) - e^(C-m)` from `C - s`: without cancellation near 0, and without `0 inf` far above.
#[inline(always)]
fn on<T: Real>(s: T, above: T, m: T, e_c: T, faint: T) -> T {
    let e = (s - m).exponential_from(faint);
    if above > T::one() { e - e_c } else { -e * exp_m1(above) }
}

impl<T: Real> Exponential<T> {
    /// `inputs.own` holds `d x l` values.
    pub fn new(inputs: Inputs<'_, T>, l: usize) -> Self {
        let d = inputs.d;
        let p = inputs.prototypes.len() / d;
        let mut v = vec![T::zero(); p * l];
        let omega = Mat::new(inputs.own, d, l);
        gemm(&mut v, false, T::one(), Mat::new(inputs.prototypes, p, d), omega);
        inputs.operand.round(&mut v);
        let b = v.chunks_exact(l).map(|v| v.iter().map(|v| *v * *v).sum()).collect();
        let v_t = side_by_side(&v, l);
        Exponential {
            d,
            l,
            w: inputs.prototypes.to_vec(),
            omega: inputs.own.to_vec(),
            v,
            v_t,
            b,
            learn_prototypes: inputs.learn_prototypes,
            learn_own: inputs.learn_own,
        }
    }

    /// Keeps `Y`, and makes room for its norms.
    fn keep(&self, x: &[T], scratch: &mut Scratch<T>) {
        let n = x.len() / self.d;
        scratch.more.clear();
        scratch.order.clear();
        scratch.kept.resize(n * self.l, T::zero());
        let omega = Mat::new(&self.omega, self.d, self.l);
        gemm(&mut scratch.kept, false, T::one(), Mat::new(x, n, self.d), omega);
        scratch.norms.resize(n, T::zero());
    }

    /// Adds `X^T dY` if the matrix learns.
    fn close_block(&self, x: &[T], dy: &[T], sums: &mut Sums<T>) {
        if let [_, domega] = &mut sums[..] {
            let b = x.len() / self.d;
            let dy = Mat::new(dy, b, self.l);
            gemm(domega, true, T::one(), Mat::new(x, b, self.d).t(), dy);
        }
    }
}

impl<T: Real> Metric<T> for Exponential<T> {
    /// `ell`; keeps `Y` and `a`.
    fn forward(&self, x: &[T], ell: &mut [T], scratch: &mut Scratch<T>) {
        let (n, l, p) = (x.len() / self.d, self.l, self.b.len());
        self.keep(x, scratch);
        let y = &scratch.kept[..n * l];
        gemm(ell, false, T::of(-2.0), Mat::new(y, n, l), Mat::new(&self.v, p, l).t());
        log_distances(y, l, &self.v_t, &self.b, &mut scratch.norms, ell);
    }

    fn squares(&self) -> Option<Squares<'_, T>> {
        Some(Squares { w: &self.v, lam: None, bent: Bent::Exponential })
    }

    fn project_block(&self, x: &[T], scratch: &mut Scratch<T>) -> Option<usize> {
        self.keep(x, scratch);
        row_norms(&scratch.kept, self.l, &mut scratch.norms);
        Some(self.l)
    }

    fn keys_of_winners(&self, winners: &[[u32; 2]], scratch: &mut Scratch<T>, squares: &mut [T]) {
        // The backward will want them.
        scratch.more.extend_from_slice(squares);
        scratch.order.extend(winners.as_flattened());
        let (mut a, mut b) = ([T::zero(); PAIRS], [T::zero(); PAIRS]);
        let all = winners.chunks(PAIRS / 2).zip(scratch.norms.chunks(PAIRS / 2));
        for ((winners, norms), q) in all.zip(squares.chunks_mut(PAIRS)) {
            for (k, j) in winners.as_flattened().iter().enumerate() {
                (a[k], b[k]) = (norms[k / 2], self.b[*j as usize]);
            }
            pairs_of(&a, &b, q);
        }
    }

    fn exact(&self, _: &[T], row: usize, prototype: usize, scratch: &mut Scratch<T>) -> T {
        let l = self.l;
        let (y, v) = (&scratch.kept[row * l..][..l], &self.v[prototype * l..][..l]);
        pair(y, v, scratch.norms[row], self.b[prototype])
    }

    fn exact_pairs(&self, _: &[T], pairs: &[[u32; 2]], scratch: &mut Scratch<T>, out: &mut [T]) {
        pair_distances(&scratch.kept, &self.v, self.l, pairs, out);
        let (mut a, mut b) = ([T::zero(); PAIRS], [T::zero(); PAIRS]);
        for (pairs, q) in pairs.chunks(PAIRS).zip(out.chunks_mut(PAIRS)) {
            for (([i, j], a), b) in pairs.iter().zip(&mut a).zip(&mut b) {
                (*a, *b) = (scratch.norms[*i as usize], self.b[*j as usize]);
            }
            pairs_of(&a, &b, q);
        }
    }

    /// `dV` (`p x l`); if the matrix learns `X^T dY` (`d x l`).
    fn sums(&self) -> Vec<usize> {
        match (self.learn_prototypes, self.learn_own) {
            (false, false) => vec![],
            (true, false) => vec![self.v.len()],
            (_, true) => vec![self.v.len(), self.omega.len()],
        }
    }

    fn backward_pairs(
        &self,
        x: &[T],
        pairs: &[Pair<T>],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        if sums.is_empty() {
            return;
        }
        let l = self.l;
        // Whether they are the block's winners, whose squares are there.
        let winners = scratch.order.iter().enumerate().map(|(k, j)| (k as u32 / 2, *j));
        let known =
            !pairs.is_empty() && pairs.iter().map(|pair| (pair.row, pair.prototype)).eq(winners);
        let mut dy = std::mem::take(&mut scratch.work);
        if !known {
            dy.clear();
        }
        dy.resize(x.len() / self.d * l, T::zero());
        let [mut a, mut b, mut q, mut gamma] = [[T::zero(); PAIRS]; 4];
        let mut places = [[0; 2]; PAIRS];
        for (first, pairs) in (0..).step_by(PAIRS).zip(pairs.chunks(PAIRS)) {
            for (k, pair) in pairs.iter().enumerate() {
                places[k] = [pair.row, pair.prototype];
                (a[k], b[k]) = (scratch.norms[pair.row as usize], self.b[pair.prototype as usize]);
                gamma[k] = pair.g;
            }
            let count = pairs.len();
            let yv = (&scratch.kept[..], &self.v[..]);
            if known {
                q[..count].copy_from_slice(&scratch.more[first..][..count]);
                factors(&a[..count], &mut b, &mut q, &mut gamma);
                add_winners(yv, l, pairs, [&q, &gamma, &b], &mut dy, &mut sums[0]);
            } else {
                pair_distances(yv.0, yv.1, l, &places[..count], &mut q);
                factors(&a[..count], &mut b, &mut q, &mut gamma);
                add(yv, l, pairs, [&q, &gamma, &b], &mut dy, &mut sums[0]);
            }
        }
        self.close_block(x, &dy, sums);
        scratch.work = dy;
    }

    fn backward_dense(
        &self,
        x: &[T],
        _: &[T],
        g: &[T],
        scratch: &mut Scratch<T>,
        sums: &mut Sums<T>,
    ) {
        let p = self.b.len();
        let pairs: Vec<Pair<T>> = g
            .iter()
            .enumerate()
            .map(|(k, g)| Pair { row: (k / p) as u32, prototype: (k % p) as u32, g: *g })
            .collect();
        self.backward_pairs(x, &pairs, scratch, sums);
    }

    fn finish(&self, sums: &Sums<T>) -> Vec<(&'static str, Vec<T>)> {
        let (d, l, p) = (self.d, self.l, self.b.len());
        let mut gradients = vec![];
        let Some(dv) = sums.first() else { return gradients };
        let dv = Mat::new(dv, p, l);
        if self.learn_prototypes {
            let mut dw = vec![T::zero(); p * d];
            gemm(&mut dw, false, T::one(), dv, Mat::new(&self.omega, d, l).t());
            gradients.push(("prototypes", dw));
        }
        if let Some(domega) = sums.get(1) {
            let mut domega = domega.clone();
            gemm(&mut domega, true, T::one(), Mat::new(&self.w, p, d).t(), dv);
            gradients.push(("omega_hat", domega));
        }
        gradients
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: usize = 3;
    const L: usize = 2;

    fn values(n: usize, shift: usize) -> Vec<f64> {
        (0..n).map(|i| (((i + shift) * 29) % 23) as f64 / 23.0 - 0.4).collect()
    }

    fn build<'a, T: Real>(w: &'a [T], own: &'a [T]) -> Exponential<T> {
        Exponential::new(
            Inputs {
                d: D,
                prototypes: w,
                own,
                learn_prototypes: true,
                learn_own: true,
                operand: Default::default(),
            },
            L,
        )
    }

    /// `sum g ln D` over all pairs, from the plain formula.
    fn plain(x: &[f64], w: &[f64], own: &[f64], g: &[f64]) -> f64 {
        let p = w.len() / D;
        let project = |r: &[f64]| -> Vec<f64> {
            (0..L).map(|k| (0..D).map(|a| r[a] * own[a * L + k]).sum()).collect()
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut sum = 0.0;
        for (i, x) in x.chunks(D).enumerate() {
            for (j, w) in w.chunks(D).enumerate() {
                let (y, v) = (project(x), project(w));
                let d = dot(&y, &y).exp() + dot(&v, &v).exp() - 2.0 * dot(&y, &v).exp();
                sum += g[i * p + j] * d.ln();
            }
        }
        sum
    }

    #[test]
    fn values_and_gradients() {
        let (x, w, own) = (values(5 * D, 0), values(4 * D, 7), values(D * L, 3));
        let g = values(20, 11);
        let metric = build(&w, &own);
        let (mut ell, mut scratch) = (vec![0.0; 20], Scratch::default());
        metric.forward(&x, &mut ell, &mut scratch);
        let total: f64 = ell.iter().zip(&g).map(|(e, g)| e * g).sum();
        assert!((total - plain(&x, &w, &own, &g)).abs() < 1e-10);
        assert!((metric.exact(&x, 2, 3, &mut scratch) - ell[11]).abs() < 1e-13);
        let mut sums = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
        metric.backward_dense(&x, &ell, &g, &mut scratch, &mut sums);
        for (name, gradient) in metric.finish(&sums) {
            for (i, got) in gradient.iter().enumerate() {
                let at = |h: f64| {
                    let (mut w, mut own) = (w.clone(), own.clone());
                    if name == "prototypes" {
                        w[i] += h;
                    } else {
                        own[i] += h;
                    }
                    plain(&x, &w, &own, &g)
                };
                let slope = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!(
                    (got - slope).abs() < 1e-6 * slope.abs().max(1.0),
                    "{name} {i}: {got} {slope}"
                );
            }
        }
    }

    #[test]
    fn large_and_coincident_rows_are_finite() {
        let x: Vec<f32> = values(2 * D, 0).iter().map(|v| *v as f32 * 100.0).collect();
        let w = [&x[..D], &[1.0, 2.0, 3.0]].concat();
        let own: Vec<f32> = values(D * L, 3).iter().map(|v| *v as f32).collect();
        let metric = build(&w, &own);
        let (mut ell, mut scratch) = (vec![0.0; 4], Scratch::default());
        metric.forward(&x, &mut ell, &mut scratch);
        assert!(ell[0] == f32::NEG_INFINITY && ell[1..].iter().all(|e| e.is_finite()), "{ell:?}");
        let mut sums = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
        metric.backward_dense(&x, &ell, &[0.0, 0.5, -0.5, 0.1], &mut scratch, &mut sums);
        assert!(metric.finish(&sums).iter().all(|(_, g)| g.iter().all(|v| v.is_finite())));
        // A prototype 300 times as long as the row, in its direction: e^(C-a) alone is no number.
        let (x, w) = ([1.0f32, 2.0, 3.0], [300.0f32, 600.0, 900.0]);
        let metric = build(&w, &own);
        metric.forward(&x, &mut ell[..1], &mut scratch);
        let mut sums = metric.sums().into_iter().map(|n| vec![0.0; n]).collect();
        metric.backward_dense(&x, &ell[..1], &[0.5], &mut scratch, &mut sums);
        // ln D = b: its slope by w is 2 O O' w.
        let project = |v: &[f32], k: usize| (0..D).map(|a| v[a] * own[a * L + k]).sum::<f32>();
        let slope = |a: usize| (0..L).map(|k| own[a * L + k] * project(&w, k)).sum::<f32>();
        for (a, got) in metric.finish(&sums)[0].1.iter().enumerate() {
            assert!((got - slope(a)).abs() < 1e-3 * slope(a).abs().max(1.0), "{got} {}", slope(a));
        }
    }
}
