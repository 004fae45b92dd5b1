//! Both searches and what is made of them, against plain ones.

use super::*;
use crate::parts::cooperation::posterior::posterior;
use crate::parts::objective::{EPS, glvq::Glvq, transfer::Transfer};
use proptest::prelude::*;

/// Laid out for each instruction set that this machine has.
fn each(squares: Squares<'_, f32>, labels: &[u32], few: bool) -> Vec<Packed> {
    #[cfg(target_arch = "x86_64")]
    let all = [
        simd::wide().map(|wide| By::Wide(Way::new(wide, squares, labels, few))),
        simd::usual().map(|usual| By::Usual(Way::new(usual, squares, labels, few))),
    ];
    #[cfg(target_arch = "x86_64")]
    return all.into_iter().flatten().map(|by| Packed { by }).collect();
    #[cfg(not(target_arch = "x86_64"))]
    Packed::new(squares, labels, few).into_iter().collect()
}

proptest! {
    #[test]
    fn as_a_plain_search(
        rows in 1usize..40,
        d in 1usize..=32,
        labels in proptest::collection::vec(0u32..3, 1..16),
        seed in 0u64..1000,
    ) {
        // Coarse values, so that ties occur.
        let value = |i: usize| f64::from(((i as u64 * 2_654_435_761 + seed * 40_503) >> 7) as u8 % 5);
        let p = labels.len();
        let x: Vec<f64> = (0..rows * d).map(value).collect();
        let w: Vec<f64> = (0..p * d).map(|i| value(i + 7)).collect();
        let lam: Vec<f64> = (0..d).map(|a| value(a + 3)).collect();
        let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &x, stored: false, centre: &[] };
        let (mut winners, mut least) = (vec![], vec![]);
        let check = |weighted: bool, winners: &[[u32; 2]], least: &[f64]| -> Result<(), TestCaseError> {
            for i in 0..rows {
                let distance = |j: usize| -> f64 {
                    (0..d).map(|a| {
                        let e = x[i * d + a] - w[j * d + a];
                        if weighted { lam[a] * e * e } else { e * e }
                    }).sum()
                };
                for side in 0..2 {
                    let nearest = (0..p)
                        .filter(|&j| (labels[j] == of[i]) == (side == 0))
                        .reduce(|b, j| if distance(j) < distance(b) { j } else { b });
                    prop_assert_eq!(winners[i][side], nearest.map_or(NOBODY, |j| j as u32));
                    prop_assert_eq!(least[2 * i + side], nearest.map_or(f64::INFINITY, distance));
                }
            }
            Ok(())
        };
        winner_pairs(&block, Squares { w: &w, lam: None, bent: Bent::Not }, &mut winners, &mut least);
        check(false, &winners, &least)?;
        winner_pairs(&block, Squares { w: &w, lam: Some(&lam), bent: Bent::Not }, &mut winners, &mut least);
        check(true, &winners, &least)?;

        // Single precision may have instructions of its own. (Fourths: sums are exact, however they are formed.)
        let single = |values: &[f64]| values.iter().map(|v| *v as f32 / 4.0).collect::<Vec<f32>>();
        let (x, w, lam) = (single(&x), single(&w), single(&lam));
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &x, stored: false, centre: &[] };
        for lam in [None, Some(&lam[..])] {
            let squares = Squares { w: &w, lam, bent: Bent::Not };
            let (mut winners, mut least) = (vec![], vec![]);
            let (mut expected, mut expected_least) = (vec![], vec![]);
            winner_pairs(&block, squares, &mut expected, &mut expected_least);
            for packed in each(squares, &labels, true) {
                let mut room = Room::default();
                prop_assert!(packed.winner_pairs(&block, &mut room, &mut winners, &mut least));
                prop_assert_eq!((&winners, &least), (&expected, &expected_least));
            }
        }
    }
}

/// Coarse values, which products and sums leave exact in single precision: ties occur.
fn coarse(count: usize, seed: u64) -> Vec<f32> {
    let value = |i: usize| ((i as u64 * 2_654_435_761 + seed * 40_503) >> 7) as u8 % 5;
    (0..count).map(|i| f32::from(value(i)) - 2.0).collect()
}

/// Rows that are kept turned.
fn turned(packed: &Packed, x: &[f32], centre: &[f32]) -> Turned {
    let d = centre.len();
    packed.turn(d, x.len() / d, |first, out: &mut [f32]| {
        for (k, out) in out.chunks_exact_mut(d).enumerate() {
            let values = x[(first + k) * d..].iter().zip(centre);
            out.iter_mut().zip(values).for_each(|(out, (x, c))| *out = x - c);
        }
    })
}

