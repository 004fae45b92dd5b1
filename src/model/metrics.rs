//! How good predictions are.
//!
//! Classes are codes 0..C-1. Every function checks its input: lengths that differ, no row at all and codes
//! that are no class are errors.

use ndarray::{Array2, ArrayView2};

use crate::error::{Error, Result};

/// Counts of predictions.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    /// C x C: the rows are the true classes, the columns the predicted ones.
    pub counts: Array2<u64>,
}

/// Precision, recall and F1 of one class. A ratio without cases (0/0) is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScores {
    /// Share of the rows predicted as this class that are of it.
    pub precision: f64,
    /// Share of the rows of this class that are predicted as it.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Number of rows of this class.
    pub support: u64,
}

/// How to join the scores of the classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// The mean over the classes that occur, as true or as predicted class.
    Macro,
    /// From the counts of all classes together. With one prediction a row this is the accuracy.
    Micro,
    /// The mean weighted by the number of rows of each class.
    Weighted,
}

/// Counts how often each class is predicted as which.
pub fn confusion_matrix(
    truth: &[u32],
    predicted: &[u32],
    classes: usize,
) -> Result<ConfusionMatrix> {
    check(truth, predicted)?;
    let mut counts = Array2::zeros((classes, classes));
    for (row, (&t, &p)) in truth.iter().zip(predicted).enumerate() {
        let cell = counts.get_mut((t as usize, p as usize)).ok_or_else(|| {
            Error::data(format!("row {row}: class {} is not one of 0..{classes}", t.max(p)))
        })?;
        *cell += 1;
    }
    Ok(ConfusionMatrix { counts })
}

impl ConfusionMatrix {
    /// Number of rows of each true class.
    fn support(&self) -> Vec<u64> {
        self.counts.rows().into_iter().map(|row| row.sum()).collect()
    }

    /// Share of the rows that are predicted right.
    pub fn accuracy(&self) -> f64 {
        ratio(self.counts.diag().sum(), self.counts.sum())
    }

    /// Mean of the recalls of the classes that have rows.
    pub fn balanced_accuracy(&self) -> f64 {
        let recalls: Vec<f64> =
            self.per_class().iter().filter(|c| c.support > 0).map(|c| c.recall).collect();
        recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
    }

    /// The scores of each class.
    pub fn per_class(&self) -> Vec<ClassScores> {
        let support = self.support();
        (0..support.len())
            .map(|class| {
                let hits = self.counts[[class, class]];
                let precision = ratio(hits, self.counts.column(class).sum());
                let recall = ratio(hits, support[class]);
                ClassScores {
                    precision,
                    recall,
                    f1: harmonic(precision, recall),
                    support: support[class],
                }
            })
            .collect()
    }

    /// The scores of all classes joined; `support` is the number of rows.
    pub fn average(&self, average: Average) -> ClassScores {
        let classes = self.per_class();
        let support = self.counts.sum();
        if average == Average::Micro {
            // Each row is one prediction of one class: the false positives of all classes together are
            // the false negatives of all together.
            let share = self.accuracy();
            return ClassScores { precision: share, recall: share, f1: share, support };
        }
        let weights: Vec<f64> = classes
            .iter()
            .enumerate()
            .map(|(class, scores)| match average {
                Average::Weighted => scores.support as f64,
                _ => f64::from(u8::from(scores.support + self.counts.column(class).sum() > 0)),
            })
            .collect();
        let total: f64 = weights.iter().sum();
        let mean = |score: fn(&ClassScores) -> f64| {
            classes.iter().zip(&weights).map(|(c, w)| w * score(c)).sum::<f64>() / total
        };
        ClassScores {
            precision: mean(|c| c.precision),
            recall: mean(|c| c.recall),
            f1: mean(|c| c.f1),
            support,
        }
    }
}

/// Share of equal pairs.
pub fn accuracy(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    check(truth, predicted)?;
    let hits = truth.iter().zip(predicted).filter(|(t, p)| t == p).count();
    Ok(hits as f64 / truth.len() as f64)
}

