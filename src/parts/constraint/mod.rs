//! Constraints: what is restored after each update, tensor by tensor.

use super::linalg;
use super::real::Real;
use super::tensor::Tensor;

/// A constraint on the tensors that it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// Each matrix of `omega` or `omegas` is scaled so that the trace of `Omega^T Omega` is the number of features.
    TraceNormalise,
    /// Values of a tensor are raised to a floor.
    Clamp {
        /// The tensor.
        tensor: &'static str,
        /// The floor.
        floor: f64,
    },
    /// Each basis of `omegas` becomes its polar factor: orthonormal columns.
    Polar,
    /// Each matrix of `omega` or `omegas` is scaled to sum of squares 1.
    NormalizeOmega,
    /// `reasonings` are clipped to `[0, 1]`.
    ClipReasonings,
}

/// Applies the constraint, if it concerns the tensor.
pub fn apply<T: Real>(constraint: Constraint, tensor: &mut Tensor<T>) {
    let matrices = |t: &Tensor<T>| match t.shape[..] {
        [d, l] | [_, d, l] => (d, l),
        _ => (0, 0),
    };
    match (constraint, tensor.name.as_str()) {
        (Constraint::Polar, "omegas") => {
            let (d, s) = matrices(tensor);
            tensor.data.chunks_exact_mut(d * s).for_each(|m| linalg::polar(m, d, s));
        }
        (Constraint::NormalizeOmega, "omega" | "omegas") => {
            let (d, l) = matrices(tensor);
            tensor.data.chunks_exact_mut(d * l).for_each(|m| scale_to_sum_of_squares(m, 1.0));
        }
        (Constraint::TraceNormalise, "omega" | "omegas") => {
            let (d, l) = matrices(tensor);
            tensor.data.chunks_exact_mut(d * l).for_each(|m| scale_to_sum_of_squares(m, d as f64));
        }
        (Constraint::Clamp { tensor: name, floor }, own) if name == own => {
            let floor = T::of(floor);
            tensor.data.iter_mut().for_each(|v| *v = num_traits::Float::max(*v, floor));
        }
        (Constraint::ClipReasonings, "reasonings") => {
            for v in &mut tensor.data {
                *v = num_traits::Float::max(T::zero(), num_traits::Float::min(T::one(), *v));
            }
        }
        _ => {}
    }
}

/// Scales a matrix to a sum of squares (the trace of `Omega Omega^T`); zeros stay.
fn scale_to_sum_of_squares<T: Real>(matrix: &mut [T], wanted: f64) {
    let sum: f64 = matrix.iter().map(|v| v.f64() * v.f64()).sum();
    if sum > 0.0 {
        let factor = T::of((wanted / sum).sqrt());
        matrix.iter_mut().for_each(|v| *v *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_on_its_own_tensors() {
        let values = vec![1.0, 2.0, -0.5, 0.3, 1.1, 0.7];
        let mut t = Tensor::new("omegas", &[1, 3, 2], values.clone());
        apply(Constraint::Polar, &mut t);
        for (a, b, want) in [(0, 0, 1.0), (1, 1, 1.0), (0, 1, 0.0)] {
            let gram: f64 = (0..3).map(|i| t.data[2 * i + a] * t.data[2 * i + b]).sum();
            assert!((gram - want).abs() < 1e-14);
        }
        let mut t = Tensor::new("omega", &[3, 2], values.clone());
        apply(Constraint::Polar, &mut t);
        assert_eq!(t.data, values);
        apply(Constraint::NormalizeOmega, &mut t);
        assert!((t.data.iter().map(|v| v * v).sum::<f64>() - 1.0).abs() < 1e-15);
        apply(Constraint::TraceNormalise, &mut t);
        assert!((t.data.iter().map(|v| v * v).sum::<f64>() - 3.0).abs() < 1e-14);
        let mut sigmas = Tensor::new("sigmas", &[2], vec![0.5, 1e-5]);
        apply(Constraint::Clamp { tensor: "sigmas", floor: 1e-3 }, &mut sigmas);
        assert_eq!(sigmas.data, [0.5, 1e-3]);
        let mut t = Tensor::new("reasonings", &[1, 3, 2], values);
        apply(Constraint::ClipReasonings, &mut t);
        assert_eq!(t.data, [1.0, 1.0, 0.0, 0.3, 1.0, 0.7]);
        let mut zero = Tensor::new("omega", &[1, 2], vec![0.0f32; 2]);
        apply(Constraint::NormalizeOmega, &mut zero);
        assert_eq!(zero.data, [0.0, 0.0]);
    }
}
