//! Optimizers: from a gradient to a change of the parameters.
//!
//! A *block* is one named tensor. [`OptimizerSpec`] says which optimizer with which
//! hyper-parameters, [`Optimizer`] holds its state for the trainable blocks of a model; a frozen
//! block is one that is not given to it. Values are `f32` or `f64`, whatever the blocks are; norms,
//! bias corrections and step sizes are `f64`.
//!
//! Each optimizer's formula stands in its file. `t = 1, 2, ...` counts the updates, `h` is the
//! scheduled rate times the block's multiplier.

// Without a GPU backend nobody asks how a device runs a rule.
#![cfg_attr(not(feature = "vulkan"), allow(dead_code))]

mod adabelief;
mod adafactor;
mod adam;
mod adamax;
mod adan;
pub mod clip;
mod hypergradient;
mod layerwise;
mod lbfgs;
pub(crate) mod options;
mod plan;
pub mod prox;
mod radam;
mod rmsprop;
mod rprop;
mod rule;
mod sgd;
mod sign;
mod sm3;
mod yogi;
mod zoom;

use crate::error::{Error, Result};
use crate::parts::real::Real;
use crate::parts::tensor::{Tensor, Tensors};
pub use lbfgs::Objective;
use lbfgs::{Lbfgs, LbfgsOptions};
#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(crate) use lbfgs::{Pair, Search, Space};
use options::Options;
#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(crate) use plan::{Plan, slabs};
pub(crate) use rule::{Rule, Slots, Step};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The option under which the user gives an optimizer's hyper-parameters.
const KWARGS: &str = "optimizer_kwargs";

/// The two kinds of optimizers.
enum Method<T> {
    /// Every block by itself, from its gradient alone.
    Blockwise(Arc<dyn Rule<T>>),
    /// All blocks together, along a line on which the objective is evaluated.
    LineSearch(LbfgsOptions),
}

/// Reads the hyper-parameters of an optimizer.
type Read<T> = fn(&mut Options) -> Result<Method<T>>;

fn blockwise<T: Real>(rule: impl Rule<T> + 'static) -> Method<T> {
    Method::Blockwise(Arc::new(rule))
}

/// Every optimizer: its name and what reads its hyper-parameters.
fn table<T: Real>() -> [(&'static str, Read<T>); 28] {
    [
        ("adam", |o| Ok(blockwise(adam::Adam::read(o)?))),
        ("adamw", |o| Ok(blockwise(adam::Adam::read_with_decay(o)?))),
        ("adamax", |o| Ok(blockwise(adamax::Adamax::read(o)?))),
        ("adamaxw", |o| Ok(blockwise(adamax::Adamax::read_with_decay(o)?))),
        ("adan", |o| Ok(blockwise(adan::Adan::read(o)?))),
        ("adabelief", |o| Ok(blockwise(adabelief::AdaBelief::read(o)?))),
        ("amsgrad", |o| Ok(blockwise(adam::AmsGrad::read(o)?))),
        ("radam", |o| Ok(blockwise(radam::RAdam::read(o)?))),
        ("lamb", |o| Ok(blockwise(layerwise::Lamb::read(o)?))),
        ("lion", |o| Ok(blockwise(sign::Lion::read(o)?))),
        ("novograd", |o| Ok(blockwise(layerwise::NovoGrad::read(o)?))),
        ("sgd", |o| Ok(blockwise(sgd::Sgd::read(o)?))),
        ("sign_sgd", |_| Ok(blockwise(sign::SignSgd))),
        ("signum", |o| Ok(blockwise(sign::Signum::read(o)?))),
        ("noisy_sgd", |o| Ok(blockwise(sgd::NoisySgd::read(o)?))),
        ("lars", |o| Ok(blockwise(layerwise::Lars::read(o)?))),
        ("rmsprop", |o| Ok(blockwise(rmsprop::RmsProp::read(o)?))),
        ("adagrad", |o| Ok(blockwise(rmsprop::AdaGrad::read(o)?))),
        ("adadelta", |o| Ok(blockwise(rmsprop::AdaDelta::read(o)?))),
        ("adafactor", |o| Ok(blockwise(adafactor::Adafactor::read(o)?))),
        ("sm3", |o| Ok(blockwise(sm3::Sm3::read(o)?))),
        ("yogi", |o| Ok(blockwise(yogi::Yogi::read(o)?))),
        ("rprop", |o| Ok(blockwise(rprop::Rprop::read(o)?))),
        ("fromage", |o| Ok(blockwise(layerwise::Fromage::read(o)?))),
        ("lbfgs", |o| Ok(Method::LineSearch(LbfgsOptions::read(o)?))),
        ("dpsgd", |o| Ok(blockwise(sgd::DpSgd::read(o)?))),
        ("hypergradient_descent", |o| Ok(blockwise(hypergradient::Hypergradient::read(o)?))),
        ("riemannian_nesterov", |o| Ok(blockwise(sgd::Sgd::read_riemannian(o)?))),
    ]
}

/// Which optimizer, with which hyper-parameters.
///
/// Serialised as `{"name": ..., "kwargs": {...}}`, with every hyper-parameter spelt out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Named")]
pub struct OptimizerSpec {
    name: String,
    kwargs: Map<String, Value>,
}

/// A specification before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
    #[serde(default)]
    kwargs: Map<String, Value>,
}