/// The rows of a block for a step, and their numbers: all as they stand in memory, or those that are kept turned in two parts.
fn parts<'a>(
    block: &Labelled<'a, f32>,
    kept: Option<&'a Turned>,
) -> Vec<(Taken<'a, f32>, std::ops::Range<usize>)> {
    let (of, rows) = (block.of, block.of.len());
    let Some(kept) = kept else { return vec![(Taken::Rows(*block), 0..rows)] };
    let middle = rows / 2 / TILE * TILE;
    let part = |start: usize, end: usize| {
        (Taken::Turned { rows: kept, start, of: &of[start..end] }, start..end)
    };
    vec![part(0, middle), part(middle, rows)]
}

proptest! {
    #[test]
    fn products_find_what_a_plain_search_finds(
        rows in 1usize..70,
        d in 1usize..40,
        labels in proptest::collection::vec(0u32..3, 1..60),
        weighted: bool,
        seed in 0u64..1000,
    ) {
        let p = labels.len();
        let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
        let lam = coarse(d, seed + 2).iter().map(|v| v + 2.0).collect::<Vec<_>>();
        let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let squares = Squares { w: &w, lam: weighted.then_some(&lam[..]), bent: Bent::Not };
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &x, stored: false, centre: &[] };
        for packed in each(squares, &labels, false) {
            let (mut winners, mut room) = (vec![], Room::default());
            packed.winner_pairs(&block, &mut room, &mut winners, &mut vec![]);
            for i in 0..rows {
                let distance = |j: usize| -> f32 {
                    let terms = x[i * d..][..d].iter().zip(&w[j * d..][..d]).zip(&lam);
                    terms.map(|((x, w), lam)| {
                        let e = x - w;
                        if weighted { lam * e * e } else { e * e }
                    }).sum()
                };
                for (winner, own) in winners[i].iter().zip([true, false]) {
                    let nearest = (0..p)
                        .filter(|&j| (labels[j] == of[i]) == own)
                        .reduce(|b, j| if distance(j) < distance(b) { j } else { b });
                    prop_assert_eq!(*winner, nearest.map_or(NOBODY, |j| j as u32));
                }
            }
        }
    }

    #[test]
    fn the_nearest_of_all_is_told_where_it_is_alone(
        rows in 1usize..70,
        d in 1usize..40,
        p in 1usize..60,
        few: bool,
        seed in 0u64..1000,
    ) {
        let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
        let (of, labels) = (vec![NOBODY; rows], vec![0; p]);
        let squares = Squares { w: &w, lam: None, bent: Bent::Not };
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: false, centre: &[] };
        let few = few && tiles_pay(d, p);
        for packed in each(squares, &labels, few) {
            let mut found = vec![0; rows];
            packed.nearest_of_all(&block, &mut Room::default(), &mut vec![], &mut found);
            for i in 0..rows {
                let distance = |j: usize| -> f32 {
                    let terms = x[i * d..][..d].iter().zip(&w[j * d..][..d]);
                    terms.map(|(x, w)| (x - w) * (x - w)).sum()
                };
                let all: Vec<f32> = (0..p).map(distance).collect();
                let least = all.iter().copied().fold(f32::INFINITY, f32::min);
                let mut nearest = (0..p).filter(|j| all[*j] == least);
                let first = nearest.next().expect("one") as u32;
                let alone = nearest.next().is_none();
                prop_assert_eq!(found[i], if alone || few { first } else { NOBODY });
            }
        }
    }

    #[test]
    fn matrices_are_those_of_each_pair(
        rows in 1usize..70,
        d in 1usize..40,
        p in 1usize..120,
        seed in 0u64..1000,
    ) {
        let (x, w, centre) = (coarse(rows * d, seed), coarse(p * d, seed + 1), coarse(d, seed + 2));
        let (of, labels) = (vec![NOBODY; rows], vec![0; p]);
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: true, centre: &centre };
        let all = each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false);
        for (packed, goes) in all.iter().flat_map(|packed| [(packed, Goes::Near), (packed, Goes::Past)]) {
            // From anywhere in a line on, and nothing beside it.
            let mut got = vec![f32::NAN; rows * p + 16];
            let start = seed as usize % 16;
            packed.squares_of_all(&block, &mut Room::default(), goes, &mut got[start..][..rows * p]);
            let beside = got[..start].iter().chain(&got[start + rows * p..]);
            prop_assert!(beside.clone().all(|v| v.is_nan()) && beside.count() == 16);
            for (i, got) in got[start..][..rows * p].chunks(p).enumerate() {
                for (j, got) in got.iter().enumerate() {
                    let e = |a: usize| x[i * d + a] - centre[a] - w[j * d + a];
                    prop_assert_eq!(*got, (0..d).map(|a| e(a) * e(a)).sum::<f32>());
                }
            }
        }
    }

    /// A winner's distance is the least in double precision, up to what single precision tells apart.
    #[test]
    fn exponential_keys_find_the_nearest(
        rows in 1usize..70,
        d in 1usize..20,
        labels in proptest::collection::vec(0u32..3, 1..40),
        scale in 0.05f32..3.0,
        seed in 0u64..1000,
    ) {
        let p = labels.len();
        let scaled = |values: Vec<f32>| values.iter().map(|v| v * scale).collect::<Vec<_>>();
        let (x, w) = (scaled(coarse(rows * d, seed)), scaled(coarse(p * d, seed + 1)));
        let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let squares = Squares { w: &w, lam: None, bent: Bent::Exponential };
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: false, centre: &[] };
        for packed in each(squares, &labels, false) {
            let (mut winners, mut room) = (vec![], Room::default());
            packed.winner_pairs(&block, &mut room, &mut winners, &mut vec![]);
            for i in 0..rows {
                let x = &x[i * d..][..d];
                let dot = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                // e^a + e^b - 2 e^c over e^max(a, b), in the logarithm.
                let key = |j: usize| {
                    let w = &w[j * d..][..d];
                    let (a, b, c) = (dot(x, x), dot(w, w), dot(x, w));
                    let m = a.max(b);
                    m + ((a - m).exp() + (b - m).exp() - 2.0 * (c - m).exp()).max(0.0).ln()
                };
                for (winner, own) in winners[i].iter().zip([true, false]) {
                    let least = (0..p)
                        .filter(|&j| (labels[j] == of[i]) == own)
                        .map(&key)
                        .reduce(f64::min);
                    let Some(least) = least else {
                        prop_assert_eq!(*winner, NOBODY);
                        continue;
                    };
                    // (Where a row is a prototype, the least is minus infinity; single precision leaves some of the square.)
                    let got = key(*winner as usize);
                    let tolerance = 1e-5 * (1.0 + dot(x, x));
                    prop_assert!(got <= least.max(tolerance.ln() + dot(x, x)) + 1e-4 * (1.0 + least.abs()), "row {i}: {got} {least}");
                }
            }
        }
    }

    /// Against the rows' own functions in double precision.
    #[test]
    fn posteriors_are_those_of_each_row(
        rows in 1usize..70,
        d in 1usize..20,
        labels in proptest::collection::vec(0u32..3, 2..40),
        ratio: bool,
        seed in 0u64..1000,
    ) {
        let (p, sigma) = (labels.len(), 1.3);
        let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
        let (x, w) = (x.iter().map(|v| v / 3.0).collect::<Vec<_>>(), w.iter().map(|v| v / 3.0).collect::<Vec<_>>());
        let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: false, centre: &[] };
        let factors: Vec<f32> = (0..rows).map(|i| i as f32 / 10.0).collect();
        for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
            let mut room = Room::default();
            let (mut losses, mut g) = (vec![0.0f32; rows], vec![0.0f32; rows * p]);
            let out = Slopes { factors: &factors, losses: &mut losses, g: &mut g };
            let soft = if ratio { Soft::Nllr } else { Soft::Rslvq };
            packed.posteriors(&block, &mut room, soft, sigma, out);
            for i in 0..rows {
                let distances: Vec<f64> = w.chunks(d).map(|w| {
                    x[i * d..][..d].iter().zip(w).map(|(x, w)| (f64::from(*x) - f64::from(*w)).powi(2)).sum()
                }).collect();
                let (mut slopes, mut room) = (vec![0.0; p], vec![0.0; p]);
                posterior(&distances, sigma, &mut slopes);
                let loss = match soft {
                    Soft::Nllr => nllr::row(&mut slopes, &mut room, &labels, of[i], sigma),
                    Soft::Rslvq => rslvq::row(&mut slopes, &labels, of[i], sigma),
                };
                let near = |a: f32, b: f64| (f64::from(a) - b).abs() < 1e-5 * b.abs().max(1.0);
                prop_assert!(near(losses[i], loss), "row {i}: {} {loss}", losses[i]);
                for (got, slope) in g[i * p..][..p].iter().zip(&slopes) {
                    prop_assert!(near(*got, slope * f64::from(factors[i])), "row {i}: {got} {slope}");
                }
            }
        }
    }

    /// Of stored and of turned rows, against the rows' own functions in double precision: winner pairs.
    #[test]
    fn steps_of_winners_are_those_of_each_row(
        rows in 1usize..600,
        d in prop_oneof![1usize..=24, 1usize..=64],
        more in prop_oneof![proptest::collection::vec(0u32..3, 0..8), proptest::collection::vec(0u32..3, 0..40)],
        without: bool,
        centred: bool,
        kept: bool,
        seed in 0u64..1000,
    ) {
        // Every class has a prototype: there is a winner of either side.
        let labels: Vec<u32> = [0, 1, 2].into_iter().chain(more).collect();
        let p = labels.len();
        prop_assume!(tiles_pay(d, p));
        let (x, w) = (coarse(rows * d, seed), coarse(p * d, seed + 1));
        let centre = coarse(d, seed + 2);
        let taken = if centred { &centre[..] } else { &[] };
        let centre = if centred { centre.clone() } else { vec![0.0; d] };
        let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: true, centre: taken };
        let factors: Vec<f32> = (0..rows).map(|i| (i % 4) as f32 / 8.0).collect();
        let objective = Glvq { transfer: Transfer::SigmoidBeta(3.0), margin: 0.1 };
        for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, true) {
            let (mut losses, mut sums) = (vec![0.0f32; rows], vec![1.0f32; p * d]);
            let kept = (kept && are_summed(d, p)).then(|| turned(&packed, &x, &centre));
            for (rows, range) in parts(&block, kept.as_ref()) {
                let out = Judged {
                    factors: &factors[range.clone()],
                    scale: 2.0,
                    losses: &mut losses[range],
                    any: &|_| [0, 1],
                    sums: (!without).then_some(&mut sums[..]),
                };
                packed.step_of_winners(rows, &mut Room::default(), &objective, out);
            }
            let mut expected = vec![1.0f64; p * d];
            for i in 0..rows {
                let e = |j: usize, a: usize| f64::from(x[i * d + a] - centre[a]) - f64::from(w[j * d + a]);
                let distance = |j: usize| (0..d).map(|a| e(j, a) * e(j, a)).sum::<f64>();
                let [own, other] = [true, false].map(|side| {
                    let all = (0..p).filter(|&j| (labels[j] == of[i]) == side);
                    all.reduce(|b, j| if distance(j) < distance(b) { j } else { b }).expect("one of each side")
                });
                let (loss, plus, minus) = objective.pair(Some(distance(own)), Some(distance(other)), EPS);
                prop_assert!((f64::from(losses[i]) - loss).abs() < 1e-5, "row {i}: {} {loss}", losses[i]);
                if !without {
                    for (j, g) in [(own, plus), (other, minus)] {
                        let g = g * f64::from(factors[i]) * 2.0;
                        // A row on both its prototypes has no finite slope.
                        let g = if factors[i] == 0.0 { 0.0 } else { g };
                        (0..d).for_each(|a| expected[j * d + a] += g * e(j, a));
                    }
                }
            }
            for (got, expected) in sums.iter().zip(&expected) {
                prop_assert!((f64::from(*got) - expected).abs() < 1e-3 * expected.abs().max(1.0), "{got} {expected}");
            }
        }
    }

    /// The same of posteriors.
    #[test]
    fn steps_of_posteriors_are_those_of_each_row(
        rows in 1usize..450,
        d in 1usize..=70,
        labels in proptest::collection::vec(0u32..3, 2..60),
        ratio: bool,
        without: bool,
        centred: bool,
        kept: bool,
        seed in 0u64..1000,
    ) {
        let (p, sigma) = (labels.len(), 2.3);
        let thirds = |values: Vec<f32>| values.iter().map(|v| v / 3.0).collect::<Vec<_>>();
        let (x, w) = (thirds(coarse(rows * d, seed)), thirds(coarse(p * d, seed + 1)));
        let centre = thirds(coarse(d, seed + 2));
        let taken = if centred { &centre[..] } else { &[] };
        let centre = if centred { centre.clone() } else { vec![0.0; d] };
        let of: Vec<u32> = (0..rows as u32).map(|i| i % 3).collect();
        let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: true, centre: taken };
        let factors: Vec<f32> = (0..rows).map(|i| (i % 4) as f32 / 8.0).collect();
        let soft = if ratio { Soft::Nllr } else { Soft::Rslvq };
        for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
            let (mut losses, mut sums) = (vec![0.0f32; rows], vec![1.0f32; p * d]);
            let kept = (kept && pays(d, p)).then(|| turned(&packed, &x, &centre));
            for (rows, range) in parts(&block, kept.as_ref()) {
                let out = SoftSums {
                    factors: &factors[range.clone()],
                    losses: &mut losses[range],
                    sums: (!without).then_some(&mut sums[..]),
                };
                packed.step_of_posteriors(rows, &mut Room::default(), soft, sigma, out);
            }
            let mut expected = vec![1.0f64; p * d];
            for i in 0..rows {
                let e = |j: usize, a: usize| f64::from(x[i * d + a] - centre[a]) - f64::from(w[j * d + a]);
                let distances: Vec<f64> =
                    (0..p).map(|j| (0..d).map(|a| e(j, a) * e(j, a)).sum()).collect();
                let (mut slopes, mut room) = (vec![0.0; p], vec![0.0; p]);
                posterior(&distances, sigma, &mut slopes);
                let loss = match soft {
                    Soft::Nllr => nllr::row(&mut slopes, &mut room, &labels, of[i], sigma),
                    Soft::Rslvq => rslvq::row(&mut slopes, &labels, of[i], sigma),
                };
                prop_assert!((f64::from(losses[i]) - loss).abs() < 1e-4 * loss.abs().max(1.0), "row {i}: {} {loss}", losses[i]);
                for (j, g) in slopes.iter().enumerate().filter(|_| !without) {
                    let g = g * f64::from(factors[i]);
                    (0..d).for_each(|a| expected[j * d + a] += g * e(j, a));
                }
            }
            for (got, expected) in sums.iter().zip(&expected) {
                prop_assert!((f64::from(*got) - expected).abs() < 1e-3 * expected.abs().max(1.0), "{got} {expected}");
            }
        }
    }
}

