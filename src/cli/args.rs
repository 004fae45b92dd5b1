//! The arguments of every command, and their help texts.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Prototype-based machine learning: train, evaluate, save and use learning vector quantization models.
#[derive(Parser)]
#[command(
    name = "lvq",
    version,
    about,
    long_about = None,
    after_help = "Examples:\n  \
        lvq train data/digits.csv --model GMLVQ --holdout 0.2 --out digits.safetensors\n  \
        lvq evaluate digits.safetensors data/digits.csv --holdout\n  \
        lvq predict digits.safetensors new.csv --proba\n  \
        lvq models GMLVQ\n\n\
        Exit status: 0 done; 2 the input or the call is wrong (nothing was written); 1 it failed while running; 130 interrupted."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a model on labelled data, report, and save it
    Train(Box<Train>),
    /// Labels, probabilities, distances or rejections for new rows
    Predict(Predict),
    /// Accuracy, confusion matrix and a table by class on labelled rows
    Evaluate(Evaluate),
    /// What the model projects rows to: its latent space, or the distances to all prototypes
    Transform(Transform),
    /// Loss and gradient at given tensors, no training
    Gradient(Gradient),
    /// The catalogue, or one model with its hyper-parameters, tensors and paper
    Models(Models),
    /// Every device found, what it can do, and which one `auto` takes and why
    Devices(Devices),
    /// Time one training step of a model on made data
    Bench(Bench),
    /// What is in a model file
    Inspect(Inspect),
    /// Shell completions on standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where rows come from.
#[derive(Args, Clone, Default)]
pub struct Data {
    /// Label column of a CSV file [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// Labels of an .npy file of features
    #[arg(long, value_name = "FILE.npy")]
    pub labels: Option<PathBuf>,
    /// Map the .npy file of features (f4 or f8, row by row) into memory instead of reading it: memory stays flat however many rows there are.
    /// The file must not change meanwhile. What scales or chooses rows (--standardize, --holdout, --folds) still copies them into memory
    #[arg(long)]
    pub mmap: bool,
}

/// Where it runs.
#[derive(Args, Clone)]
pub struct Where {
    /// auto, cpu, cuda:N, vulkan:N, or several GPUs as one: cuda:0,1 or cuda:all [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads on the CPU [default: one a core]; the result does not depend on it
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// Which model, with which hyper-parameters.
#[derive(Args, Clone)]
pub struct Which {
    /// The model, e.g. GMLVQ (`lvq models` lists them)
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// A hyper-parameter or training option; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prototypes of each class: a number, or c=N,... [train: 4 unless start tensors are given]
    #[arg(long, value_name = "N|c=N,...")]
    pub prototypes: Option<String>,
    /// Start tensors by name, and prototype_labels
    #[arg(long, value_name = "FILE.safetensors")]
    pub init: Option<PathBuf>,
    /// f32, f64, tf32, bf16 or f16
    #[arg(long)]
    pub precision: Option<String>,
    /// Seed of all random streams
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Weights of the classes: balanced, or label=weight,...
    #[arg(long, value_name = "WEIGHTS")]
    pub class_weight: Option<String>,
}

#[derive(Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Examples:\n  \
    lvq train data/iris.csv --model GLVQ --prototypes 2 --out iris.safetensors\n  \
    lvq train x.npy --labels y.npy --model GMLVQ --set latent_dim=2 --batch-size 256 --out m.safetensors\n  \
    lvq train data/wine.csv --model GMLVQ --standardize --folds 5\n  \
    lvq train big.npz --config job.toml --checkpoint job.ckpt --checkpoint-every 10 --out m.safetensors\n  \
    lvq train big.npz --config job.toml --resume job.ckpt --checkpoint job.ckpt --out m.safetensors"
)]
pub struct Train {
    /// Labelled data: .csv, .npy, .npz, .safetensors, or - for CSV on standard input
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub source: Data,
    #[command(flatten)]
    pub place: Where,
    /// Options in a TOML file; flags win
    #[arg(long, value_name = "JOB.toml")]
    pub config: Option<PathBuf>,
    /// Iterations: full-batch steps, or epochs with --batch-size [default: 100]
    #[arg(long, value_name = "N")]
    pub max_iter: Option<usize>,
    /// Step size [default: 0.01]
    #[arg(long, value_name = "RATE")]
    pub lr: Option<f64>,
    /// Optimizer [default: adam]; its hyper-parameters with --set optimizer_kwargs.KEY=VALUE
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<String>,
    /// Learning-rate schedule; its arguments with --set lr_scheduler_kwargs.KEY=VALUE
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
    /// Rows of a mini-batch [default: all rows]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Stop when the loss changes by less; 0 never stops early [default: 1e-6]
    #[arg(long, value_name = "X")]
    pub epsilon: Option<f64>,
    /// Stop after N iterations in a row without improvement
    #[arg(long, value_name = "N")]
    pub patience: Option<usize>,
    /// Return the weights with the best monitored loss
    #[arg(long)]
    pub restore_best: bool,
    /// Batches whose mean gradient makes one update
    #[arg(long, value_name = "N")]
    pub grad_accumulation: Option<usize>,
    /// Decay of a moving average of the weights, which is then returned
    #[arg(long, value_name = "DECAY")]
    pub ema: Option<f64>,
    /// Tensors that do not learn, comma-separated
    #[arg(long, value_name = "NAMES")]
    pub freeze: Option<String>,
    /// Lookahead: PERIOD, or PERIOD,STEP
    #[arg(long, value_name = "PERIOD[,STEP]")]
    pub lookahead: Option<String>,
    /// Data on which the loss is measured after each iteration
    #[arg(long, value_name = "DATA")]
    pub validation: Option<PathBuf>,
    /// Learn mean and scale of each feature from the training rows, and store them in the model
    #[arg(long)]
    pub standardize: bool,
    /// Keep this share of the rows (by class) out of training and report the accuracy on it
    #[arg(long, value_name = "SHARE")]
    pub holdout: Option<f64>,
    /// Cross-validate in K folds (by class) instead of training one model
    #[arg(long, value_name = "K")]
    pub folds: Option<usize>,
    /// Save the model
    #[arg(long, value_name = "MODEL.safetensors")]
    pub out: Option<PathBuf>,
    /// Write loss, validation loss, learning rate and seconds of each iteration
    #[arg(long, value_name = "FILE.csv")]
    pub history: Option<PathBuf>,
    /// Save a checkpoint here, rewritten whole
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Iterations from one checkpoint to the next [default: 1]
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<usize>,
    /// Go on from a checkpoint or model, with the same data and options, to the same bits
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
    /// No progress on standard error
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Args)]
pub struct Predict {
    /// A model file
    pub model: PathBuf,
    /// Rows: .csv, .npy, .npz, .safetensors, or - for CSV on standard input
    pub data: PathBuf,
    #[command(flatten)]
    pub source: Data,
    #[command(flatten)]
    pub place: Where,
    /// One column of probability for each class
    #[arg(long, group = "what")]
    pub proba: bool,
    /// The score of a one-class model
    #[arg(long, group = "what")]
    pub scores: bool,
    /// Distances to all prototypes
    #[arg(long, group = "what")]
    pub distances: bool,
    /// Reject rows below this confidence (soft models: class probability)
    #[arg(long, value_name = "CONFIDENCE", conflicts_with = "what")]
    pub reject: Option<f64>,
    /// One-class: target at or above this score
    #[arg(long, value_name = "U", conflicts_with = "what")]
    pub upper: Option<f64>,
    /// One-class: outlier below this score
    #[arg(long, value_name = "L", conflicts_with = "what")]
    pub lower: Option<f64>,
    /// What stands for a rejected row [default: -1]
    #[arg(long, value_name = "LABEL", allow_hyphen_values = true)]
    pub reject_label: Option<String>,
    /// Write here, .csv or .npy by the ending [default: CSV on standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// One JSON object on standard output (needs --out)
    #[arg(long, requires = "out")]
    pub json: bool,
}

