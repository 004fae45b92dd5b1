//! Initialisers: where prototypes, components, maps and reasonings start. In double precision.
//!
//! Prototypes come class by class in ascending order of the classes; those of a class are contiguous. Draws come from the
//! streams `(seed, "prototypes", class)` and do not depend on threads or devices.

use super::random::{Stream, stream};
use crate::error::{Error, Result};
use rand::RngExt;
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};

/// Names of the prototype initialisers.
pub const NAMES: &[&str] = &[
    "stratified_random",
    "class_mean",
    "class_conditional_mean",
    "stratified_noise",
    "random_normal",
    "uniform",
    "zeros",
    "ones",
    "fill_value",
];

/// Settings of the initialisers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// `stratified_noise`: standard deviation of the noise.
    pub noise_std: f64,
    /// Class means: standard deviation added to each copy.
    pub jitter: f64,
    /// `random_normal`: mean.
    pub mean: f64,
    /// `random_normal`: standard deviation.
    pub std: f64,
    /// `uniform`: lower end.
    pub low: f64,
    /// `uniform`: upper end.
    pub high: f64,
    /// `fill_value`: the value.
    pub value: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            noise_std: 0.1,
            jitter: 0.0,
            mean: 0.0,
            std: 1.0,
            low: 0.0,
            high: 1.0,
            value: 0.0,
        }
    }
}

/// How many prototypes a class gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// The same for all.
    All(usize),
    /// By position of the class.
    List(Vec<usize>),
    /// By label.
    Map(Vec<(String, usize)>),
}

impl Counts {
    /// The count of each class, and warnings.
    ///
    /// # Errors
    /// A map without a class, or a list of the wrong length (a longer one is read by label value where labels are small
    /// whole numbers).
    pub fn resolve(&self, classes: &[String]) -> Result<(Vec<usize>, Vec<String>)> {
        let name = "n_prototypes_per_class";
        match self {
            Counts::All(m) => Ok((vec![*m; classes.len()], Vec::new())),
            Counts::List(list) if list.len() == classes.len() => Ok((list.clone(), Vec::new())),
            Counts::List(list) => {
                let by_value: Option<Vec<usize>> = classes
                    .iter()
                    .map(|c| c.parse::<usize>().ok().and_then(|c| list.get(c).copied()))
                    .collect();
                match by_value {
                    Some(counts) => Ok((
                        counts,
                        vec![format!(
                            "{name}: {} counts for {} classes: read by the value of the label",
                            list.len(),
                            classes.len()
                        )],
                    )),
                    None => Err(Error::parameter(
                        name,
                        format!(
                            "{} counts for {} classes ({})",
                            list.len(),
                            classes.len(),
                            classes.join(", ")
                        ),
                    )),
                }
            }
            Counts::Map(map) => {
                let counts = classes
                    .iter()
                    .map(|class| {
                        map.iter().find(|(k, _)| k == class).map(|(_, m)| *m).ok_or_else(|| {
                            Error::parameter(name, format!("no count for the class '{class}'"))
                        })
                    })
                    .collect::<Result<Vec<_>>>()?;
                let surplus: Vec<&str> = map
                    .iter()
                    .filter(|(k, _)| !classes.contains(k))
                    .map(|(k, _)| k.as_str())
                    .collect();
                let warnings = match surplus.is_empty() {
                    true => Vec::new(),
                    false => vec![format!("{name}: no such class: {}", surplus.join(", "))],
                };
                Ok((counts, warnings))
            }
        }
    }
}