/// Mean of -ln p over the rows, p being the probability given to the true class; p below the `f64`
/// epsilon counts as the epsilon.
///
/// `probabilities` is n x C. Errors: a class without a column, a value outside of [0, 1], a row whose sum
/// is off 1 by more than 1e-3 (rounding of `f32` is far below).
pub fn log_loss(truth: &[u32], probabilities: ArrayView2<'_, f64>) -> Result<f64> {
    const OFF: f64 = 1e-3;
    check_lengths("probabilities", truth.len(), probabilities.nrows())?;
    let mut total = 0.0;
    for (row, (&class, p)) in truth.iter().zip(probabilities.rows()).enumerate() {
        if let Some(bad) = p.iter().find(|p| !(0.0..=1.0 + OFF).contains(*p)) {
            return Err(Error::data(format!("row {row}: {bad} is not a probability")));
        }
        if (p.sum() - 1.0).abs() > OFF {
            return Err(Error::data(format!("row {row}: the probabilities sum to {}", p.sum())));
        }
        let p = p.get(class as usize).ok_or_else(|| {
            Error::data(format!("row {row}: class {class} has no column of {}", p.len()))
        })?;
        total -= p.clamp(f64::EPSILON, 1.0).ln();
    }
    Ok(total / truth.len() as f64)
}

