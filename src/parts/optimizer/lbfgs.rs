//! L-BFGS with a line search.
//!
//! All trainable blocks together are one vector `x`. From the second update on, with
//! `s = x - x_prev` and `y = g - g_prev`, the pair `(s, y)` and `rho = 1/<y,s>` (0 if `<y,s> = 0`)
//! are stored, the oldest of more than `memory` pairs dropped; `gamma = <y,s>/<y,y>` (1 if
//! `<y,y> = 0`), at the first update `gamma = min(1, 1/|g|)`. Two loops give the direction:
//! `q = g`; from the newest pair to the oldest `a_i = rho_i <s_i,q>`, `q -= a_i y_i`; `q *= gamma`;
//! from the oldest to the newest `q += (a_i - rho_i <y_i,q>) s_i`; `p = -h q`. Pairs with
//! `<y,s> <= 0` are kept. The step along `p` is that of [`super::zoom`].
//!
//! Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical
//! Programming 45, 1989.

use super::options::Options;
use super::rule::{dot, norm};
use super::zoom;
use crate::error::{Error, Result};
use crate::parts::real::Real;
use crate::parts::tensor::{Tensor, Tensors};
use std::collections::VecDeque;

/// Loss and gradients of the trainable blocks at given parameters.
pub type Objective<'a, T> = dyn FnMut(&Tensors<T>) -> Result<(f64, Tensors<T>)> + 'a;

/// The hyper-parameters.
#[derive(Clone, Debug)]
pub(super) struct LbfgsOptions {
    memory: usize,
}

impl LbfgsOptions {
    pub fn read(o: &mut Options) -> Result<Self> {
        Ok(LbfgsOptions { memory: o.count("memory", 10, 1)? as usize })
    }
}

/// Where a block lies in the vector.
#[derive(Clone, Debug)]
struct Part {
    name: String,
    shape: Vec<usize>,
    start: usize,
    end: usize,
}

/// A change of the parameters and the change of the gradient that came with it.
#[derive(Clone, Debug)]
struct Pair<T> {
    s: Vec<T>,
    y: Vec<T>,
    ys: f64,
}

impl<T: Real> Pair<T> {
    fn new(s: Vec<T>, y: Vec<T>) -> Self {
        let ys = dot(&y, &s);
        Pair { s, y, ys }
    }

    fn rho(&self) -> f64 {
        if self.ys == 0.0 { 0.0 } else { 1.0 / self.ys }
    }
}

/// The state.
#[derive(Clone, Debug)]
pub(super) struct Lbfgs<T> {
    memory: usize,
    parts: Vec<Part>,
    /// Parameters and gradient at the last update, or none before the first.
    last: Option<(Vec<T>, Vec<T>)>,
    /// Oldest first.
    pairs: VecDeque<Pair<T>>,
    /// Parameters and gradient now, and the direction.
    x: Vec<T>,
    g: Vec<T>,
    p: Vec<T>,
    /// The coefficients of the first loop.
    a: Vec<f64>,
}

impl<T: Real> Lbfgs<T> {
    pub fn new(options: &LbfgsOptions, blocks: &Tensors<T>) -> Self {
        let mut end = 0;
        let parts = blocks.list.iter().map(|t| {
            let start = end;
            end += t.data.len();
            Part { name: t.name.clone(), shape: t.shape.clone(), start, end }
        });
        let parts: Vec<Part> = parts.collect();
        Lbfgs {
            memory: options.memory,
            parts,
            last: None,
            pairs: VecDeque::new(),
            x: vec![T::zero(); end],
            g: vec![T::zero(); end],
            p: vec![T::zero(); end],
            a: Vec::new(),
        }
    }

    /// One update: `params` move to the accepted point.
    ///
    /// # Errors
    /// Those of the objective; `params` are then as before and nothing is remembered of the update.
    pub fn update(
        &mut self,
        params: &mut Tensors<T>,
        loss: f64,
        grads: &Tensors<T>,
        h: f64,
        objective: &mut Objective<T>,
    ) -> Result<()> {
        gather(&self.parts, params, &mut self.x);
        gather(&self.parts, grads, &mut self.g);
        let pair = self
            .last
            .as_ref()
            .map(|(x, g)| Pair::new(difference(&self.x, x), difference(&self.g, g)));
        let full = pair.is_some() && self.pairs.len() == self.memory;
        let oldest = if full { self.pairs.pop_front() } else { None };
        let added = pair.is_some();
        self.pairs.extend(pair);
        self.direction(h);

        let slope = dot(&self.g, &self.p);
        let step = zoom::search(loss, slope, |a| {
            scatter(&self.parts, params, &self.x, &self.p, a);
            let (value, grads) = objective(params)?;
            let slope = self
                .parts
                .iter()
                .map(|part| dot(grads.values(&part.name), &self.p[part.start..part.end]))
                .sum();
            Ok((value, slope))
        });
        match step {
            Ok(a) => {
                scatter(&self.parts, params, &self.x, &self.p, a);
                let (x, g) = self.last.get_or_insert_with(|| (self.x.clone(), self.g.clone()));
                x.copy_from_slice(&self.x);
                g.copy_from_slice(&self.g);
                Ok(())
            }
            Err(error) => {
                scatter(&self.parts, params, &self.x, &self.p, 0.0);
                if added {
                    self.pairs.pop_back();
                }
                if let Some(oldest) = oldest {
                    self.pairs.push_front(oldest);
                }
                Err(error)
            }
        }
    }

