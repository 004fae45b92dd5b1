//! Which rows to train on and which to test on. Everything is by row numbers and seeded; the same seed
//! gives the same split whatever else is drawn.

use rand::seq::SliceRandom;

use crate::error::{Error, Result};
use crate::parts::random::stream;

/// A split of the rows 0..n in two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on, in random order.
    pub train: Vec<usize>,
    /// Rows to test on, in random order.
    pub test: Vec<usize>,
}

/// A random permutation of 0..n; its first floor(n `test_size`) rows are the test set.
///
/// Errors: `test_size` not between 0 and 1, or so that one of the two sets would be empty.
pub fn train_test_split(n: usize, test_size: f64, seed: u64) -> Result<Split> {
    let test_rows = test_rows(n, test_size)?;
    let mut test = permutation(n, seed, "train_test_split");
    let train = test.split_off(test_rows);
    Ok(Split { train, test })
}

/// The same with each class split in (nearly) the same proportion: class c with n_c rows gives
/// floor(n_c `test_size`) of them, and the rows that are then missing from floor(n `test_size`) come one
/// each from the classes with the largest remainders. Every class keeps at least one row to train on.
///
/// `codes` holds the class of each row. Errors as [`train_test_split`], and a class with one row.
pub fn stratified_train_test_split(codes: &[u32], test_size: f64, seed: u64) -> Result<Split> {
    let total = test_rows(codes.len(), test_size)?;
    let members = members(codes, seed)?;

    let share = |rows: &Vec<usize>| rows.len() as f64 * test_size;
    let mut taken: Vec<usize> = members
        .iter()
        .map(|rows| (share(rows) as usize).min(rows.len().saturating_sub(1)))
        .collect();
    let mut order: Vec<usize> = (0..members.len()).filter(|&c| !members[c].is_empty()).collect();
    // A stable sort: equal remainders stay in the order of the classes.
    order.sort_by(|&a, &b| share(&members[b]).fract().total_cmp(&share(&members[a]).fract()));
    // Rounding of the products can make the parts more than the whole.
    let mut missing = total.saturating_sub(taken.iter().sum::<usize>());
    // One round serves all but the cases where small classes cannot give their share.
    while missing > 0 {
        let before = missing;
        for &class in &order {
            if missing > 0 && taken[class] + 1 < members[class].len() {
                taken[class] += 1;
                missing -= 1;
            }
        }
        if missing == before {
            break; // All classes are down to one row to train on.
        }
    }

    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (rows, taken) in members.iter().zip(taken) {
        test.extend(&rows[..taken]);
        train.extend(&rows[taken..]);
    }
    // Class by class would be a poor order for anything that reads batches.
    train.shuffle(&mut stream(seed, "split order", 0));
    test.shuffle(&mut stream(seed, "split order", 1));
    Ok(Split { train, test })
}

/// `k` splits of 0..n; each row is tested in exactly one of them. The sizes of the test sets differ by at
/// most one: the first n mod k folds have one row more.
///
/// Errors: k < 2, k > n.
pub fn k_fold(n: usize, k: usize, seed: u64) -> Result<Vec<Split>> {
    check_folds(n, k)?;
    let rows = permutation(n, seed, "k_fold");
    let (size, more) = (n / k, n % k);
    let mut fold = vec![0; n];
    for (position, &row) in rows.iter().enumerate() {
        let large = more * (size + 1);
        fold[row] =
            if position < large { position / (size + 1) } else { more + (position - large) / size };
    }
    Ok(folds(&rows, &fold, k))
}

/// The same with the rows of each class dealt to the folds in turn, so that in each fold every class has
/// its share, up to one row; the sizes of the test sets still differ by at most one.
///
/// `codes` holds the class of each row. Errors as [`k_fold`], and a class with one row: the fold that
/// tests it would have none to train on.
pub fn stratified_k_fold(codes: &[u32], k: usize, seed: u64) -> Result<Vec<Split>> {
    check_folds(codes.len(), k)?;
    let mut fold = vec![0; codes.len()];
    // Each class begins where the one before stopped.
    for (position, &row) in members(codes, seed)?.iter().flatten().enumerate() {
        fold[row] = position % k;
    }
    let rows = permutation(codes.len(), seed, "k_fold");
    Ok(folds(&rows, &fold, k))
}

fn folds(rows: &[usize], fold: &[usize], k: usize) -> Vec<Split> {
    (0..k)
        .map(|this| {
            let (test, train) = rows.iter().partition(|&&row| fold[row] == this);
            Split { train, test }
        })
        .collect()
}

fn permutation(n: usize, seed: u64, purpose: &str) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..n).collect();
    rows.shuffle(&mut stream(seed, purpose, 0));
    rows
}

/// The rows of each class in random order.
fn members(codes: &[u32], seed: u64) -> Result<Vec<Vec<usize>>> {
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (row, &code) in codes.iter().enumerate() {
        let code = code as usize;
        if code >= members.len() {
            members.resize_with(code + 1, Vec::new);
        }
        members[code].push(row);
    }
    for (class, rows) in members.iter_mut().enumerate() {
        if rows.len() == 1 {
            return Err(Error::data(format!(
                "class {class} has one row (row {}): it cannot be both trained on and tested; \
                 use a split that is not stratified",
                rows[0]
            )));
        }
        rows.shuffle(&mut stream(seed, "stratify", class as u64));
    }
    Ok(members)
}