/// Area under the ROC curve: the share of pairs of a positive and a negative row in which the positive
/// has the higher score, ties counting half (the Mann-Whitney statistic).
///
/// Errors: rows of one kind only, a score that is NaN.
pub fn auroc(positive: &[bool], scores: &[f64]) -> Result<f64> {
    check_lengths("scores", positive.len(), scores.len())?;
    if let Some(row) = scores.iter().position(|score| score.is_nan()) {
        return Err(Error::data(format!("the score of row {row} is NaN")));
    }
    let positives = positive.iter().filter(|&&p| p).count() as f64;
    let negatives = positive.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return Err(Error::data("the area under the ROC curve needs rows of both kinds"));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Not `total_cmp`: -0.0 and 0.0 are the same score.
    order.sort_by(|&a, &b| scores[a].partial_cmp(&scores[b]).unwrap_or(std::cmp::Ordering::Equal));
    // U = sum of the ranks of the positives - P (P + 1) / 2; equal scores share the mean of their ranks.
    let mut ranks = 0.0;
    let mut first = 0;
    for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let rank = first as f64 + (group.len() as f64 + 1.0) / 2.0;
        ranks += rank * group.iter().filter(|&&row| positive[row]).count() as f64;
        first += group.len();
    }
    Ok((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Adjusted Rand index of two partitions (Hubert & Arabie 1985): the share of pairs treated alike,
/// corrected for chance. With n_ij rows in part i of one and j of the other, a_i and b_j the sizes and
/// C(n) = n (n - 1) / 2:
///
/// ARI = (sum C(n_ij) - E) / ((sum C(a_i) + sum C(b_j)) / 2 - E), E = sum C(a_i) sum C(b_j) / C(n).
///
/// 1 for equal partitions, about 0 for independent ones. 1 where numerator and denominator vanish (both
/// partitions are one part, or both are n parts).
pub fn adjusted_rand_index(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    let table = Contingency::new(truth, predicted)?;
    let pairs = |n: f64| n * (n - 1.0) / 2.0;
    let both: f64 = table.cells.iter().map(|&(_, _, n)| pairs(n)).sum();
    let rows: f64 = table.rows.iter().map(|&n| pairs(n)).sum();
    let columns: f64 = table.columns.iter().map(|&n| pairs(n)).sum();
    let all = pairs(table.total);
    let expected = if all > 0.0 { rows * columns / all } else { 0.0 };
    let largest = (rows + columns) / 2.0;
    Ok(if largest == expected { 1.0 } else { (both - expected) / (largest - expected) })
}

/// Normalised mutual information of two partitions: 2 I(U; V) / (H(U) + H(V)), in [0, 1]. 1 if both
/// are one part.
pub fn normalized_mutual_information(truth: &[u32], predicted: &[u32]) -> Result<f64> {
    let table = Contingency::new(truth, predicted)?;
    let n = table.total;
    let entropy = |sizes: &[f64]| -> f64 {
        sizes.iter().filter(|&&s| s > 0.0).map(|s| -(s / n) * (s / n).ln()).sum()
    };
    let entropies = entropy(&table.rows) + entropy(&table.columns);
    if entropies == 0.0 {
        return Ok(1.0);
    }
    let information: f64 = table
        .cells
        .iter()
        .map(|&(i, j, count)| count / n * (n * count / (table.rows[i] * table.columns[j])).ln())
        .sum();
    Ok((2.0 * information / entropies).clamp(0.0, 1.0))
}

/// Share of each class 0..C-1 in the rows. Error: no row, a code that is no class.
pub fn class_priors(codes: &[u32], classes: usize) -> Result<Vec<f64>> {
    let matrix = confusion_matrix(codes, codes, classes)?;
    Ok(matrix.support().into_iter().map(|count| ratio(count, codes.len() as u64)).collect())
}

/// The names that [`score`] knows. Greater is better for each of them.
pub const SCORING: [&str; 15] = [
    "accuracy",
    "balanced_accuracy",
    "precision_macro",
    "precision_micro",
    "precision_weighted",
    "recall_macro",
    "recall_micro",
    "recall_weighted",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "neg_log_loss",
    "roc_auc",
    "adjusted_rand",
    "normalized_mutual_info",
];

/// What [`score`] may need.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// The true class of each row.
    pub truth: &'a [u32],
    /// The predicted class (or cluster) of each row.
    pub predicted: &'a [u32],
    /// Number of classes.
    pub classes: usize,
    /// Probabilities, n x C, for `neg_log_loss`.
    pub probabilities: Option<ArrayView2<'a, f64>>,
    /// The positive class and the score of each row, for `roc_auc`.
    pub positive: Option<(u32, &'a [f64])>,
}

/// A score by its name, one of [`SCORING`]; greater is better. Errors: an unknown name, a score that needs
/// what `scored` does not have, and those of the functions of this module.
pub fn score(name: &str, scored: &Scored<'_>) -> Result<f64> {
    let Scored { truth, predicted, classes, .. } = *scored;
    let matrix = || confusion_matrix(truth, predicted, classes);
    let needs = |what: &str| Error::parameter("scoring", format!("'{name}' needs {what}"));
    match name {
        "accuracy" => accuracy(truth, predicted),
        "balanced_accuracy" => Ok(matrix()?.balanced_accuracy()),
        "precision_macro" => Ok(matrix()?.average(Average::Macro).precision),
        "precision_micro" => Ok(matrix()?.average(Average::Micro).precision),
        "precision_weighted" => Ok(matrix()?.average(Average::Weighted).precision),
        "recall_macro" => Ok(matrix()?.average(Average::Macro).recall),
        "recall_micro" => Ok(matrix()?.average(Average::Micro).recall),
        "recall_weighted" => Ok(matrix()?.average(Average::Weighted).recall),
        "f1_macro" => Ok(matrix()?.average(Average::Macro).f1),
        "f1_micro" => Ok(matrix()?.average(Average::Micro).f1),
        "f1_weighted" => Ok(matrix()?.average(Average::Weighted).f1),
        "neg_log_loss" => {
            let p = scored.probabilities.ok_or_else(|| needs("a model with probabilities"))?;
            Ok(-log_loss(truth, p)?)
        }
        "roc_auc" => {
            let (class, scores) =
                scored.positive.ok_or_else(|| needs("a one-class model, which gives scores"))?;
            let positive: Vec<bool> = truth.iter().map(|&code| code == class).collect();
            auroc(&positive, scores)
        }
        "adjusted_rand" => adjusted_rand_index(truth, predicted),
        "normalized_mutual_info" => normalized_mutual_information(truth, predicted),
        _ => Err(Error::unknown("scoring", name, &SCORING)),
    }
}

/// How two partitions overlap; only the cells that are not 0.
struct Contingency {
    cells: Vec<(usize, usize, f64)>,
    rows: Vec<f64>,
    columns: Vec<f64>,
    total: f64,
}

impl Contingency {
    fn new(truth: &[u32], predicted: &[u32]) -> Result<Self> {
        check(truth, predicted)?;
        let mut pairs: Vec<(u32, u32)> =
            truth.iter().copied().zip(predicted.iter().copied()).collect();
        pairs.sort_unstable();
        // Parts are numbered anew, without gaps: a code may be anything up to 2^32.
        let (rows_of, rows) = sizes(truth);
        let (columns_of, columns) = sizes(predicted);
        let number = |codes: &[u32], code: u32| codes.partition_point(|&c| c < code);
        let cells = pairs
            .chunk_by(|a, b| a == b)
            .map(|same| {
                let (t, p) = same[0];
                (number(&rows_of, t), number(&columns_of, p), same.len() as f64)
            })
            .collect();
        Ok(Contingency { cells, rows, columns, total: truth.len() as f64 })
    }
}

/// The distinct codes, sorted, and how often each occurs.
fn sizes(codes: &[u32]) -> (Vec<u32>, Vec<f64>) {
    let mut sorted = codes.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f64)).unzip()
}

fn check(truth: &[u32], predicted: &[u32]) -> Result<()> {
    check_lengths("predictions", truth.len(), predicted.len())
}