#[derive(Args)]
pub struct Evaluate {
    /// A model file
    pub model: PathBuf,
    /// Labelled rows
    pub data: PathBuf,
    #[command(flatten)]
    pub source: Data,
    #[command(flatten)]
    pub place: Where,
    /// Only the rows that `train --holdout` kept out; DATA must be the same file
    #[arg(long)]
    pub holdout: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Transform {
    /// A model file
    pub model: PathBuf,
    /// Rows
    pub data: PathBuf,
    #[command(flatten)]
    pub source: Data,
    #[command(flatten)]
    pub place: Where,
    /// Write here, .csv or .npy by the ending
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:\n  \
    lvq gradient data/iris.csv --model GMLVQ --init start.safetensors --precision f64 --out gradient.safetensors")]
pub struct Gradient {
    /// Labelled data
    pub data: PathBuf,
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub source: Data,
    #[command(flatten)]
    pub place: Where,
    /// Write a tensor grad/<name> for each learnable tensor
    #[arg(long, value_name = "FILE.safetensors")]
    pub out: Option<PathBuf>,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Models {
    /// One model
    pub name: Option<String>,
    /// JSON on standard output
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,
    /// The table of the README
    #[arg(long)]
    pub markdown: bool,
}

#[derive(Args)]
pub struct Devices {
    /// JSON on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "Example:\n  \
    lvq bench --model GMLVQ --rows 100000 --features 64 --classes 10 --per-class 5 --json")]
pub struct Bench {
    /// The model [default: GMLVQ]
    #[arg(long, value_name = "NAME", default_value = "GMLVQ")]
    pub model: String,
    /// Rows of made data
    #[arg(long, default_value_t = 100_000)]
    pub rows: usize,
    /// Features
    #[arg(long, default_value_t = 64)]
    pub features: usize,
    /// Classes
    #[arg(long, default_value_t = 10)]
    pub classes: usize,
    /// Prototypes a class
    #[arg(long, default_value_t = 5)]
    pub per_class: usize,
    /// A hyper-parameter or training option; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub place: Where,
    /// What is timed: a training step, the labels of all rows, or the matrix of all distances
    #[arg(long, default_value = "step", value_parser = ["step", "predict", "distances"])]
    pub what: String,
    /// Rows of a mini-batch [default: a step takes all rows]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Make the data in a temporary file (in TMPDIR) and map it: memory stays flat however many rows there are. The same numbers as without it
    #[arg(long)]
    pub mmap: bool,
    /// With --what distances [default: squared_euclidean]
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Kernels of a GPU: tuned, or naive, the form that they are tested against
    #[arg(long, default_value = "tuned", value_parser = ["tuned", "naive"])]
    pub kernels: String,
    /// f32, f64, tf32, bf16 or f16
    #[arg(long, default_value = "f32")]
    pub precision: String,
    /// Steps timed, after a warm-up
    #[arg(long, default_value_t = 20)]
    pub steps: usize,
    /// What the step is made of, and where its cost comes from
    #[arg(long)]
    pub explain: bool,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Inspect {
    /// A model file or checkpoint
    pub model: PathBuf,
    /// One JSON object on standard output
    #[arg(long)]
    pub json: bool,
}
