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
use super::rule::dot;
use super::zoom;
use crate::error::{Error, Result};
use crate::parts::real::Real;
use crate::parts::tensor::{Tensor, Tensors};
use std::collections::VecDeque;

/// Loss and gradients of the trainable blocks at given parameters.
pub type Objective<'a, T> = dyn FnMut(&Tensors<T>) -> Result<(f64, Tensors<T>)> + 'a;

/// The hyper-parameters.
#[derive(Clone, Debug)]
pub(crate) struct LbfgsOptions {
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

/// Where the vectors are, and what is moved along them: the tensors of the host, or a device's buffers.
pub(crate) trait Space {
    /// All trainable blocks together.
    type Vector;

    /// A new vector.
    fn vector(&mut self) -> Result<Self::Vector>;

    /// The parameters as a vector.
    fn parameters(&mut self, to: &mut Self::Vector) -> Result<()>;

    /// The gradient with which the update begins.
    fn gradient(&mut self, to: &mut Self::Vector) -> Result<()>;

    /// Moves the parameters to `x + a p`; to exactly `x` for `a = 0`.
    fn place(&mut self, x: &Self::Vector, p: &Self::Vector, a: f64) -> Result<()>;

    /// The loss where the parameters are, and its slope along `p`.
    fn evaluate(&mut self, p: &Self::Vector) -> Result<(f64, f64)>;

    /// `to = a - b`.
    fn subtract(&mut self, a: &Self::Vector, b: &Self::Vector, to: &mut Self::Vector)
    -> Result<()>;

    /// `<a, b>`.
    fn dot(&mut self, a: &Self::Vector, b: &Self::Vector) -> Result<f64>;

    /// The two loops: `p = -h H g`, where `gamma` is the size of `H` before the pairs.
    fn direction(
        &mut self,
        g: &Self::Vector,
        pairs: &VecDeque<Pair<Self::Vector>>,
        gamma: f64,
        h: f64,
        p: &mut Self::Vector,
    ) -> Result<()>;
}

/// A change of the parameters and the change of the gradient that came with it.
#[derive(Clone, Debug)]
pub(crate) struct Pair<V> {
    /// Change of the parameters.
    pub s: V,
    /// Change of the gradient.
    pub y: V,
    /// `<y, s>`.
    pub ys: f64,
}

impl<V> Pair<V> {
    /// `1/<y,s>`, or 0.
    pub fn rho(&self) -> f64 {
        if self.ys == 0.0 { 0.0 } else { 1.0 / self.ys }
    }
}

/// What is remembered of the updates so far.
#[derive(Clone, Debug)]
pub(crate) struct Search<V> {
    memory: usize,
    /// Parameters and gradient at the last update, or none before the first.
    pub last: Option<(V, V)>,
    /// Oldest first.
    pub pairs: VecDeque<Pair<V>>,
    /// The pair that was dropped last, whose memory the next one takes.
    spare: Option<Pair<V>>,
    /// Parameters and gradient now, and the direction.
    x: V,
    g: V,
    p: V,
}

impl<V> Search<V> {
    /// Before the first update; the vectors' values do not matter.
    pub fn new(memory: usize, [x, g, p]: [V; 3]) -> Self {
        Search { memory, last: None, pairs: VecDeque::new(), spare: None, x, g, p }
    }

    /// One update: the parameters move to the accepted point.
    ///
    /// # Errors
    /// Those of the space; the parameters are then as before and nothing is remembered of the update.
    pub fn update(&mut self, space: &mut impl Space<Vector = V>, loss: f64, h: f64) -> Result<()> {
        space.parameters(&mut self.x)?;
        space.gradient(&mut self.g)?;
        let pair = match &self.last {
            Some((x, g)) => {
                let mut pair = match self.spare.take() {
                    Some(spare) => spare,
                    None => Pair { s: space.vector()?, y: space.vector()?, ys: 0.0 },
                };
                space.subtract(&self.x, x, &mut pair.s)?;
                space.subtract(&self.g, g, &mut pair.y)?;
                pair.ys = space.dot(&pair.y, &pair.s)?;
                Some(pair)
            }
            None => None,
        };
        let full = pair.is_some() && self.pairs.len() == self.memory;
        let oldest = if full { self.pairs.pop_front() } else { None };
        let added = pair.is_some();
        self.pairs.extend(pair);
        match self.search(space, loss, h) {
            Ok(()) => {
                self.spare = oldest.or(self.spare.take());
                Ok(())
            }
            Err(error) => {
                // It may be the device that fails: what it was first is to be told.
                let _ = space.place(&self.x, &self.p, 0.0);
                if added {
                    self.spare = self.pairs.pop_back();
                }
                if let Some(oldest) = oldest {
                    self.pairs.push_front(oldest);
                }
                Err(error)
            }
        }
    }