fn check_lengths(what: &str, rows: usize, got: usize) -> Result<()> {
    if got != rows {
        return Err(Error::shape(what, format!("{rows} (one for each label)"), got));
    }
    if rows == 0 {
        return Err(Error::data("there is no row to score"));
    }
    Ok(())
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn harmonic(a: f64, b: f64) -> f64 {
    if a + b == 0.0 { 0.0 } else { 2.0 * a * b / (a + b) }
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    // Class 0: 3 rows, predicted 0 0 1. Class 1: 2 rows, predicted 1 2. Class 2: 1 row, predicted 2.
    // Class 3 never occurs.
    const TRUTH: [u32; 6] = [0, 0, 0, 1, 1, 2];
    const PREDICTED: [u32; 6] = [0, 0, 1, 1, 2, 2];

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} and {b}");
    }

    #[test]
    fn confusion_by_hand() {
        let matrix = confusion_matrix(&TRUTH, &PREDICTED, 4).unwrap();
        let expected = array![[2, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]];
        assert_eq!(matrix.counts, expected);
        close(matrix.accuracy(), 4.0 / 6.0);
        close(matrix.balanced_accuracy(), (2.0 / 3.0 + 0.5 + 1.0) / 3.0);
    }

    #[test]
    fn averages_by_hand() {
        let matrix = confusion_matrix(&TRUTH, &PREDICTED, 4).unwrap();
        // precision: 2/2, 1/2, 1/2; recall: 2/3, 1/2, 1/1; F1 = 2pr/(p+r): 4/5, 1/2, 2/3.
        let classes = matrix.per_class();
        close(classes[0].f1, 0.8);
        close(classes[2].f1, 2.0 / 3.0);
        assert_eq!(classes[3], ClassScores { precision: 0.0, recall: 0.0, f1: 0.0, support: 0 });
        let average = matrix.average(Average::Macro);
        close(average.precision, 2.0 / 3.0);
        close(average.recall, (2.0 / 3.0 + 0.5 + 1.0) / 3.0);
        close(average.f1, (0.8 + 0.5 + 2.0 / 3.0) / 3.0);
        let average = matrix.average(Average::Weighted);
        close(average.precision, (3.0 * 1.0 + 2.0 * 0.5 + 1.0 * 0.5) / 6.0);
        close(average.recall, 4.0 / 6.0);
        close(average.f1, (3.0 * 0.8 + 2.0 * 0.5 + 2.0 / 3.0) / 6.0);
        let average = matrix.average(Average::Micro);
        assert_eq!((average.precision, average.support), (4.0 / 6.0, 6));
    }

    #[test]
    fn log_loss_by_hand() {
        let p = array![[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]];
        let expected = (2f64.ln() - 0.75f64.ln() - f64::EPSILON.ln()) / 3.0;
        close(log_loss(&[0, 1, 1], p.view()).unwrap(), expected);
        for (bad, why) in [
            (array![[0.9, 0.9]], "row 0"),
            (array![[1.5, -0.5]], "1.5"),
            (array![[f64::NAN, 1.0]], "NaN"),
            (array![[1.0]], "column"),
        ] {
            let message = log_loss(&[1], bad.view()).unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
        }
    }

    #[test]
    fn auroc_by_hand() {
        // Pairs (positive, negative): 3 > 1, 3 > 2, 2 > 1, 2 = 2: 3.5 of 4.
        let positive = [true, true, false, false];
        close(auroc(&positive, &[3.0, 2.0, 1.0, 2.0]).unwrap(), 0.875);
        close(auroc(&positive, &[0.0, -0.0, 0.0, 0.0]).unwrap(), 0.5);
        assert!(auroc(&[true, true], &[1.0, 2.0]).is_err());
        assert!(auroc(&positive, &[f64::NAN, 2.0, 1.0, 2.0]).is_err());
    }

    #[test]
    fn clusterings_by_hand() {
        // Parts {0,1,2},{3,4,5} against {0,1},{2,3},{4,5}: cells 2,1 / 1,2; C: 1 + 1 = 2.
        // Rows 3 + 3 = 6, columns 1 + 1 + 1 = 3, all 15: E = 1.2, largest 4.5.
        let (u, v) = ([0, 0, 0, 1, 1, 1], [7, 7, 5, 5, 9, 9]);
        close(adjusted_rand_index(&u, &v).unwrap(), 0.8 / 3.3);
        // I = 2 (1/3) ln 2 (the pure cells) + 2 (1/6) ln 1; H(U) = ln 2, H(V) = ln 3.
        let expected = 2.0 * (2.0 / 3.0) * 2f64.ln() / (2f64.ln() + 3f64.ln());
        close(normalized_mutual_information(&u, &v).unwrap(), expected);
        // Names of the parts do not matter.
        close(adjusted_rand_index(&u, &[4, 4, 4, 0, 0, 0]).unwrap(), 1.0);
        close(normalized_mutual_information(&u, &[4, 4, 4, 0, 0, 0]).unwrap(), 1.0);
        // One part tells nothing.
        close(adjusted_rand_index(&u, &[0; 6]).unwrap(), 0.0);
        close(normalized_mutual_information(&u, &[0; 6]).unwrap(), 0.0);
        close(adjusted_rand_index(&[0], &[0]).unwrap(), 1.0);
        close(normalized_mutual_information(&[0, 0], &[1, 1]).unwrap(), 1.0);
    }

    #[test]
    fn priors() {
        assert_eq!(class_priors(&[0, 2, 2, 0], 4).unwrap(), [0.5, 0.0, 0.5, 0.0]);
        assert!(class_priors(&[3], 3).is_err());
    }

    #[test]
    fn wrong_input_is_an_error() {
        assert!(accuracy(&[0, 1], &[0]).unwrap_err().to_string().contains('2'));
        assert!(accuracy(&[], &[]).is_err());
        let message = confusion_matrix(&[0, 1], &[0, 5], 2).unwrap_err().to_string();
        assert!(message.contains("row 1") && message.contains('5'), "{message}");
    }

    #[test]
    fn every_name_scores_and_others_are_errors() {
        let p = array![[1.0, 0.0], [0.0, 1.0]];
        let full = Scored {
            truth: &[0, 1],
            predicted: &[0, 1],
            classes: 2,
            probabilities: Some(p.view()),
            positive: Some((1, &[0.2, 0.7])),
        };
        for name in SCORING {
            // Everything is right, so each score takes its largest value.
            let best = if name == "neg_log_loss" { 0.0 } else { 1.0 };
            close(score(name, &full).unwrap(), best);
        }
        let bare = Scored { probabilities: None, positive: None, ..full };
        for name in ["neg_log_loss", "roc_auc"] {
            assert!(score(name, &bare).unwrap_err().to_string().contains("needs"));
        }
        let message = score("acuracy", &full).unwrap_err().to_string();
        assert!(message.contains("'accuracy'") && message.contains("roc_auc"), "{message}");
    }

    proptest! {
        /// The rank formula against the definition.
        #[test]
        fn auroc_counts_pairs(rows in prop::collection::vec((any::<bool>(), 0i32..5), 2..30)) {
            let positive: Vec<bool> = rows.iter().map(|r| r.0).collect();
            let scores: Vec<f64> = rows.iter().map(|r| f64::from(r.1)).collect();
            prop_assume!(positive.contains(&true) && positive.contains(&false));
            let (mut won, mut pairs) = (0.0, 0.0);
            for a in rows.iter().filter(|r| r.0) {
                for b in rows.iter().filter(|r| !r.0) {
                    pairs += 1.0;
                    won += if a.1 > b.1 { 1.0 } else if a.1 == b.1 { 0.5 } else { 0.0 };
                }
            }
            prop_assert!((auroc(&positive, &scores).unwrap() - won / pairs).abs() < 1e-12);
        }

        /// The closed formula against counting pairs of rows: with a pairs together in both, b in the
        /// first only, c in the second only and d in none,
        /// ARI = 2 (a d - b c) / ((a + b)(b + d) + (a + c)(c + d)).
        #[test]
        fn rand_index_counts_pairs(rows in prop::collection::vec((0u32..4, 0u32..4), 2..30)) {
            let (u, v): (Vec<u32>, Vec<u32>) = rows.iter().copied().unzip();
            let mut counts = [[0.0f64; 2]; 2];
            for i in 0..rows.len() {
                for j in 0..i {
                    counts[usize::from(u[i] == u[j])][usize::from(v[i] == v[j])] += 1.0;
                }
            }
            let [[d, c], [b, a]] = counts;
            let below = (a + b) * (b + d) + (a + c) * (c + d);
            prop_assume!(below > 0.0);
            let expected = 2.0 * (a * d - b * c) / below;
            prop_assert!((adjusted_rand_index(&u, &v).unwrap() - expected).abs() < 1e-12);
        }
    }
}