/// Prototypes at the start.
#[derive(Debug, PartialEq)]
pub struct Made {
    /// `p x d`
    pub values: Vec<f64>,
    /// Class of each.
    pub labels: Vec<u32>,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// Prototypes by the initialiser of that name. `rows(i, out)` copies row i; `codes` are the classes of the `n` rows.
#[allow(clippy::too_many_arguments)]
pub fn prototypes(
    name: &str,
    settings: &Settings,
    n: usize,
    d: usize,
    codes: &[u32],
    classes: usize,
    counts: &[usize],
    seed: u64,
    rows: &dyn Fn(usize, &mut [f64]),
) -> Result<Made> {
    if !NAMES.contains(&name) {
        return Err(Error::unknown("prototypes_initializer", name, NAMES));
    }
    check(settings)?;
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes];
    for (i, c) in codes.iter().enumerate().take(n) {
        members[*c as usize].push(i);
    }
    let mut made = Made { values: Vec::new(), labels: Vec::new(), warnings: Vec::new() };
    for (class, (members, &count)) in members.iter().zip(counts).enumerate() {
        let mut rng = stream(seed, "prototypes", class as u64);
        let mut values = vec![0.0; count * d];
        match name {
            "stratified_random" | "stratified_noise" => {
                let chosen = draw(members.len(), count, &mut rng);
                if count > members.len() {
                    made.warnings.push(format!(
                        "class {class}: {count} prototypes from {} rows: some start at the same place",
                        members.len()
                    ));
                }
                for (row, i) in values.chunks_exact_mut(d).zip(chosen) {
                    rows(members[i], row);
                }
                if name == "stratified_noise" {
                    add_noise(&mut values, settings.noise_std, &mut rng);
                }
            }
            "class_mean" | "class_conditional_mean" => {
                let mut mean = vec![0.0; d];
                let mut row = vec![0.0; d];
                for &i in members {
                    rows(i, &mut row);
                    mean.iter_mut().zip(&row).for_each(|(m, v)| *m += v);
                }
                mean.iter_mut().for_each(|m| *m /= members.len().max(1) as f64);
                values.chunks_exact_mut(d).for_each(|w| w.copy_from_slice(&mean));
                if settings.jitter > 0.0 {
                    add_noise(&mut values, settings.jitter, &mut rng);
                }
            }
            _ => fill(name, settings, &mut values, &mut rng),
        }
        made.values.extend(values);
        made.labels.extend(std::iter::repeat_n(class as u32, count));
    }
    Ok(made)
}

/// Components, which belong to no class: distinct rows (`random`), the mean, or made values.
#[allow(clippy::too_many_arguments)]
pub fn components(
    name: &str,
    n: usize,
    d: usize,
    count: usize,
    settings: &Settings,
    seed: u64,
    rows: &dyn Fn(usize, &mut [f64]),
) -> Result<Vec<f64>> {
    check(settings)?;
    let mut rng = stream(seed, "components", 0);
    let mut values = vec![0.0; count * d];
    match name {
        "random" => {
            if count > n {
                return Err(Error::parameter(
                    "n_components",
                    format!("{count} distinct rows are wanted, but there are {n}"),
                ));
            }
            for (row, i) in values.chunks_exact_mut(d).zip(draw(n, count, &mut rng)) {
                rows(i, row);
            }
        }
        "mean" => {
            let (mut mean, mut row) = (vec![0.0; d], vec![0.0; d]);
            for i in 0..n {
                rows(i, &mut row);
                mean.iter_mut().zip(&row).for_each(|(m, v)| *m += v / n as f64);
            }
            values.chunks_exact_mut(d).for_each(|w| w.copy_from_slice(&mean));
        }
        _ => fill(name, settings, &mut values, &mut rng),
    }
    Ok(values)
}

fn check(s: &Settings) -> Result<()> {
    if s.low > s.high {
        return Err(Error::parameter(
            "init_low",
            format!("{} is above init_high, {}", s.low, s.high),
        ));
    }
    Ok(())
}

/// Values that do not look at the data.
fn fill(name: &str, s: &Settings, values: &mut [f64], rng: &mut Stream) {
    for v in values {
        *v = match name {
            "random_normal" => s.mean + s.std * normal(rng),
            "uniform" => s.low + (s.high - s.low) * rng.random::<f64>(),
            "ones" => 1.0,
            "fill_value" => s.value,
            _ => 0.0,
        };
    }
}

fn normal(rng: &mut Stream) -> f64 {
    StandardNormal.sample(rng)
}

fn add_noise(values: &mut [f64], std: f64, rng: &mut Stream) {
    values.iter_mut().for_each(|v| *v += std * normal(rng));
}

/// `count` of `n` without replacement; with replacement if there are too few.
pub fn draw(n: usize, count: usize, rng: &mut Stream) -> Vec<usize> {
    if count <= n {
        index::sample(rng, n, count).into_vec()
    } else {
        (0..count).map(|_| rng.random_range(0..n)).collect()
    }
}

/// Ones on the leading diagonal, `d x l`.
pub fn identity_omega(d: usize, l: usize) -> Vec<f64> {
    (0..d * l).map(|i| if i / l == i % l { 1.0 } else { 0.0 }).collect()
}

/// Random orthonormal columns, `d x l` (`l <= d`): the Q factor of a matrix of normal draws.
pub fn random_omega(d: usize, l: usize, rng: &mut Stream) -> Vec<f64> {
    let a: Vec<f64> = (0..d * l).map(|_| normal(rng)).collect();
    super::linalg::thin_q(&a, d, l)
}