impl TryFrom<Named> for OptimizerSpec {
    type Error = Error;

    fn try_from(named: Named) -> Result<Self> {
        OptimizerSpec::parse(&named.name, &named.kwargs)
    }
}

impl OptimizerSpec {
    /// The optimizer of that name; what `kwargs` leaves out (or gives as null) has its default.
    ///
    /// # Errors
    /// An unknown name or key (the message lists the valid ones), a missing required key, a value
    /// of the wrong type or out of range.
    pub fn parse(name: &str, kwargs: &Map<String, Value>) -> Result<Self> {
        let Some((name, read)) = table::<f64>().into_iter().find(|(n, _)| *n == name) else {
            return Err(Error::unknown("optimizer", name, &OptimizerSpec::names()));
        };
        let mut options = Options::new(KWARGS, name, kwargs);
        read(&mut options)?;
        Ok(OptimizerSpec { name: name.into(), kwargs: options.finish()? })
    }

    /// Every name that [`OptimizerSpec::parse`] knows.
    pub fn names() -> Vec<&'static str> {
        table::<f64>().into_iter().map(|(name, _)| name).collect()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every hyper-parameter with its value; null for one that is off.
    pub fn kwargs(&self) -> &Map<String, Value> {
        &self.kwargs
    }

    fn method<T: Real>(&self) -> Method<T> {
        let row = table::<T>().into_iter().find(|(n, _)| *n == self.name);
        let (_, read) = row.expect("a specification names a row of the table");
        let mut options = Options::new(KWARGS, &self.name, &self.kwargs);
        read(&mut options).expect("a specification was checked when it was made")
    }
}

/// A block's name and state.
#[derive(Clone, Debug)]
pub(crate) struct Block<T> {
    /// The name.
    pub name: String,
    /// The state.
    pub slots: Slots<T>,
}

#[derive(Clone, Debug)]
enum State<T> {
    Blockwise { rule: Arc<dyn Rule<T>>, blocks: Vec<Block<T>> },
    LineSearch(Box<Lbfgs<T>>),
}

/// An optimizer with its state.
///
/// Same gradients, same bits: nothing depends on the number of threads, and noise comes from
/// streams keyed by seed and update.
#[derive(Clone, Debug)]
pub struct Optimizer<T> {
    name: String,
    lr: f64,
    t: u64,
    state: State<T>,
}

impl<T: Real> Optimizer<T> {
    /// The optimizer before its first update, with state for exactly the blocks given (their values
    /// do not matter). `lr` is the base rate, positive: optimizers with step sizes of their own
    /// (`rprop`, `hypergradient_descent`) multiply their updates by `h / lr`, and `rprop` begins
    /// with steps of `lr`.
    pub fn new(spec: &OptimizerSpec, lr: f64, blocks: &Tensors<T>) -> Self {
        let state = match spec.method::<T>() {
            Method::Blockwise(rule) => {
                let block =
                    |t: &Tensor<T>| Block { name: t.name.clone(), slots: rule.slots(&t.shape, lr) };
                let blocks = blocks.list.iter().map(block).collect();
                State::Blockwise { rule, blocks }
            }
            Method::LineSearch(options) => {
                State::LineSearch(Box::new(Lbfgs::new(&options, blocks)))
            }
        };
        Optimizer { name: spec.name.clone(), lr, t: 0, state }
    }