    /// Direction, step, and the move.
    fn search(&mut self, space: &mut impl Space<Vector = V>, loss: f64, h: f64) -> Result<()> {
        let gamma = match self.pairs.back() {
            None => (1.0 / space.dot(&self.g, &self.g)?.sqrt()).min(1.0),
            Some(pair) => {
                let yy = space.dot(&pair.y, &pair.y)?;
                if yy == 0.0 { 1.0 } else { pair.ys / yy }
            }
        };
        space.direction(&self.g, &self.pairs, gamma, h, &mut self.p)?;
        let slope = space.dot(&self.g, &self.p)?;
        let step = zoom::search(loss, slope, |a| {
            space.place(&self.x, &self.p, a)?;
            space.evaluate(&self.p)
        })?;
        space.place(&self.x, &self.p, step)?;
        if self.last.is_none() {
            self.last = Some((space.vector()?, space.vector()?));
        }
        if let Some((x, g)) = &mut self.last {
            std::mem::swap(x, &mut self.x);
            std::mem::swap(g, &mut self.g);
        }
        Ok(())
    }
}

/// The state, on the host.
#[derive(Clone, Debug)]
pub(crate) struct Lbfgs<T> {
    memory: usize,
    parts: Vec<Part>,
    /// What is remembered.
    pub search: Search<Vec<T>>,
}

/// The tensors of the host.
struct Host<'a, 'o, T> {
    parts: &'a [Part],
    size: usize,
    params: &'a mut Tensors<T>,
    grads: &'a Tensors<T>,
    objective: &'a mut Objective<'o, T>,
}

impl<T: Real> Space for Host<'_, '_, T> {
    type Vector = Vec<T>;

    fn vector(&mut self) -> Result<Vec<T>> {
        Ok(vec![T::zero(); self.size])
    }

    fn parameters(&mut self, to: &mut Vec<T>) -> Result<()> {
        gather(self.parts, self.params, to);
        Ok(())
    }

    fn gradient(&mut self, to: &mut Vec<T>) -> Result<()> {
        gather(self.parts, self.grads, to);
        Ok(())
    }

    fn place(&mut self, x: &Vec<T>, p: &Vec<T>, a: f64) -> Result<()> {
        scatter(self.parts, self.params, x, p, a);
        Ok(())
    }

    fn evaluate(&mut self, p: &Vec<T>) -> Result<(f64, f64)> {
        let (value, grads) = (self.objective)(self.params)?;
        let slope = self
            .parts
            .iter()
            .map(|part| dot(grads.values(&part.name), &p[part.start..part.end]))
            .sum();
        Ok((value, slope))
    }

    fn subtract(&mut self, a: &Vec<T>, b: &Vec<T>, to: &mut Vec<T>) -> Result<()> {
        to.iter_mut().zip(a.iter().zip(b)).for_each(|(to, (a, b))| *to = *a - *b);
        Ok(())
    }

    fn dot(&mut self, a: &Vec<T>, b: &Vec<T>) -> Result<f64> {
        Ok(dot(a, b))
    }

    fn direction(
        &mut self,
        g: &Vec<T>,
        pairs: &VecDeque<Pair<Vec<T>>>,
        gamma: f64,
        h: f64,
        q: &mut Vec<T>,
    ) -> Result<()> {
        q.copy_from_slice(g);
        let mut coefficients = Vec::with_capacity(pairs.len());
        for pair in pairs.iter().rev() {
            let a = pair.rho() * dot(&pair.s, q);
            add(q, -a, &pair.y);
            coefficients.push(a);
        }
        q.iter_mut().for_each(|q| *q *= T::of(gamma));
        for (pair, a) in pairs.iter().zip(coefficients.iter().rev()) {
            let b = pair.rho() * dot(&pair.y, q);
            add(q, a - b, &pair.s);
        }
        q.iter_mut().for_each(|q| *q *= T::of(-h));
        Ok(())
    }
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
        let vectors = std::array::from_fn(|_| vec![T::zero(); end]);
        Lbfgs { memory: options.memory, parts, search: Search::new(options.memory, vectors) }
    }

    /// The most pairs that are remembered.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Length of the vector.
    fn size(&self) -> usize {
        self.parts.last().map_or(0, |part| part.end)
    }

    /// One update, on tensors: as [`Search::update`].
    pub fn update(
        &mut self,
        params: &mut Tensors<T>,
        loss: f64,
        grads: &Tensors<T>,
        h: f64,
        objective: &mut Objective<T>,
    ) -> Result<()> {
        let size = self.size();
        let mut host = Host { parts: &self.parts, size, params, grads, objective };
        self.search.update(&mut host, loss, h)
    }

    /// What a device remembers, to be saved from here.
    pub fn remember(&mut self, last: Option<(Vec<T>, Vec<T>)>, pairs: Vec<(Vec<T>, Vec<T>)>) {
        self.search.last = last;
        self.search.pairs =
            pairs.into_iter().map(|(s, y)| Pair { ys: dot(&y, &s), s, y }).collect();
    }

    /// `lbfgs/x/<block>` and `lbfgs/g/<block>` of the last update, `lbfgs/s/<block>` and
    /// `lbfgs/y/<block>` with the pairs along the first axis, oldest first. Nothing before the
    /// first update.
    pub fn state(&self) -> Vec<Tensor<f64>> {
        let Search { last: Some((x, g)), pairs, .. } = &self.search else { return Vec::new() };
        let wide = |v: &[T]| v.iter().map(|v| v.f64()).collect::<Vec<f64>>();
        let mut list = Vec::new();
        for part in &self.parts {
            let range = part.start..part.end;
            let stacked = [&[pairs.len()], part.shape.as_slice()].concat();
            let all = |f: fn(&Pair<Vec<T>>) -> &[T]| {
                pairs.iter().flat_map(|p| wide(&f(p)[range.clone()])).collect::<Vec<f64>>()
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
            self.remember(None, Vec::new());
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
        let size = self.size();
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
        self.remember(Some((x, g)), s.into_iter().zip(y).collect());
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

/// `to += a v`.
fn add<T: Real>(to: &mut [T], a: f64, v: &[T]) {
    let a = T::of(a);
    to.iter_mut().zip(v).for_each(|(to, v)| *to += a * *v);
}
