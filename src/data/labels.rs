//! Labels: whatever the user calls the classes, mapped to 0..C-1 in sorted order.

use std::collections::HashMap;
use std::fmt;

use ndarray::{ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A class as the user calls it. Whole numbers sort before texts.
///
/// In JSON a number or a string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Label {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Int(value) => value.fmt(f),
            Label::Text(text) => text.fmt(f),
        }
    }
}

/// A type whose values can be labels.
pub trait LabelValue {
    /// The value as a label, or why it cannot be one.
    fn to_label(&self) -> Result<Label, String>;
}

impl LabelValue for Label {
    fn to_label(&self) -> Result<Label, String> {
        Ok(self.clone())
    }
}

impl LabelValue for i64 {
    fn to_label(&self) -> Result<Label, String> {
        Ok(Label::Int(*self))
    }
}

impl LabelValue for i32 {
    fn to_label(&self) -> Result<Label, String> {
        Ok(Label::Int(i64::from(*self)))
    }
}

impl LabelValue for f64 {
    fn to_label(&self) -> Result<Label, String> {
        // Above 2^53 neighbouring whole numbers are the same f64, so two classes could fall together.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.fract() != 0.0 || !self.is_finite() {
            Err(format!("{self} is not a whole number"))
        } else if self.abs() > EXACT {
            Err(format!("{self} is too large for a label kept as a floating-point number"))
        } else {
            Ok(Label::Int(*self as i64))
        }
    }
}

impl LabelValue for f32 {
    fn to_label(&self) -> Result<Label, String> {
        f64::from(*self).to_label()
    }
}

impl LabelValue for &str {
    fn to_label(&self) -> Result<Label, String> {
        Ok(Label::Text((*self).to_string()))
    }
}

impl LabelValue for String {
    fn to_label(&self) -> Result<Label, String> {
        Ok(Label::Text(self.clone()))
    }
}

/// The labels of the rows of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// The distinct classes, sorted.
    pub classes: Vec<Label>,
    /// For each row the position of its class in `classes`.
    pub codes: Vec<u32>,
}

impl Labels {
    /// Labels from one value a row: `&[i64]`, `&[i32]`, `&[f64]`, `&[f32]`, `&[&str]`, `&[String]` or
    /// `&[Label]`. Error naming the row if a floating-point value is not a whole number.
    pub fn new<V: LabelValue>(values: &[V]) -> Result<Self> {
        Self::collect(values.iter())
    }

    /// Labels from an array of shape (n,1). Error for any other number of columns.
    pub fn from_column<V: LabelValue>(values: ArrayView2<'_, V>) -> Result<Self> {
        if values.ncols() != 1 {
            return Err(Error::shape(
                "labels",
                "shape (n) or (n, 1)",
                format!("({}, {})", values.nrows(), values.ncols()),
            ));
        }
        Self::collect(values.index_axis(Axis(1), 0).iter())
    }

    fn collect<'a, V: LabelValue + 'a>(values: impl Iterator<Item = &'a V>) -> Result<Self> {
        let mut encoder = Encoder::default();
        for (row, value) in values.enumerate() {
            let label = value
                .to_label()
                .map_err(|why| Error::data(format!("label of row {row}: {why}")))?;
            encoder.push(label)?;
        }
        Ok(encoder.finish())
    }

    /// The codes of `values` with respect to known, sorted `classes` (those of a model).
    ///
    /// A whole number that is not a class is looked for as a text too: a file whose labels happen to
    /// be all numbers still fits a model that was trained with texts among them. Error naming the
    /// label and the row for a value that is no class.
    pub fn encode_with(classes: &[Label], values: &[Label]) -> Result<Vec<u32>> {
        let index: HashMap<&Label, u32> = classes.iter().zip(0..).collect();
        values
            .iter()
            .enumerate()
            .map(|(row, value)| {
                let as_text = || index.get(&Label::Text(value.to_string()));
                index.get(value).or_else(as_text).copied().ok_or_else(|| {
                    Error::data(format!(
                        "label of row {row}: '{value}' is not one of the classes {}",
                        list(classes)
                    ))
                })
            })
            .collect()
    }

    /// The same labels with the codes of other `classes` (those of a model). Errors as
    /// [`Labels::encode_with`].
    pub fn recode(&self, classes: &[Label]) -> Result<Labels> {
        // Only classes that occur need a counterpart.
        let mut first_row = vec![None; self.classes.len()];
        for (row, &code) in self.codes.iter().enumerate() {
            first_row[code as usize].get_or_insert(row);
        }
        let mut new_code = vec![0; self.classes.len()];
        for (code, row) in first_row.iter().enumerate() {
            let Some(row) = row else { continue };
            let one = std::slice::from_ref(&self.classes[code]);
            new_code[code] = Self::encode_with(classes, one).map_err(|_| {
                Error::data(format!(
                    "label of row {row}: '{}' is not one of the classes {}",
                    one[0],
                    list(classes)
                ))
            })?[0];
        }
        Ok(Labels {
            classes: classes.to_vec(),
            codes: self.codes.iter().map(|&code| new_code[code as usize]).collect(),
        })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The label of a row. Panics if there is no such row.
    pub fn label(&self, row: usize) -> &Label {
        &self.classes[self.codes[row] as usize]
    }

    /// The labels of all rows.
    pub fn values(&self) -> Vec<Label> {
        (0..self.len()).map(|row| self.label(row).clone()).collect()
    }

    /// Number of rows of each class.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &code in &self.codes {
            counts[code as usize] += 1;
        }
        counts
    }

    /// The labels of some rows, in that order. `classes` stays whole, so codes keep their meaning.
    /// Panics if there is no such row.
    pub fn select(&self, rows: &[usize]) -> Labels {
        Labels {
            classes: self.classes.clone(),
            codes: rows.iter().map(|&row| self.codes[row]).collect(),
        }
    }
}

