//! CSV: one header line with the names of the columns, then one line a row.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use ndarray::Array2;

use super::{Fault, ReadOptions, finish, open};
use crate::data::dataset::{Dataset, Features};
use crate::data::labels::{Encoder, Label, LabelValue, Labels};
use crate::error::{Error, Result};

/// Reads a data set in `f64` from a file.
///
/// Labels that are all whole numbers (`1.0` is one) become [`Label::Int`], otherwise all become
/// [`Label::Text`]. If all are numbers and one is not whole, that is an error: it is no class.
pub fn read_csv(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    // Lines are counted only for a message, by reading the file again.
    parse(open(path)?, path, options, &|byte| line_at(File::open(path)?, byte))
}

/// Reads a data set from memory; `name` takes the place of the file in messages.
pub fn read_csv_bytes(bytes: &[u8], name: &Path, options: &ReadOptions) -> Result<Dataset> {
    parse(bytes, name, options, &|byte| line_at(bytes, byte))
}

fn parse(
    input: impl Read,
    path: &Path,
    options: &ReadOptions,
    line_at: &dyn Fn(u64) -> io::Result<u64>,
) -> Result<Dataset> {
    let wrong = |reason: String| Error::format(path, reason);
    let wrong_at = |place: Place, reason: String| {
        let line = line_at(place.byte).map(|line| format!(" (line {line})")).unwrap_or_default();
        Error::format(path, format!("row {}{line}{reason}", place.row))
    };
    let mut reader =
        ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut record = ::csv::ByteRecord::new();
    let mut next = |record: &mut ::csv::ByteRecord| {
        reader.read_byte_record(record).map_err(|error| match error.into_kind() {
            ::csv::ErrorKind::Io(error) => Fault::from(error).at(path),
            other => wrong(format!("{other:?}")),
        })
    };

    if !next(&mut record)? {
        return Err(wrong("is empty; expected a header line with the names of the columns".into()));
    }
    let names = header(&record).map_err(wrong)?;
    let columns = Columns::choose(&names, path, options)?;

    let mut values = Vec::new();
    let mut labels = LabelColumn::default();
    let mut weights = Vec::new();
    let mut row = 0;
    while next(&mut record)? {
        let place = Place { row, byte: record.position().map_or(0, |position| position.byte()) };
        if record.len() != names.len() {
            let (got, expected) = (record.len(), names.len());
            let reason = format!(": {got} fields, expected {expected} as in the header");
            return Err(wrong_at(place, reason));
        }
        for (column, field) in record.iter().enumerate() {
            let result = if Some(column) == columns.label {
                text(field).and_then(|text| labels.push(text, place))
            } else {
                let list = if Some(column) == columns.weight { &mut weights } else { &mut values };
                text(field).and_then(number).map(|value| list.push(value))
            };
            result
                .map_err(|why| wrong_at(place, format!(", column '{}': {why}", names[column])))?;
        }
        row += 1;
    }
    if row == 0 {
        return Err(wrong("has a header but no rows".into()));
    }

    let features = Array2::from_shape_vec((row, columns.features.len()), values)
        .map_err(|error| wrong(error.to_string()))?;
    let labels = match columns.label {
        Some(column) => Some(labels.finish().map_err(|(place, why)| {
            wrong_at(place, format!(", column '{}': {why}", names[column]))
        })?),
        None => None,
    };
    let feature_names = columns.features.iter().map(|&column| names[column].clone()).collect();
    finish(path, Features::from(features), labels, feature_names, columns.weight.map(|_| weights))
}

/// A row, counted from 0 without the header, and where the reader was before it.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    byte: u64,
}

/// The line, counted from 1, of the first row that begins at or after position `byte`. The reader counts
/// neither the empty lines that it skips nor the second half of a line end of two characters.
fn line_at(input: impl Read, byte: u64) -> io::Result<u64> {
    let (mut line, mut before) = (1, b' ');
    for (position, next) in (0..).zip(BufReader::new(input).bytes()) {
        let next = next?;
        if position >= byte && !matches!(next, b'\r' | b'\n') {
            break;
        }
        if next == b'\r' || next == b'\n' && before != b'\r' {
            line += 1;
        }
        before = next;
    }
    Ok(line)
}

fn text(field: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(field).map(str::trim).map_err(|_| "not UTF-8 text".to_string())
}

