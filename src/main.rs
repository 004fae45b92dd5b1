//! The command `lvq`.

fn main() -> std::process::ExitCode {
    lvq::cli::main()
}
