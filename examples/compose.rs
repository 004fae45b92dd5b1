//! A model of one's own: parts that no model of the catalogue combines, checked against those that come closest.
//!
//! Local metrics and variances of the prototypes (as in Wasserstein LVQ), all prototypes of the right class sharing
//! each row by their rank (as in supervised neural gas): three ideas of three papers in one model.
//!
//! ```sh
//! cargo run --release --example compose
//! ```

use lvq::data::scaling::StandardScaler;
use lvq::data::{ReadOptions, read, split};
use lvq::{Cpu, Model, Training};
use std::path::Path;

fn main() -> lvq::Result<()> {
    let mut data = read(Path::new("data/wine.csv"), &ReadOptions::default())?;
    data.features = StandardScaler::fit(&data.features)?.transform(&data.features)?;
    let codes = &data.labels.as_ref().expect("wine has labels").codes;
    let own = Model::new("compose")?
        .set("metric", "local_omega")?
        .set("spread", true)?
        .set("cooperation", "ranks_own")?
        .set("objective", "glvq")?
        // The parts decide which further hyper-parameters there are.
        .set("latent_dim", 4)?
        .set("gamma_final", 0.05)?;
    println!("{}", own.row().parts().join(" > "));

    // What makes no sense is refused with the reason.
    let wrong = Model::new("compose")?.set("kernel", "exponential")?.set("metric", "omega")?;
    println!("refused: {}", wrong.check_parts().expect_err("no kernel"));

    let near = ["SLNG", "WGMLVQ", "LGMLVQ"].map(|name| Model::new(name)?.set("latent_dim", 4));
    for model in near.into_iter().chain([Ok(own)]) {
        let model = model?.set("n_prototypes_per_class", 2)?;
        let mut right = 0;
        for fold in split::stratified_k_fold(codes, 5, 1)? {
            let (train, test) = (data.select(&fold.train), data.select(&fold.test));
            let fitted = Training { lr: 0.05, ..Training::default() }.fit(
                &model,
                &train,
                &Cpu::default(),
            )?;
            let answers = fitted.on(&Cpu::default())?.predict_codes(&test.features)?;
            let codes = &test.labels.as_ref().expect("labels").codes;
            right += answers.iter().zip(codes).filter(|(a, b)| a == b).count();
        }
        println!("{:8} {:.3}", model.name(), right as f64 / codes.len() as f64);
    }
    Ok(())
}