/// The names of the columns, checked.
fn header(record: &::csv::ByteRecord) -> Result<Vec<String>, String> {
    let mut names = Vec::with_capacity(record.len());
    let mut seen = HashSet::new();
    for (column, field) in record.iter().enumerate() {
        let name =
            text(field).map_err(|why| format!("is not CSV: the header is {why}"))?.to_string();
        if name.is_empty() {
            return Err(format!(
                "column {column} has no name in the header (an index column? leave it out)"
            ));
        }
        if !seen.insert(name.clone()) {
            return Err(format!("two columns have the name '{name}'"));
        }
        names.push(name);
    }
    // `0,1,2,...` are names that tables without better ones get; `5.1,3.5,...` is the first row.
    let all_numbers = names.len() > 1 && names[..names.len() - 1].iter().all(|n| is_number(n));
    if all_numbers && names.iter().any(|n| is_number(n) && n.parse::<u64>().is_err()) {
        return Err(format!(
            "the first line looks like data (column 0 would have the name '{}'); expected a header \
             line with the names of the columns",
            names[0]
        ));
    }
    Ok(names)
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

/// A finite number, or why not.
fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(_) => Err(format!("'{text}' is not a finite number")),
        Err(_) if text.is_empty() => Err("the field is empty, expected a number".to_string()),
        Err(_) => Err(format!("'{text}' is not a number")),
    }
}

/// What each column is.
struct Columns {
    features: Vec<usize>,
    label: Option<usize>,
    weight: Option<usize>,
}

impl Columns {
    fn choose(names: &[String], path: &Path, options: &ReadOptions) -> Result<Self> {
        let find = |name: &str| names.iter().position(|n| n == name);
        let missing = |what: &str, name: &str| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Error::unknown(&format!("{}: {what}", path.display()), name, &names)
        };

        let weight = match &options.weights_column {
            Some(name) => Some(find(name).ok_or_else(|| missing("weights column", name))?),
            None => None,
        };
        let others = || (0..names.len()).filter(|&column| Some(column) != weight);
        let label = match &options.target {
            Some(name) => match find(name) {
                None if !options.unlabelled => return Err(missing("target column", name)),
                found => found,
            },
            None if !options.unlabelled => others().next_back(),
            None => match options.expected_columns {
                Some(expected) if others().count() == expected + 1 => others().next_back(),
                _ => None,
            },
        };
        if label.is_some() && label == weight {
            return Err(Error::parameter("weights", "the column is that of the labels too"));
        }
        let features: Vec<usize> = others().filter(|&column| Some(column) != label).collect();
        if features.is_empty() {
            let hint = if names.len() == 1 && names[0].contains([';', '\t']) {
                " (fields have to be separated by commas)"
            } else {
                ""
            };
            return Err(Error::format(
                path,
                format!("has no column of features; its columns: {}{hint}", names.join(", ")),
            ));
        }
        Ok(Columns { features, label, weight })
    }
}

/// The label column: what kind of labels it holds is known only at its end.
#[derive(Default)]
struct LabelColumn {
    index: HashMap<String, usize>,
    /// Each different text with the place where it came first.
    distinct: Vec<(String, Place)>,
    codes: Vec<usize>,
}

impl LabelColumn {
    fn push(&mut self, text: &str, place: Place) -> Result<(), String> {
        if let Some(&code) = self.index.get(text) {
            self.codes.push(code);
            return Ok(());
        }
        if text.is_empty() {
            return Err("the label is empty".to_string());
        }
        if text.contains('\n') {
            // The reader takes everything up to the next quote for one field.
            return Err("the label goes over several lines; is a quote not closed?".to_string());
        }
        self.codes.push(self.distinct.len());
        self.index.insert(text.to_string(), self.distinct.len());
        self.distinct.push((text.to_string(), place));
        Ok(())
    }

    /// Error with the place of the label that cannot be one.
    fn finish(self) -> Result<Labels, (Place, String)> {
        let numeric = self.distinct.iter().all(|(text, _)| is_number(text));
        let mut classes = Vec::with_capacity(self.distinct.len());
        for (text, place) in &self.distinct {
            classes.push(if numeric {
                whole(text).map_err(|why| (*place, format!("{why}; a label is a class")))?
            } else {
                Label::Text(text.clone())
            });
        }
        let mut encoder = Encoder::default();
        for code in self.codes {
            let place = self.distinct[code].1;
            encoder.push(classes[code].clone()).map_err(|error| (place, error.to_string()))?;
        }
        Ok(encoder.finish())
    }
}

/// `1`, `1.0` and `1e0` are the same class.
fn whole(text: &str) -> Result<Label, String> {
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(value), _) => Ok(Label::Int(value)),
        (_, Ok(value)) => value.to_label(),
        _ => Err(format!("'{text}' is not a number")),
    }
}