    /// `theta <- theta + u` for every block in `grads`; other blocks of `params` are not touched.
    ///
    /// `h` is the scheduled rate; `multipliers(block)` scales it for a block. `rows` is the number
    /// of rows in the batch (`dpsgd` divides its noise by it).
    ///
    /// # Panics
    /// On programming errors: a gradient without a block in `params` or at construction or of
    /// another shape, and an optimizer that [needs the objective](Optimizer::needs_objective).
    pub fn update(
        &mut self,
        params: &mut Tensors<T>,
        grads: &Tensors<T>,
        h: f64,
        multipliers: &dyn Fn(&str) -> f64,
        rows: usize,
    ) {
        let State::Blockwise { rule, blocks } = &mut self.state else {
            panic!("'{}' needs the objective: call line_search_update", self.name)
        };
        self.t += 1;
        let noise = rule.noise(self.t);
        let mut step = Step { t: self.t, h, ratio: 1.0, rows, noise };
        for grad in &grads.list {
            let block = blocks.iter_mut().find(|b| b.name == grad.name);
            let block = block.unwrap_or_else(|| panic!("no state for block '{}'", grad.name));
            assert_eq!(block.slots.shape, grad.shape, "shape of the gradient of '{}'", grad.name);
            let theta = params.values_mut(&grad.name);
            assert_eq!(theta.len(), grad.data.len(), "length of '{}'", grad.name);
            step.h = h * multipliers(&grad.name);
            step.ratio = step.h / self.lr;
            rule.update(&mut step, &mut block.slots, theta, &grad.data);
        }
    }

    /// Whether an update evaluates the objective, so that [`Optimizer::line_search_update`] is the
    /// one to call.
    pub fn needs_objective(&self) -> bool {
        matches!(self.state, State::LineSearch(_))
    }

    /// One update of an optimizer that [needs the objective](Optimizer::needs_objective).
    ///
    /// `loss` and `grads` are those at `params`; `objective` returns loss and gradients of the
    /// trainable blocks at other parameters, on the same rows. It is called 1 to 20 times, with all
    /// of `params`.
    ///
    /// # Errors
    /// Those of `objective`; `params` and the optimizer are then as before.
    ///
    /// # Panics
    /// On programming errors: a block missing from `params` or from gradients, another kind of
    /// optimizer.
    pub fn line_search_update(
        &mut self,
        params: &mut Tensors<T>,
        loss: f64,
        grads: &Tensors<T>,
        h: f64,
        objective: &mut Objective<T>,
    ) -> Result<()> {
        let State::LineSearch(lbfgs) = &mut self.state else {
            panic!("'{}' needs no objective: call update", self.name)
        };
        lbfgs.update(params, loss, grads, h, objective)?;
        self.t += 1;
        Ok(())
    }

    /// For `dpsgd`, the norm to which the caller clips the gradient of every row (over all
    /// trainable blocks) before taking the mean that it hands to [`Optimizer::update`].
    pub fn row_clip(&self) -> Option<f64> {
        match &self.state {
            State::Blockwise { rule, .. } => rule.row_clip(),
            State::LineSearch(_) => None,
        }
    }

    /// The rule, of an optimizer that treats every block by itself.
    pub(crate) fn rule(&self) -> Option<&Arc<dyn Rule<T>>> {
        match &self.state {
            State::Blockwise { rule, .. } => Some(rule),
            State::LineSearch(_) => None,
        }
    }

    /// The blocks of such an optimizer.
    pub(crate) fn blocks(&self) -> &[Block<T>] {
        match &self.state {
            State::Blockwise { blocks, .. } => blocks,
            State::LineSearch(_) => &[],
        }
    }

    /// The state of an optimizer that searches along a line.
    pub(crate) fn line_search(&mut self) -> Option<&mut Lbfgs<T>> {
        match &mut self.state {
            State::Blockwise { .. } => None,
            State::LineSearch(lbfgs) => Some(lbfgs),
        }
    }

    /// The blocks, whose state is about to be filled in, after `t` updates.
    pub(crate) fn resume(&mut self, t: u64) -> &mut [Block<T>] {
        self.t = t;
        match &mut self.state {
            State::Blockwise { blocks, .. } => blocks,
            State::LineSearch(_) => &mut [],
        }
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.t
    }

