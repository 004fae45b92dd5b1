//! `scripts/kernels check|update`: see there. Run from the repository's root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

// Also used by build.rs and tests/artefacts.rs, which call the rest of it.
#[allow(dead_code)]
#[path = "../build/kernels.rs"]
mod kernels;

use kernels::{CUDA, Compiler, Found, Language, VULKAN};

/// The GPUs that the PTX must assemble for: Turing, Ampere (two), Ada, Hopper.
const GPUS: [&str; 5] = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = Path::new(".");
    let scratch = PathBuf::from("target/kernels");
    let outcome = match arguments[..] {
        ["update"] => [CUDA, VULKAN].iter().try_for_each(|l| update(l, root, &scratch)),
        ["check"] => check(root, &scratch, false),
        ["check", "--strict"] => check(root, &scratch, true),
        _ => {
            eprintln!("usage: scripts/kernels check [--strict] | update");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn require(language: &Language, root: &Path, scratch: &Path) -> Result<Compiler, String> {
    match language.find(root, scratch)? {
        Found::Usable(compiler) => Ok(compiler),
        Found::Broken(why) => Err(why),
        Found::Missing => Err(format!(
            "{} was not found; install {}, or set {}",
            language.compiler, language.install, language.variable
        )),
    }
}

fn update(language: &Language, root: &Path, scratch: &Path) -> Result<(), String> {
    let compiler = require(language, root, scratch)?;
    let names = language.update(root, &compiler)?;
    println!("{}: {} compiled with {}", language.artefacts, names.join(", "), compiler.version);
    Ok(())
}

fn check(root: &Path, scratch: &Path, strict: bool) -> Result<(), String> {
    // Both languages are looked at before the verdict.
    let outcomes = [CUDA, VULKAN].map(|language| check_one(&language, root, scratch, strict));
    let problems: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn check_one(language: &Language, root: &Path, scratch: &Path, strict: bool) -> Result<(), String> {
    let kept = root.join(language.artefacts);
    let mut problems = language.stale(root)?;
    let stamped = language.stamps(root)?.compiler;
    match require(language, root, scratch) {
        Err(why) if strict => problems.push(why),
        Err(why) => println!("{}: stamps compared only: {why}", language.artefacts),
        Ok(compiler) if compiler.version != stamped => println!(
            "{}: stamps compared only: they were compiled with `{stamped}`, and this is `{}`",
            language.artefacts, compiler.version
        ),
        Ok(compiler) => {
            let names = language.names(root)?.into_iter();
            let jobs: Vec<_> =
                names.map(|n| (n.clone(), language.artefact_path(scratch, &n))).collect();
            language.compile_all(root, &compiler, &jobs)?;
            for (name, fresh) in &jobs {
                let old = language.artefact_path(&kept, name);
                if fs::read(fresh).ok() != fs::read(&old).ok() {
                    problems.push(format!("{} differs from a fresh build", old.display()));
                }
            }
            println!("{}: recompiled with {} and compared", language.artefacts, compiler.version);
            accept(language, &compiler, root, scratch, &mut problems)?;
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n(`scripts/kernels update` compiles them anew)", problems.join("\n")))
}

/// Has the next tool in line accept each artefact: `ptxas` (beside nvcc) for every GPU, without
/// spilling registers; `spirv-val` where it is installed.
fn accept(
    language: &Language,
    compiler: &Compiler,
    root: &Path,
    scratch: &Path,
    problems: &mut Vec<String>,
) -> Result<(), String> {
    let cuda = language.compiler == CUDA.compiler;
    let (tool, targets) = if cuda {
        (compiler.path.with_file_name("ptxas"), &GPUS[..])
    } else {
        (PathBuf::from("spirv-val"), &["vulkan1.1"][..])
    };
    let tells = Command::new(&tool).arg("--version").output();
    if !tells.is_ok_and(|o| o.status.success()) {
        println!("{}: no {} to check them with", language.artefacts, tool.display());
        return Ok(());
    }
    for name in language.names(root)? {
        let artefact = language.artefact_path(&root.join(language.artefacts), &name);
        // A source that asks for an architecture is not for GPUs before it.
        let oldest = language.target(root, &name)?.map(|t| t.replace("compute_", "sm_"));
        for target in targets.iter().filter(|t| oldest.as_deref().is_none_or(|o| **t >= o)) {
            let mut call = Command::new(&tool);
            if cuda {
                call.args(["-v", "-arch", target, "-o"]).arg(scratch.join("probe.cubin"));
            } else {
                call.args(["--target-env", target]);
            }
            let output = call.arg(&artefact).output().map_err(|e| e.to_string())?;
            let said = String::from_utf8_lossy(&output.stderr);
            let spills = said
                .lines()
                .any(|l| l.contains("spill stores") && !l.contains(" 0 bytes spill stores"));
            if !output.status.success() || spills {
                problems.push(format!("{} for {target}: {said}", artefact.display()));
            }
        }
    }
    println!("{}: accepted for {}", language.artefacts, targets.join(", "));
    Ok(())
}