/// Reasonings at 0.5 with a little noise, `m x classes x 2`.
pub fn random_reasonings(m: usize, classes: usize, rng: &mut Stream) -> Vec<f64> {
    (0..m * classes * 2).map(|_| 0.5 + 0.01 * normal(rng)).collect()
}

/// Component i speaks for class `i mod classes` and for nothing else, `m x classes x 2`.
pub fn pure_positive_reasonings(m: usize, classes: usize) -> Vec<f64> {
    (0..m * classes * 2)
        .map(|k| {
            let (i, c, which) = (k / (2 * classes), k / 2 % classes, k % 2);
            if which == 0 && c == i % classes { 1.0 } else { 0.0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: [u32; 7] = [0, 1, 0, 1, 1, 0, 1];

    fn make(name: &str, counts: &[usize], settings: &Settings) -> Made {
        // Row i is (i, 10 i).
        let rows = |i: usize, out: &mut [f64]| out.copy_from_slice(&[i as f64, 10.0 * i as f64]);
        prototypes(name, settings, 7, 2, &CODES, 2, counts, 3, &rows).unwrap()
    }

    #[test]
    fn stratified_rows_are_distinct_rows_of_their_class() {
        let made = make("stratified_random", &[2, 4], &Settings::default());
        assert_eq!(made.labels, [0, 0, 1, 1, 1, 1]);
        let rows: Vec<usize> = made.values.chunks(2).map(|w| w[0] as usize).collect();
        for (row, label) in rows.iter().zip(&made.labels) {
            assert_eq!(CODES[*row], *label);
        }
        let mut distinct = rows.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 6);
        assert_eq!(made, make("stratified_random", &[2, 4], &Settings::default()));
        assert!(made.warnings.is_empty());
        assert_eq!(make("stratified_random", &[5, 1], &Settings::default()).warnings.len(), 1);
    }

    #[test]
    fn means_and_made_values() {
        let made = make("class_mean", &[2, 1], &Settings::default());
        assert_eq!(made.values, [7.0 / 3.0, 70.0 / 3.0, 7.0 / 3.0, 70.0 / 3.0, 3.5, 35.0]);
        let jitter = Settings { jitter: 0.01, ..Settings::default() };
        let made = make("class_conditional_mean", &[2, 1], &jitter);
        assert_ne!(made.values[..2], made.values[2..4]);
        assert_eq!(make("ones", &[1, 1], &Settings::default()).values, [1.0; 4]);
        let five = Settings { value: 5.0, ..Settings::default() };
        assert_eq!(make("fill_value", &[1, 1], &five).values, [5.0; 4]);
        let u = Settings { low: 2.0, high: 3.0, ..Settings::default() };
        assert!(make("uniform", &[9, 9], &u).values.iter().all(|v| (2.0..3.0).contains(v)));
    }

    #[test]
    fn counts() {
        let classes = ["1".to_string(), "2".into(), "5".into()];
        let resolve = |c: Counts| c.resolve(&classes);
        assert_eq!(resolve(Counts::All(2)).unwrap().0, [2, 2, 2]);
        assert_eq!(resolve(Counts::List(vec![1, 2, 3])).unwrap().0, [1, 2, 3]);
        let (counts, warnings) = resolve(Counts::List(vec![9, 1, 2, 9, 9, 3])).unwrap();
        assert_eq!((counts, warnings.len()), (vec![1, 2, 3], 1));
        assert!(resolve(Counts::List(vec![1, 2])).is_err());
        let map = |keys: &[&str]| Counts::Map(keys.iter().map(|k| (k.to_string(), 4)).collect());
        assert!(resolve(map(&["1", "2"])).unwrap_err().to_string().contains("'5'"));
        assert_eq!(resolve(map(&["1", "2", "5", "7"])).unwrap().1.len(), 1);
    }

    #[test]
    fn maps_and_reasonings() {
        assert_eq!(identity_omega(2, 3), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let q = random_omega(5, 2, &mut stream(1, "t", 0));
        let gram = |a: usize, b: usize| (0..5).map(|i| q[2 * i + a] * q[2 * i + b]).sum::<f64>();
        assert!((gram(0, 0) - 1.0).abs() < 1e-14 && gram(0, 1).abs() < 1e-14);
        assert_eq!(
            pure_positive_reasonings(3, 2),
            [1., 0., 0., 0., 0., 0., 1., 0., 1., 0., 0., 0.]
        );
    }
}