    /// The state: a scalar `t`, and tensors named `optimizer/slot/block` such as
    /// `adam/m/prototypes`.
    pub fn state(&self) -> Tensors<f64> {
        let mut list = vec![Tensor::new("t", &[], vec![self.t as f64])];
        match &self.state {
            State::LineSearch(lbfgs) => list.extend(lbfgs.state()),
            State::Blockwise { blocks, .. } => {
                for block in blocks {
                    let name = |slot: &str| format!("{}/{slot}/{}", self.name, block.name);
                    for slot in &block.slots.tensors {
                        let data = slot.data.iter().map(|v| v.f64()).collect();
                        list.push(Tensor::new(name(&slot.name), &slot.shape, data));
                    }
                    for (slot, value) in &block.slots.scalars {
                        list.push(Tensor::new(name(slot), &[], vec![*value]));
                    }
                }
            }
        }
        Tensors { list }
    }

    /// Continues from the state that [`Optimizer::state`] returned, bit by bit.
    ///
    /// The set of frozen blocks may have changed in between: the state of a block that is frozen
    /// now is passed over, and a block that was frozen then begins with a fresh state.
    ///
    /// # Errors
    /// State of another optimizer or of other hyper-parameters, missing or misshapen tensors. The
    /// optimizer is then as before.
    pub fn restore(&mut self, saved: &Tensors<f64>) -> Result<()> {
        let t = saved.get("t").and_then(|t| t.data.first().copied());
        let t = t
            .filter(|t| *t >= 0.0 && t.fract() == 0.0 && *t < 9e15)
            .ok_or_else(|| Error::parameter("optimizer state", "has no number of updates 't'"))?;
        let prefix = format!("{}/", self.name);
        let foreign = |t: &&Tensor<f64>| t.name != "t" && !t.name.starts_with(&prefix);
        if let Some(foreign) = saved.list.iter().find(foreign) {
            let reason = format!("'{}' is no state of '{}'", foreign.name, self.name);
            return Err(Error::parameter("optimizer state", reason));
        }
        match &mut self.state {
            State::LineSearch(lbfgs) => lbfgs.restore(saved)?,
            State::Blockwise { rule, blocks } => {
                let mut restored = blocks.clone();
                for block in &mut restored {
                    block.slots = rule.slots(&block.slots.shape, self.lr);
                    block.restore(&prefix, saved)?;
                }
                *blocks = restored;
            }
        }
        self.t = t as u64;
        Ok(())
    }
}

impl<T: Real> Block<T> {
    /// Fills fresh slots from the saved state, if that knows this block at all.
    fn restore(&mut self, prefix: &str, saved: &Tensors<f64>) -> Result<()> {
        let suffix = format!("/{}", self.name);
        let slot_of = |t: &Tensor<f64>| -> Option<String> {
            t.name.strip_prefix(prefix)?.strip_suffix(&suffix).map(str::to_owned)
        };
        let tensors = self.slots.tensors.iter().map(|t| (t.name.as_str(), t.shape.as_slice()));
        let scalars = self.slots.scalars.iter().map(|(name, _)| (*name, &[][..]));
        let wanted: Vec<(&str, &[usize])> = tensors.chain(scalars).collect();
        let found: Vec<String> = saved.list.iter().filter_map(slot_of).collect();
        if found.is_empty() {
            return Ok(());
        }
        if let Some(unknown) = found.iter().find(|f| wanted.iter().all(|(w, _)| w != f)) {
            let reason = format!(
                "'{prefix}{unknown}{suffix}' is unknown: was it saved with other hyper-parameters?"
            );
            return Err(Error::parameter("optimizer state", reason));
        }
        let mut data = Vec::with_capacity(wanted.len());
        for (slot, shape) in wanted {
            let name = format!("{prefix}{slot}{suffix}");
            match saved.get(&name) {
                Some(t) if t.shape == shape => data.push(t.data.as_slice()),
                Some(t) => {
                    return Err(Error::shape(name, format!("{shape:?}"), format!("{:?}", t.shape)));
                }
                None => return Err(Error::shape(name, format!("{shape:?}"), "no such tensor")),
            }
        }
        let (tensors, scalars) = data.split_at(self.slots.tensors.len());
        for (slot, from) in self.slots.tensors.iter_mut().zip(tensors) {
            slot.data.iter_mut().zip(*from).for_each(|(to, from)| *to = T::of(*from));
        }
        for ((_, to), from) in self.slots.scalars.iter_mut().zip(scalars) {
            *to = from[0];
        }
        Ok(())
    }
}