/// Codes in the order of first appearance, sorted at the end: no label is kept more than once.
#[derive(Default)]
pub(crate) struct Encoder {
    index: HashMap<Label, u32>,
    codes: Vec<u32>,
}

impl Encoder {
    pub(crate) fn push(&mut self, label: Label) -> Result<()> {
        let next = u32::try_from(self.index.len())
            .map_err(|_| Error::data("more than 2^32 different labels"))?;
        self.codes.push(*self.index.entry(label).or_insert(next));
        Ok(())
    }

    pub(crate) fn finish(self) -> Labels {
        let mut classes: Vec<(Label, u32)> = self.index.into_iter().collect();
        classes.sort();
        let mut sorted_code = vec![0; classes.len()];
        for ((_, old), new) in classes.iter().zip(0..) {
            sorted_code[*old as usize] = new;
        }
        Labels {
            classes: classes.into_iter().map(|(label, _)| label).collect(),
            codes: self.codes.into_iter().map(|old| sorted_code[old as usize]).collect(),
        }
    }
}

/// The first classes, for messages.
fn list(classes: &[Label]) -> String {
    const SHOWN: usize = 20;
    let mut text: Vec<String> = classes.iter().take(SHOWN).map(|c| format!("'{c}'")).collect();
    if classes.len() > SHOWN {
        text.push(format!("... ({} in all)", classes.len()));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_are_sorted_and_codes_follow_them() {
        let labels = Labels::new(&[5i64, -1, 2, 5]).unwrap();
        assert_eq!(labels.classes, [Label::Int(-1), Label::Int(2), Label::Int(5)]);
        assert_eq!(labels.codes, [2, 0, 1, 2]);
        assert_eq!(labels.counts(), [1, 1, 2]);

        let labels = Labels::new(&["b", "a", "b"]).unwrap();
        assert_eq!(labels.codes, [1, 0, 1]);
        assert_eq!(labels.label(0), &Label::Text("b".into()));
    }

    #[test]
    fn floats_must_be_whole() {
        assert_eq!(Labels::new(&[1.0, -2.0]).unwrap().classes, [Label::Int(-2), Label::Int(1)]);
        for bad in [1.7, f64::NAN, f64::INFINITY, 1e300] {
            let message = Labels::new(&[0.0, 1.0, bad]).unwrap_err().to_string();
            assert!(message.contains("row 2"), "{message}");
        }
    }

    #[test]
    fn one_column_is_a_list_and_two_are_an_error() {
        assert_eq!(Labels::from_column(array![[3i64], [1]].view()).unwrap().codes, [1, 0]);
        let message = Labels::from_column(array![[3i64, 1]].view()).unwrap_err().to_string();
        assert!(message.contains("(1, 2)"), "{message}");
    }

    #[test]
    fn an_unseen_label_names_itself_and_its_row() {
        let classes = [Label::Int(1), Label::Text("a".into())];
        let values = [Label::Text("a".into()), Label::Int(7)];
        let message = Labels::encode_with(&classes, &values).unwrap_err().to_string();
        assert!(message.contains("row 1") && message.contains("'7'"), "{message}");
        let labels = Labels::new(&values).unwrap();
        let message = labels.recode(&classes).unwrap_err().to_string();
        assert!(message.contains("row 1") && message.contains("'7'"), "{message}");
    }

    #[test]
    fn a_number_fits_a_class_that_was_read_as_text() {
        let classes = [Label::Text("1".into()), Label::Text("x".into())];
        assert_eq!(Labels::encode_with(&classes, &[Label::Int(1)]).unwrap(), [0]);
    }

    #[test]
    fn labels_are_numbers_or_strings_in_json() {
        let classes = vec![Label::Int(-1), Label::Text("1".into())];
        let json = serde_json::to_string(&classes).unwrap();
        assert_eq!(json, r#"[-1,"1"]"#);
        assert_eq!(serde_json::from_str::<Vec<Label>>(&json).unwrap(), classes);
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(values in prop::collection::vec(
            prop_oneof![any::<i64>().prop_map(Label::Int), "[a-c]{0,2}".prop_map(Label::Text)],
            0..50,
        )) {
            let labels = Labels::new(&values).unwrap();
            prop_assert_eq!(labels.values(), values.clone());
            prop_assert!(labels.classes.is_sorted());
            prop_assert!(labels.counts().iter().all(|&count| count > 0));
            prop_assert_eq!(Labels::encode_with(&labels.classes, &values).unwrap(), labels.codes);
        }
    }
}
