//! Named tensors: the parameters of a model, their gradients, and whatever has the same shapes.

use super::real::Real;

/// A named, dense, row-major tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    /// Name as in the specification (`prototypes`, `omega`, `backbone.0.0`, ...).
    pub name: String,
    /// Lengths of the axes; `[]` for a scalar.
    pub shape: Vec<usize>,
    /// The values, last axis fastest.
    pub data: Vec<T>,
}

impl<T: Copy> Tensor<T> {
    /// A tensor from its parts. Panics if the number of values does not fit the shape (a programming error).
    pub fn new(name: impl Into<String>, shape: &[usize], data: Vec<T>) -> Self {
        let name = name.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape of {name}");
        Tensor { name, shape: shape.to_vec(), data }
    }
}

/// A list of named tensors in a fixed order (that of the catalogue row).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors<T> {
    /// The tensors.
    pub list: Vec<Tensor<T>>,
}

impl<T: Real> Tensors<T> {
    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor<T>> {
        self.list.iter().find(|t| t.name == name)
    }

    /// The tensor of that name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tensor<T>> {
        self.list.iter_mut().find(|t| t.name == name)
    }

    /// The values of a tensor that the composition is known to have. Panics otherwise (a programming error).
    pub fn values(&self, name: &str) -> &[T] {
        &self.get(name).unwrap_or_else(|| panic!("no tensor '{name}'")).data
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self, name: &str) -> &mut [T] {
        &mut self.get_mut(name).unwrap_or_else(|| panic!("no tensor '{name}'")).data
    }

    /// Tensors of the same names and shapes, all zero.
    pub fn zeros_like(&self) -> Self {
        Tensors {
            list: self
                .list
                .iter()
                .map(|t| Tensor {
                    name: t.name.clone(),
                    shape: t.shape.clone(),
                    data: vec![T::zero(); t.data.len()],
                })
                .collect(),
        }
    }

    /// Adds a tensor, or replaces the one of the same name.
    pub fn insert(&mut self, tensor: Tensor<T>) {
        match self.get_mut(&tensor.name) {
            Some(t) => *t = tensor,
            None => self.list.push(tensor),
        }
    }

    /// The same tensors in another precision.
    pub fn cast<U: Real>(&self) -> Tensors<U> {
        Tensors {
            list: self
                .list
                .iter()
                .map(|t| Tensor {
                    name: t.name.clone(),
                    shape: t.shape.clone(),
                    data: t.data.iter().map(|v| U::of(v.f64())).collect(),
                })
                .collect(),
        }
    }

    /// Number of values of all tensors together.
    pub fn len(&self) -> usize {
        self.list.iter().map(|t| t.data.len()).sum()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first tensor that holds a NaN or an infinity.
    pub fn first_not_finite(&self) -> Option<&str> {
        self.list
            .iter()
            .find(|t| t.data.iter().any(|v| !num_traits::Float::is_finite(*v)))
            .map(|t| t.name.as_str())
    }
}