/// Rows next to their prototypes, both far from the others: of their distances to the nearest, products tell nothing.
#[test]
fn distances_that_products_do_not_tell_are_told() {
    let (d, rows) = (30, 150);
    let labels = [0, 1, 0, 1];
    assert!(products_pay(d, labels.len()));
    let far = |i: usize| if i / d < 2 { 1000.0 } else { -1000.0 };
    let w: Vec<f32> =
        coarse(labels.len() * d, 1).iter().enumerate().map(|(i, w)| w + far(i)).collect();
    // The last rows are in the middle of all.
    let (near, steps) = (rows - 40, coarse(rows * d, 2));
    let x: Vec<f32> = steps.iter().enumerate().map(|(i, x)| x + far(i % (4 * d))).collect();
    let x: Vec<f32> =
        x.iter().enumerate().map(|(i, x)| if i / d < near { *x } else { steps[i] }).collect();
    let of: Vec<u32> = (0..rows as u32).map(|i| i % 2).collect();
    let block = Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: true, centre: &[] };
    let objective = Glvq { transfer: Transfer::Identity, margin: 0.0 };
    for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, true) {
        let (mut losses, mut sums) = (vec![0.0f32; rows], vec![0.0f32; w.len()]);
        let out = Judged {
            factors: &vec![1.0; rows],
            scale: 1.0,
            losses: &mut losses,
            any: &|_| [0, 1],
            sums: Some(&mut sums),
        };
        packed.step_of_winners(Taken::Rows(block), &mut Room::default(), &objective, out);
        let mut expected = vec![0.0f64; w.len()];
        for i in 0..rows {
            let e = |j: usize, a: usize| f64::from(x[i * d + a]) - f64::from(w[j * d + a]);
            let distance = |j: usize| (0..d).map(|a| e(j, a).powi(2)).sum::<f64>();
            let least = |side: bool| {
                let all = (0..labels.len()).filter(|&j| (labels[j] == of[i]) == side);
                all.reduce(|b, j| if distance(j) < distance(b) { j } else { b }).unwrap()
            };
            let winners = [least(true), least(false)];
            let [plus, minus] = winners.map(|j| Some(distance(j)));
            let (loss, plus, minus) = objective.pair(plus, minus, EPS);
            assert!((f64::from(losses[i]) - loss).abs() < 1e-5, "row {i}: {} {loss}", losses[i]);
            for (j, g) in winners.into_iter().zip([plus, minus]) {
                (0..d).for_each(|a| expected[j * d + a] += g * e(j, a));
            }
        }
        // (Sums of products would be off by 1000 times as much.)
        let largest = expected.iter().fold(0.0, |most: f64, e| most.max(e.abs()));
        for (got, expected) in sums.iter().zip(&expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-6 * largest, "{got} {expected}");
        }
    }
}

