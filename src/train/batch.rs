//! Which rows make a batch, and what they weigh.

use crate::data::{Dataset, Label};
use crate::error::{Error, Result};
use crate::parts::random::stream;
use crate::train::options::ClassWeight;
use rand::RngExt;
use rand::seq::SliceRandom;

/// The order of the rows in epoch `epoch`: a Fisher-Yates shuffle of `0..n`.
pub fn permutation(n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n as u32).collect();
    rows.shuffle(&mut stream(seed, "shuffle", epoch));
    rows
}

/// Draws as many rows as there are in `rows`, with replacement, in proportion to their weight.
///
/// All weights of the rows 0: the rows as they are.
pub fn resample(rows: &[u32], weights: &[f64], seed: u64, step: u64) -> Vec<u32> {
    let mut total = 0.0;
    let cumulative: Vec<f64> = rows
        .iter()
        .map(|&r| {
            total += weights[r as usize];
            total
        })
        .collect();
    if total == 0.0 {
        return rows.to_vec();
    }
    let mut rng = stream(seed, "resample", step);
    rows.iter()
        .map(|_| {
            let u = rng.random::<f64>() * total;
            let i = cumulative.partition_point(|c| *c <= u);
            rows[i.min(rows.len() - 1)]
        })
        .collect()
}

/// The weight of each row in the loss, `omega_i = n v_i / sum v`, where `v` is the sample weight times the class weight.
///
/// None if all rows count the same.
pub fn row_weights(
    data: &Dataset,
    classes: &[Label],
    codes: &[u32],
    class_weight: &ClassWeight,
) -> Result<Option<Vec<f64>>> {
    let n = codes.len();
    let per_class: Option<Vec<f64>> = match class_weight {
        ClassWeight::None => None,
        ClassWeight::Balanced => {
            let mut counts = vec![0usize; classes.len()];
            codes.iter().for_each(|&c| counts[c as usize] += 1);
            let weight = |&c: &usize| n as f64 / (classes.len() as f64 * c.max(1) as f64);
            Some(counts.iter().map(weight).collect())
        }
        ClassWeight::Map(map) => {
            let names: Vec<String> = classes.iter().map(Label::to_string).collect();
            for key in map.keys() {
                if !names.contains(key) {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    return Err(Error::unknown("class_weight", key, &names));
                }
            }
            Some(names.iter().map(|name| map.get(name).copied().unwrap_or(1.0)).collect())
        }
    };
    if per_class.is_none() && data.weights.is_none() {
        return Ok(None);
    }
    let mut weights = match &data.weights {
        Some(w) => w.clone(),
        None => vec![1.0; n],
    };
    if weights.len() != n {
        return Err(Error::shape("sample_weight", format!("{n} values"), weights.len()));
    }
    for (row, w) in weights.iter().enumerate() {
        if !(w.is_finite() && *w >= 0.0) {
            return Err(Error::data(format!(
                "sample_weight: row {row}: {w} is not a finite number >= 0"
            )));
        }
    }
    if let Some(per_class) = per_class {
        for (w, &c) in weights.iter_mut().zip(codes) {
            *w *= per_class[c as usize];
        }
    }
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return Err(Error::data("sample_weight and class_weight: all rows have weight 0"));
    }
    if !sum.is_finite() {
        return Err(Error::data("sample_weight and class_weight: the sum overflows"));
    }
    let factor = n as f64 / sum;
    weights.iter_mut().for_each(|w| *w *= factor);
    Ok(Some(weights))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_its_own_order_of_all_rows() {
        let (a, b) = (permutation(100, 1, 0), permutation(100, 1, 1));
        assert_ne!(a, b);
        assert_eq!(a, permutation(100, 1, 0));
        let mut sorted = b;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<u32>>());
    }

    #[test]
    fn resampling_draws_in_proportion() {
        let weights = [0.0, 1.0, 3.0];
        let mut counts = [0usize; 3];
        for step in 0..4000 {
            for r in resample(&[0, 1, 2], &weights, 7, step) {
                counts[r as usize] += 1;
            }
        }
        assert_eq!(counts[0], 0);
        let share = counts[2] as f64 / 12000.0;
        assert!((share - 0.75).abs() < 0.02, "{share}");
    }
}
