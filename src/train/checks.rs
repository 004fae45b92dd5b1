//! What is checked of model, options and data together, before any work.

use super::options::Training;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::model::catalogue::ObjectiveChoice;
use crate::parts::composition::Precision;
use crate::parts::metric::Operand;

/// Options that mean nothing to a model with an update rule must stay at their defaults.
pub(super) fn refuse_gradient_options(model: &Model, options: &Training) -> Result<()> {
    let (mine, default) = (options.to_json(), Training::default().to_json());
    let honoured = [
        "max_iter",
        "lr",
        "epsilon",
        "random_seed",
        "patience",
        "restore_best",
        "class_weight",
        "precision",
        "use_scan",
        "gradient_checkpointing",
    ];
    for (key, value) in &mine {
        let unused =
            !honoured.contains(&key.as_str()) || (key == "lr" && model.name() == "MedianLVQ");
        if unused && default.get(key) != Some(value) {
            return Err(Error::parameter(
                key,
                format!("not used by {}, which has an update rule and no gradient", model.name()),
            ));
        }
    }
    if options.precision.operand() != Operand::Full {
        return Err(Error::parameter(
            "precision",
            format!("{} trains in f32 or f64: it has no gradient to scale", model.name()),
        ));
    }
    if model.row().objective == ObjectiveChoice::Hebbian && options.lr >= 1.0 {
        return Err(Error::parameter(
            "lr",
            format!("must be > 0 and < 1 for {}, got {}", model.name(), options.lr),
        ));
    }
    Ok(())
}

/// Data that the precision cannot hold: an error where distances overflow, a warning where digits are lost.
pub(super) fn check_range(
    data: &Dataset,
    centre: &[f64],
    precision: Precision,
) -> Result<Vec<String>> {
    let deviations = data.features.deviations(centre);
    let d = centre.len() as f64;
    let largest = match precision {
        Precision::F64 => f64::MAX,
        _ => f64::from(f32::MAX),
    };
    let name = |column: usize| match data.feature_names.get(column) {
        Some(name) => format!("column {column} ({name})"),
        None => format!("column {column}"),
    };
    let mut warnings = Vec::new();
    for (column, (&dev, &mean)) in deviations.iter().zip(centre).enumerate() {
        // Distances reach d (2 dev)^2, and their sums and products twice that.
        if 16.0 * d * dev * dev >= largest {
            return Err(Error::data(format!(
                "{}: {}: values up to {dev:e} from the mean make distances overflow in {precision}; scale the data",
                data.source,
                name(column)
            )));
        }
        if precision == Precision::F16 && dev > 6e4 {
            return Err(Error::data(format!(
                "{}: {}: values up to {dev:e} from the mean do not fit f16; use bf16, or scale the data",
                data.source,
                name(column)
            )));
        }
        if precision != Precision::F64 && dev > 0.0 && mean.abs() > 1e7 * dev {
            warnings.push(format!(
                "{}: values near {mean:e} vary by {dev:e} only, which is less than single precision resolves; use f64",
                name(column)
            ));
        }
    }
    let scale = deviations.iter().fold(0.0f64, |m, v| m.max(*v));
    if scale > 0.0 && d * scale * scale < 1e-9 {
        // The 1e-10 that keeps quotients of distances finite is no longer small.
        warnings.push(format!(
            "values within {scale:e} of the mean: distances vanish beside 1e-10; scale the data"
        ));
    }
    Ok(warnings)
}