#[test]
fn rows_without_a_distance_have_any_winners() {
    let p = 3;
    assert!(!products_pay(3, p) && products_pay(40, p));
    for d in [3, 40] {
        rows_without_a_distance(d);
    }
}

fn rows_without_a_distance(d: usize) {
    let rows = 40;
    let labels = [0, 1, 1];
    let mut x = coarse(rows * d, 5);
    x[7 * d] = f32::NAN;
    let (w, centre, of) = (coarse(labels.len() * d, 6), vec![0.5; d], vec![1; rows]);
    let block =
        Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: true, centre: &centre };
    let squares = Squares { w: &w, lam: None, bent: Bent::Not };
    for packed in each(squares, &labels, true) {
        let objective = Glvq { transfer: Transfer::Identity, margin: 0.0 };
        let factors: Vec<f32> = (0..rows).map(|i| if i == 7 { 0.0 } else { 1.0 }).collect();
        let mut losses = vec![0.0f32; rows];
        let asked = std::cell::Cell::new(0);
        let mut sums = vec![0.0; w.len()];
        let out = Judged {
            factors: &factors,
            scale: 1.0,
            losses: &mut losses,
            any: &|class| {
                asked.set(asked.get() + 1);
                assert_eq!(class, 1);
                [1, 0]
            },
            sums: Some(&mut sums),
        };
        packed.step_of_winners(Taken::Rows(block), &mut Room::default(), &objective, out);
        assert!(asked.get() > 0);
        for (i, loss) in losses.iter().enumerate() {
            assert_eq!(loss.is_nan(), i == 7, "row {i}: {loss}");
        }
    }
}

