//! Median LVQ (Nebel, Hammer, Frohberg & Villmann 2015): prototypes are rows.
//!
//! Weight of a row: `om = -mu` if `mu < 0`, else `0.1 mu`. A prototype becomes the row b of its class with the least
//! `score(b) = sum om_i d(x_i, x_b)` over the rows it answers for, the first on ties. For the squared Euclidean distance the
//! least score is the row nearest to the weighted mean (if the weights sum to more than 0).

/// Weight of a row from its relative distance difference.
pub fn weight(mu: f64) -> f64 {
    if mu < 0.0 { -mu } else { 0.1 * mu }
}

/// The candidate of least score, the first on ties; none without candidates. `members`: rows answered for, with weights;
/// `distance(i, b)` between rows.
pub fn best(
    candidates: &[usize],
    members: &[(usize, f64)],
    distance: &dyn Fn(usize, usize) -> f64,
) -> Option<usize> {
    let score = |b: usize| members.iter().map(|&(i, om)| om * distance(i, b)).sum::<f64>();
    let mut best: Option<(f64, usize)> = None;
    for &b in candidates {
        let s = score(b);
        if best.is_none_or(|(least, _)| s < least) {
            best = Some((s, b));
        }
    }
    best.map(|(_, b)| b)
}

/// The same for squared Euclidean distance, in one pass over members and one over candidates.
///
/// `score(b) = W |m - x_b|^2 + const` with `W = sum om` and m the weighted mean. Weights that sum to 0 make all scores equal:
/// the first candidate. `row(i, out)` copies row i.
pub fn best_squared(
    candidates: &[usize],
    members: &[(usize, f64)],
    d: usize,
    row: &dyn Fn(usize, &mut [f64]),
) -> Option<usize> {
    let total: f64 = members.iter().map(|(_, om)| om).sum();
    let first = candidates.first().copied();
    if total <= 0.0 {
        return first;
    }
    let (mut mean, mut x) = (vec![0.0; d], vec![0.0; d]);
    for &(i, om) in members {
        row(i, &mut x);
        mean.iter_mut().zip(&x).for_each(|(m, x)| *m += om * x);
    }
    mean.iter_mut().for_each(|m| *m /= total);
    let mut best: Option<(f64, usize)> = None;
    for &b in candidates {
        row(b, &mut x);
        let s: f64 = mean.iter().zip(&x).map(|(m, x)| (m - x) * (m - x)).sum();
        if best.is_none_or(|(least, _)| s < least) {
            best = Some((s, b));
        }
    }
    best.map(|(_, b)| b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortcut_and_search_agree() {
        let x: Vec<[f64; 2]> =
            (0..20).map(|i| [(f64::from(i) * 1.7).sin(), (f64::from(i) * 0.9).cos()]).collect();
        let distance =
            |i: usize, b: usize| (x[i][0] - x[b][0]).powi(2) + (x[i][1] - x[b][1]).powi(2);
        let row = |i: usize, out: &mut [f64]| out.copy_from_slice(&x[i]);
        for k in 1..6 {
            let members: Vec<(usize, f64)> =
                (0..20).filter(|i| i % k == 0).map(|i| (i, 0.1 + (i as f64).cos().abs())).collect();
            let candidates: Vec<usize> = (0..20).collect();
            assert_eq!(
                best(&candidates, &members, &distance),
                best_squared(&candidates, &members, 2, &row)
            );
        }
        assert_eq!(best_squared(&[7, 3], &[(1, 0.0)], 2, &row), Some(7));
        assert_eq!(weight(-0.5), 0.5);
        assert!((weight(0.5) - 0.05).abs() < 1e-15);
    }
}