fn test_rows(n: usize, test_size: f64) -> Result<usize> {
    if !(test_size > 0.0 && test_size < 1.0) {
        let reason = format!("got {test_size}, expected a share between 0 and 1");
        return Err(Error::parameter("test_size", reason));
    }
    let rows = (n as f64 * test_size).floor() as usize;
    if rows == 0 || rows >= n {
        let reason = format!("{test_size} of {n} rows leaves one of the two sets empty");
        return Err(Error::parameter("test_size", reason));
    }
    Ok(rows)
}

fn check_folds(n: usize, k: usize) -> Result<()> {
    if k < 2 || k > n {
        let reason = format!("got {k} folds, expected 2 to {n}, the number of rows");
        return Err(Error::parameter("k", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_partition(split: &Split, n: usize) -> bool {
        let mut all: Vec<usize> = split.train.iter().chain(&split.test).copied().collect();
        all.sort_unstable();
        all.into_iter().eq(0..n)
    }

    fn count(rows: &[usize], codes: &[u32], class: u32) -> usize {
        rows.iter().filter(|&&row| codes[row] == class).count()
    }

    #[test]
    fn sizes() {
        let split = train_test_split(13, 0.2, 42).unwrap();
        assert_eq!((split.test.len(), split.train.len()), (2, 11));
        let sizes: Vec<usize> = k_fold(13, 5, 42).unwrap().iter().map(|f| f.test.len()).collect();
        assert_eq!(sizes, [3, 3, 3, 2, 2]);
    }

    #[test]
    fn classes_keep_their_shares() {
        // 10 rows of class 0, 5 of class 2 (class 1 has none); 0.3: 3 and 1.5, 4 in all.
        let codes: Vec<u32> = (0..15).map(|row| if row % 3 == 0 { 2 } else { 0 }).collect();
        let split = stratified_train_test_split(&codes, 0.3, 1).unwrap();
        assert!(is_partition(&split, 15));
        assert_eq!((count(&split.test, &codes, 0), count(&split.test, &codes, 2)), (3, 1));
        // 0.9 of 2 rows would be both: one stays.
        let split = stratified_train_test_split(&[0, 0, 1, 1], 0.9, 1).unwrap();
        assert_eq!(split.train.len(), 2);
        for fold in stratified_k_fold(&codes, 5, 1).unwrap() {
            assert_eq!((count(&fold.test, &codes, 0), count(&fold.test, &codes, 2)), (2, 1));
        }
    }

    #[test]
    fn impossible_splits_are_errors() {
        for size in [0.0, 1.0, -0.5, f64::NAN, 0.01] {
            let message = train_test_split(10, size, 0).unwrap_err().to_string();
            assert!(message.contains("test_size"), "{message}");
        }
        for (n, k) in [(10, 0), (10, 1), (10, 11), (0, 2)] {
            let message = k_fold(n, k, 0).unwrap_err().to_string();
            assert!(message.starts_with("k:"), "{message}");
            assert!(stratified_k_fold(&vec![0; n], k, 0).is_err());
        }
        let message = stratified_k_fold(&[0, 0, 1], 2, 0).unwrap_err().to_string();
        assert!(message.contains("class 1") && message.contains("row 2"), "{message}");
        assert!(stratified_train_test_split(&[0, 0, 1], 0.5, 0).is_err());
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(k_fold(50, 5, 7).unwrap(), k_fold(50, 5, 7).unwrap());
        assert_ne!(k_fold(50, 5, 7).unwrap(), k_fold(50, 5, 8).unwrap());
    }

    proptest! {
        #[test]
        fn every_row_is_tested_once(counts in prop::collection::vec(2usize..20, 1..5), k in 2usize..6, seed: u64) {
            let codes: Vec<u32> =
                counts.iter().zip(0u32..).flat_map(|(&count, c)| vec![c; count]).collect();
            let n = codes.len();
            prop_assume!(k <= n);
            for folds in [k_fold(n, k, seed).unwrap(), stratified_k_fold(&codes, k, seed).unwrap()] {
                prop_assert_eq!(folds.len(), k);
                prop_assert!(folds.iter().all(|fold| is_partition(fold, n)));
                let mut tested: Vec<usize> = folds.iter().flat_map(|f| f.test.clone()).collect();
                tested.sort_unstable();
                prop_assert!(tested.into_iter().eq(0..n));
                let sizes = || folds.iter().map(|fold| fold.test.len());
                prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
            }
            for fold in stratified_k_fold(&codes, k, seed).unwrap() {
                for (class, &rows) in counts.iter().enumerate() {
                    let tested = count(&fold.test, &codes, class as u32);
                    prop_assert!(tested == rows / k || tested == rows.div_ceil(k));
                }
            }
        }

        #[test]
        fn a_split_is_a_partition(
            counts in prop::collection::vec(2usize..20, 1..5), size in 0.05f64..0.95, seed: u64,
        ) {
            let codes: Vec<u32> =
                counts.iter().zip(0u32..).flat_map(|(&count, c)| vec![c; count]).collect();
            let n = codes.len();
            prop_assume!((n as f64 * size) as usize > 0);
            prop_assert!(is_partition(&train_test_split(n, size, seed).unwrap(), n));
            let split = stratified_train_test_split(&codes, size, seed).unwrap();
            prop_assert!(is_partition(&split, n));
            for (class, &rows) in counts.iter().enumerate() {
                let left = count(&split.train, &codes, class as u32);
                prop_assert!(left >= 1);
                let exact = rows as f64 * (1.0 - size);
                prop_assert!((left as f64 - exact).abs() <= 1.0 + counts.len() as f64);
            }
        }
    }
}
