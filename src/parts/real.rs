//! The two precisions in which everything is computed.

use std::fmt::{Debug, Display};

/// `f32` or `f64`.
///
/// The mathematics in [`crate::parts`] is written once against this trait. Scalar functions come from
/// [`num_traits::Float`]; block-wide loops from [`crate::parts::simd`]; matrix products and
/// decompositions from [`crate::parts::linalg`].
pub trait Real:
    num_traits::Float
    + num_traits::NumAssign
    + faer::traits::RealField
    + bytemuck::Pod
    + super::exp::Exponential
    + std::iter::Sum
    + Debug
    + Display
    + Default
    + Send
    + Sync
    + 'static
{
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// Rounds to this precision.
    fn of(x: f64) -> Self;

    /// Widens to `f64`, exactly.
    fn f64(self) -> f64;
}

impl Real for f32 {
    const NAME: &'static str = "f32";
    #[inline(always)]
    fn of(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    const NAME: &'static str = "f64";
    #[inline(always)]
    fn of(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn f64(self) -> f64 {
        self
    }
}