/// What is far counts for nothing: a subnormal slope would make each of its products a hundred times as slow on some processors.
#[test]
fn far_prototypes_have_no_subnormal_slopes() {
    let (rows, d, p) = (64, 4, 40);
    let x: Vec<f32> = coarse(rows * d, 3);
    // Ever farther away.
    let w: Vec<f32> = (0..p * d).map(|i| 0.3 * (i / d) as f32).collect();
    let labels: Vec<u32> = (0..p as u32).map(|j| j % 2).collect();
    let of = vec![0; rows];
    let block =
        Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: false, centre: &[] };
    let factors = vec![1e-7f32; rows];
    for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
        let (mut losses, mut g) = (vec![0.0f32; rows], vec![0.0f32; rows * p]);
        let out = Slopes { factors: &factors, losses: &mut losses, g: &mut g };
        packed.posteriors(&block, &mut Room::default(), Soft::Rslvq, 0.8, out);
        assert!(g.contains(&0.0) && g.iter().any(|g| *g != 0.0));
        assert!(g.iter().all(|g| !g.is_subnormal()));
    }
}

/// Keys that are in range count by their differences, though neither times the scale is.
#[test]
fn far_rows_have_a_nearest_prototype() {
    let (x, w) = ([1e18f32, 0.0, 0.0, 0.0], [0.0f32, 0.0, 1.0, 0.0]);
    let (of, labels) = ([1, 0], [0, 1]);
    let block =
        Labelled { x: &x, of: &of, labels: &labels, ahead: &[], stored: false, centre: &[] };
    for packed in each(Squares { w: &w, lam: None, bent: Bent::Not }, &labels, false) {
        let mut losses = [1.0f32; 2];
        let out = SoftSums { factors: &[1.0; 2], losses: &mut losses, sums: None };
        packed.step_of_posteriors(
            Taken::Rows(block),
            &mut Room::default(),
            Soft::Rslvq,
            1e-11,
            out,
        );
        assert_eq!(losses, [0.0; 2]);
        let kept = turned(&packed, &x, &[0.0; 2]);
        let rows = Taken::Turned { rows: &kept, start: 0, of: &of };
        let mut losses = [1.0f32; 2];
        let out = SoftSums { factors: &[1.0; 2], losses: &mut losses, sums: None };
        packed.step_of_posteriors(rows, &mut Room::default(), Soft::Rslvq, 1e-11, out);
        assert_eq!(losses, [0.0; 2]);
    }
}
