//! The Gaussian similarity of a squared distance, `S = exp(-D / (2 sigma^2))`; `dL/dD = -S dL/dS / (2 sigma^2)`.

crate::vectorized! {
    /// Similarities of distances, 0 where the exponent is `faint` or less.
    pub fn similarity<T>(d: &[T], sigma: T, faint: T, s: &mut [T]) {
        let scale = -T::one() / (T::of(2.0) * sigma * sigma);
        for (s, d) in s.iter_mut().zip(d) {
            *s = (*d * scale).exponential_from(faint);
        }
    }

    /// `dL/dS` in `g` becomes `dL/dD`.
    pub fn backward<T>(s: &[T], sigma: T, g: &mut [T]) {
        let scale = -T::one() / (T::of(2.0) * sigma * sigma);
        for (g, s) in g.iter_mut().zip(s) {
            *g = *g * *s * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::exp::Exponential;

    /// Nothing but similarities tells which class is next to a row that is far from all.
    #[test]
    fn far_rows_are_told_apart() {
        let mut s = [0.0f32; 3];
        similarity(&[150.0, 140.0, 160.0], 1.0, f32::LEAST, &mut s);
        assert!(s[1] > s[0] && s[0] > s[2] && s[2] > 0.0, "{s:?}");
    }

    #[test]
    fn slope_by_differences() {
        for d in [0.0, 0.3, 2.0, 50.0] {
            let value = |d: f64| {
                let mut s = [0.0];
                similarity(&[d], 0.8, f64::FAINT, &mut s);
                s[0]
            };
            let mut g = [1.0];
            backward(&[value(d)], 0.8, &mut g);
            let slope = (value(d + 1e-6) - value(d - 1e-6)) / 2e-6;
            assert!((g[0] - slope).abs() < 1e-8);
        }
    }
}