    /// `p = -h H g`, where `H` approximates the inverse Hessian.
    fn direction(&mut self, h: f64) {
        let q = &mut self.p;
        q.copy_from_slice(&self.g);
        self.a.clear();
        for pair in self.pairs.iter().rev() {
            let a = pair.rho() * dot(&pair.s, q);
            add(q, -a, &pair.y);
            self.a.push(a);
        }
        let gamma = match self.pairs.back() {
            None => (1.0 / norm(&self.g)).min(1.0),
            Some(pair) => {
                let yy = dot(&pair.y, &pair.y);
                if yy == 0.0 { 1.0 } else { pair.ys / yy }
            }
        };
        q.iter_mut().for_each(|q| *q *= T::of(gamma));
        for (pair, a) in self.pairs.iter().zip(self.a.iter().rev()) {
            let b = pair.rho() * dot(&pair.y, q);
            add(q, a - b, &pair.s);
        }
        q.iter_mut().for_each(|q| *q *= T::of(-h));
    }

    /// `lbfgs/x/<block>` and `lbfgs/g/<block>` of the last update, `lbfgs/s/<block>` and
    /// `lbfgs/y/<block>` with the pairs along the first axis, oldest first. Nothing before the
    /// first update.
    pub fn state(&self) -> Vec<Tensor<f64>> {
        let Some((x, g)) = &self.last else { return Vec::new() };
        let wide = |v: &[T]| v.iter().map(|v| v.f64()).collect::<Vec<f64>>();
        let mut list = Vec::new();
        for part in &self.parts {
            let range = part.start..part.end;
            let stacked = [&[self.pairs.len()], part.shape.as_slice()].concat();
            let all = |f: fn(&Pair<T>) -> &[T]| {
                self.pairs.iter().flat_map(|p| wide(&f(p)[range.clone()])).collect::<Vec<f64>>()
            };
            let name = |slot: &str| format!("lbfgs/{slot}/{}", part.name);
            list.push(Tensor::new(name("x"), &part.shape, wide(&x[range.clone()])));
            list.push(Tensor::new(name("g"), &part.shape, wide(&g[range.clone()])));
            list.push(Tensor::new(name("s"), &stacked, all(|p| &p.s)));
            list.push(Tensor::new(name("y"), &stacked, all(|p| &p.y)));
        }
        list
    }

    /// The state that [`Lbfgs::state`] returned. The pairs of another set of blocks describe
    /// another curvature: if a block has none, the search begins anew.
    pub fn restore(&mut self, saved: &Tensors<f64>) -> Result<()> {
        let name = |slot: &str, part: &Part| format!("lbfgs/{slot}/{}", part.name);
        let known = self.parts.iter().all(|part| {
            ["x", "g", "s", "y"].iter().any(|slot| saved.get(&name(slot, part)).is_some())
        });
        if !known || self.parts.is_empty() {
            self.last = None;
            self.pairs.clear();
            return Ok(());
        }
        let shape_of = |t: &Tensor<f64>| format!("{:?}", t.shape);
        let get = |slot: &str, part: &Part, shape: &[usize]| -> Result<&Tensor<f64>> {
            let name = name(slot, part);
            match saved.get(&name) {
                Some(t) if t.shape == shape => Ok(t),
                Some(t) => Err(Error::shape(name, format!("{shape:?}"), shape_of(t))),
                None => Err(Error::shape(name, format!("{shape:?}"), "no such tensor")),
            }
        };
        let first = name("s", &self.parts[0]);
        let count = saved.get(&first).and_then(|t| t.shape.first().copied()).unwrap_or(0);
        if count > self.memory {
            let reason = format!("at most {} pairs (optimizer_kwargs.memory)", self.memory);
            return Err(Error::shape(first, reason, count));
        }
        let size = self.x.len();
        let (mut x, mut g) = (vec![T::zero(); size], vec![T::zero(); size]);
        let mut s = vec![vec![T::zero(); size]; count];
        let mut y = s.clone();
        let copy = |to: &mut [T], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = T::of(*from));
        };
        for part in &self.parts {
            let range = part.start..part.end;
            let stacked = [&[count], part.shape.as_slice()].concat();
            copy(&mut x[range.clone()], &get("x", part, &part.shape)?.data);
            copy(&mut g[range.clone()], &get("g", part, &part.shape)?.data);
            for (to, slot) in [(&mut s, "s"), (&mut y, "y")] {
                let from = &get(slot, part, &stacked)?.data;
                for (i, to) in to.iter_mut().enumerate() {
                    copy(&mut to[range.clone()], &from[i * range.len()..(i + 1) * range.len()]);
                }
            }
        }
        self.last = Some((x, g));
        self.pairs = s.into_iter().zip(y).map(|(s, y)| Pair::new(s, y)).collect();
        Ok(())
    }
}

/// Copies the blocks into one vector.
fn gather<T: Real>(parts: &[Part], blocks: &Tensors<T>, to: &mut [T]) {
    for part in parts {
        to[part.start..part.end].copy_from_slice(blocks.values(&part.name));
    }
}

/// `blocks = x + a p`; exactly `x` for `a = 0`.
fn scatter<T: Real>(parts: &[Part], blocks: &mut Tensors<T>, x: &[T], p: &[T], a: f64) {
    let a = T::of(a);
    for part in parts {
        let range = part.start..part.end;
        let xp = x[range.clone()].iter().zip(&p[range]);
        for (to, (x, p)) in blocks.values_mut(&part.name).iter_mut().zip(xp) {
            *to = if a == T::zero() { *x } else { *x + a * *p };
        }
    }
}

fn difference<T: Real>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().zip(b).map(|(a, b)| *a - *b).collect()
}

/// `to += a v`.
fn add<T: Real>(to: &mut [T], a: f64, v: &[T]) {
    let a = T::of(a);
    to.iter_mut().zip(v).for_each(|(to, v)| *to += a * *v);
}
