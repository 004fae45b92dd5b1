//! Compiles the kernels and shaders where their compilers are found, takes the artefacts kept beside
//! the sources where not, and hands either to the crate; builds the CUDA kernels for the host, where
//! there is a C++ compiler, for the tests.
//!
//! `LVQ_KERNELS=prebuilt` never looks for a compiler, `LVQ_KERNELS=rebuild` insists on one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

// Also used by scripts/kernels.rs and tests/artefacts.rs, which call the rest of it.
#[allow(dead_code)]
#[path = "build/kernels.rs"]
mod kernels;

use kernels::{CUDA, Compiler, Found, Language, VULKAN};

/// Where artefacts come from.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// The compiler if there is one, else the artefacts beside the sources.
    Auto,
    /// The artefacts beside the sources.
    Prebuilt,
    /// The compiler.
    Rebuild,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            for line in why.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|e| format!("{name}: {e}"))
}

fn run() -> Result<(), String> {
    println!("cargo::rustc-check-cfg=cfg(lvq_cuda_host)");
    for path in ["build.rs", "build", "kernels", "shaders"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for name in ["LVQ_KERNELS", "NVCC", "GLSLC", "CUDA_HOME", "CUDA_PATH", "VULKAN_SDK"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let mode = match std::env::var("LVQ_KERNELS").unwrap_or_default().as_str() {
        "" | "auto" => Mode::Auto,
        "prebuilt" => Mode::Prebuilt,
        "rebuild" => Mode::Rebuild,
        other => {
            return Err(format!("LVQ_KERNELS={other}: expected auto, prebuilt or rebuild"));
        }
    };

    let cuda = std::env::var_os("CARGO_FEATURE_CUDA").is_some();
    let vulkan = std::env::var_os("CARGO_FEATURE_VULKAN").is_some();
    let mut module = String::new();
    for (language, table, wanted) in [(CUDA, "PTX", cuda), (VULKAN, "SPIRV", vulkan)] {
        embed(&language, table, wanted, mode, &root, &out, &mut module)?;
    }
    write(&out.join("artefacts.rs"), &module)?;

    if cuda {
        host_build(&root, &out)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// Puts the artefacts of `language` into `out` and their table into `module`.
fn embed(
    language: &Language,
    table: &str,
    wanted: bool,
    mode: Mode,
    root: &Path,
    out: &Path,
    module: &mut String,
) -> Result<(), String> {
    let mut names = Vec::new();
    let mut origin = String::from("left out: built without this feature");
    if wanted {
        let folder = out.join(language.artefact);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        names = language.names(root)?;
        origin = match compiler(language, mode, root, out)? {
            Some(compiler) => {
                compile(language, &compiler, &names, root, &folder)?;
                format!("compiled with {}", compiler.version)
            }
            None => {
                copy_prebuilt(language, &names, root, &folder)?;
                format!("prebuilt with {}", language.stamps(root)?.compiler)
            }
        };
    }
    let _ = writeln!(module, "/// Where the artefacts of [`{table}`] come from.");
    let _ = writeln!(module, "pub const {table}_ORIGIN: &str = {origin:?};");
    let _ = writeln!(module, "/// Name and content of every artefact from `{}/`.", language.folder);
    let _ = writeln!(module, "pub static {table}: &[(&str, &[u8])] = &[");
    for name in names {
        let file = format!("/{0}/{name}.{0}", language.artefact);
        let path = format!("concat!(env!(\"OUT_DIR\"), {file:?})");
        let _ = writeln!(module, "    ({name:?}, include_bytes!({path})),");
    }
    module.push_str("];\n");
    Ok(())
}

/// The compiler to use, or `None` for the artefacts beside the sources.
fn compiler(
    language: &Language,
    mode: Mode,
    root: &Path,
    out: &Path,
) -> Result<Option<Compiler>, String> {
    if mode == Mode::Prebuilt {
        return Ok(None);
    }
    let name = language.compiler;
    match language.find(root, out)? {
        Found::Usable(compiler) => Ok(Some(compiler)),
        Found::Missing if mode == Mode::Rebuild => Err(format!(
            "LVQ_KERNELS=rebuild, and {name} was not found. Install {}, or set {}.",
            language.install, language.variable
        )),
        Found::Broken(why) if mode == Mode::Rebuild => {
            Err(format!("LVQ_KERNELS=rebuild, and {name} does not work: {why}"))
        }
        Found::Missing => Ok(None),
        Found::Broken(why) => {
            let why = why.replace('\n', " ");
            println!(
                "cargo::warning={name} does not work ({why}); {}/ is used",
                language.artefacts
            );
            Ok(None)
        }
    }
}

/// Compiles what has changed since the last build into `folder`.
fn compile(
    language: &Language,
    compiler: &Compiler,
    names: &[String],
    root: &Path,
    folder: &Path,
) -> Result<(), String> {
    let mut jobs = Vec::new();
    let mut notes = Vec::new();
    for name in names {
        let artefact = language.artefact_path(folder, name);
        let note = folder.join(format!("{name}.from"));
        let from = format!("{} {}", language.source_hash(root, name)?, compiler.version);
        if artefact.is_file() && fs::read_to_string(&note).is_ok_and(|old| old == from) {
            continue;
        }
        jobs.push((name.clone(), artefact));
        notes.push((note, from));
    }
    language.compile_all(root, compiler, &jobs)?;
    notes.iter().try_for_each(|(note, from)| write(note, from))
}

/// Copies the artefacts beside the sources into `folder`, unless they are stale.
fn copy_prebuilt(
    language: &Language,
    names: &[String],
    root: &Path,
    folder: &Path,
) -> Result<(), String> {
    let stale = language.stale(root)?;
    if !stale.is_empty() {
        return Err(format!(
            "the artefacts in {} do not belong to the sources:\n  {}\nand there is no {} to compile \
             them with. Install {} (or set {}) and run `scripts/kernels update`; to use the sources \
             as they were released, restore both folders.",
            language.artefacts,
            stale.join("\n  "),
            language.compiler,
            language.install,
            language.variable
        ));
    }
    for name in names {
        let from = language.artefact_path(&root.join(language.artefacts), name);
        fs::copy(&from, language.artefact_path(folder, name))
            .map_err(|e| format!("{}: {e}", from.display()))?;
        // What lies there now was not compiled here.
        let _ = fs::remove_file(folder.join(format!("{name}.from")));
    }
    Ok(())
}

/// Compiles every CUDA kernel as ordinary C++ against `kernels/include/host.h` and writes the table
/// of its entry points. Without a C++ compiler the device `cuda-host` is absent, and says why.
fn host_build(root: &Path, out: &Path) -> Result<(), String> {
    let mut declarations = String::new();
    let mut table = String::new();
    let mut files = Vec::new();
    for name in CUDA.names(root)? {
        let function = kernels::cuda_function(&name);
        let mut unit = String::from("#include \"include/host.h\"\n");
        for (name, value) in kernels::defines(&CUDA, &name) {
            let _ = writeln!(unit, "#define {name} {}", value.unwrap_or_default());
        }
        let source = CUDA.source_path(Path::new(""), &name);
        let source = source.strip_prefix(CUDA.folder).unwrap_or(&source);
        let _ = writeln!(
            unit,
            "#include \"{}\"\n\
             extern \"C\" const char* host_{function}(const lvq_host::Launch* launch, void** arguments) {{\n    \
             return lvq_host::launch(*launch, Kernel::LVQ_THREADS, {function}, arguments);\n}}",
            source.display()
        );
        let _ = writeln!(
            declarations,
            "    fn host_{function}(shape: *const Shape, arguments: *mut *mut c_void) -> *const \
             c_char;"
        );
        let _ = writeln!(table, "    ({name:?}, host_{function}),");
        let file = out.join(format!("host_{name}.cpp"));
        write(&file, &unit)?;
        files.push(file);
    }
    let linux = variable("CARGO_CFG_TARGET_OS")? == "linux";
    let native = variable("HOST")? == variable("TARGET")?;
    let built = if linux && native {
        // Plain code without the C++ library, so that the crate does not come to depend on it. No
        // contraction: `a * b + c` has two roundings, as written, on every machine.
        cc::Build::new()
            .cpp(true)
            .std("c++17")
            .cpp_link_stdlib(None)
            .opt_level(2)
            .debug(false)
            .include(root.join("kernels"))
            .include(root.join("kernels/include"))
            .include(root.join("shaders/include"))
            .flags(["-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics", "-ffp-contract=off"])
            .flag_if_supported("-Wno-unknown-pragmas")
            .cargo_warnings(false)
            .files(files)
            .try_compile("lvq_cuda_host")
            .map_err(|e| e.to_string())
    } else {
        Err("it is built on Linux only, and not when cross-compiling".to_string())
    };
    match built {
        Ok(()) => {
            println!("cargo::rustc-cfg=lvq_cuda_host");
            let module = format!(
                "unsafe extern \"C\" {{\n{declarations}}}\n\
                 static KERNELS: &[(&str, Entry)] = &[\n{table}];\n"
            );
            write(&out.join("host.rs"), &module)
        }
        Err(why) => {
            let why = why.replace('\n', " ");
            println!("cargo::rustc-env=LVQ_CUDA_HOST_MISSING={why}");
            Ok(())
        }
    }
}
