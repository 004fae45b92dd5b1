//! The command line: thin, no mathematics.

mod args;
mod bench;
mod evaluate;
mod gradient;
mod input;
mod models;
mod output;
mod predict;
mod progress;
mod train;

use crate::error::Error;
use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// How a command ends, when it does not fail.
pub(crate) enum Done {
    /// All done.
    Ok,
    /// Interrupted; what was promised is saved.
    Interrupted,
}

/// Parses the arguments, runs the command, and gives the exit status.
pub fn main() -> ExitCode {
    // A broken pipe (`lvq models | head`) ends the program quietly.
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Train(args) => train::run(*args),
        Command::Predict(args) => predict::run(args),
        Command::Evaluate(args) => evaluate::run(args),
        Command::Transform(args) => predict::transform(args),
        Command::Gradient(args) => gradient::run(args),
        Command::Models(args) => models::run(args),
        Command::Devices(args) => models::devices(args),
        Command::Bench(args) => bench::run(args),
        Command::Inspect(args) => models::inspect(args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "lvq", &mut std::io::stdout());
            Ok(Done::Ok)
        }
    };
    match result {
        Ok(Done::Ok) => ExitCode::SUCCESS,
        Ok(Done::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(status(&error))
        }
    }
}

/// 2 where the input or the call is wrong, 1 where the run failed.
fn status(error: &Error) -> u8 {
    match error {
        Error::Diverged { .. } | Error::Running(_) => 1,
        _ => 2,
    }
}
