//! The artefacts kept beside the sources, and those that this build carries, belong to the sources.

#[cfg(any(feature = "cuda", feature = "vulkan"))]
use lvq::backend::artefacts;
use std::fs;
use std::path::Path;

// Also used by build.rs and scripts/kernels.rs, which call the rest of it.
#[allow(dead_code)]
#[path = "../build/kernels.rs"]
mod kernels;

use kernels::{CUDA, VULKAN};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn stamps_match_the_sources() {
    for language in [CUDA, VULKAN] {
        let stale = language.stale(root()).unwrap();
        assert!(stale.is_empty(), "{}\nrun `scripts/kernels update`", stale.join("\n"));
        assert!(!language.stamps(root()).unwrap().compiler.is_empty());
    }
}

/// A small tree with one kernel, its two includes, and an artefact stamped for them.
fn stamped_tree(folder: &Path) {
    let file = |path: &str, text: &str| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    file("kernels/a.cu", "#include \"include/one.h\"\n#include <math.h>\n");
    file("kernels/include/one.h", "#include \"two.h\"\n");
    file("kernels/include/two.h", "// two\n");
    file("kernels/include/other.h", "// nobody includes this\n");
    file("kernels/ptx/a.ptx", ".entry a\n");
    let hash = CUDA.source_hash(folder, "a").unwrap();
    // The hash of the artefact: FNV-1a of its length (8 bytes, little-endian) and its bytes, worked
    // out here by the definition.
    let artefact = [9u8, 0, 0, 0, 0, 0, 0, 0]
        .iter()
        .chain(b".entry a\n")
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    file("kernels/ptx/STAMPS", &format!("# note\ncompiler: nvcc\na {hash} {artefact:016x}\n"));
}

#[test]
fn a_change_of_source_include_or_artefact_makes_it_stale() {
    // (what is written where, what the complaint names)
    let changes: [(&str, &str, Option<&str>); 7] = [
        ("kernels/a.cu", "#include \"include/one.h\"\n#include <math.h>\n\n", Some("kernels/a.cu")),
        ("kernels/include/two.h", "// changed\n", Some("kernels/a.cu")),
        ("kernels/ptx/a.ptx", ".entry b\n", Some("is not the file that was compiled")),
        ("kernels/b.cu", "", Some("b.cu was never compiled")),
        ("kernels/ptx/c.ptx", "", Some("c.ptx has no source")),
        ("kernels/include/other.h", "// changed\n", None),
        ("kernels/include/two.h", "// two\r\n", None),
    ];
    for (path, text, complaint) in changes {
        let folder = tempfile::tempdir().unwrap();
        stamped_tree(folder.path());
        assert_eq!(CUDA.stale(folder.path()).unwrap(), Vec::<String>::new());
        fs::write(folder.path().join(path), text).unwrap();
        let stale = CUDA.stale(folder.path()).unwrap();
        match complaint {
            None => assert!(stale.is_empty(), "{path}: {stale:?}"),
            Some(part) => {
                assert!(stale.len() == 1 && stale[0].contains(part), "{path}: {stale:?}");
            }
        }
    }
}

#[test]
fn a_missing_include_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    stamped_tree(folder.path());
    fs::remove_file(folder.path().join("kernels/include/two.h")).unwrap();
    let error = CUDA.source_hash(folder.path(), "a").unwrap_err();
    assert!(error.contains("two.h") && error.contains("one.h"), "{error}");
}

/// A shader has one text and two languages; what is compiled of it, and by which names, is the same in both.
#[test]
fn every_shader_is_a_kernel() {
    // What is written for an architecture (tensor cores) is in CUDA C++ alone.
    let mut kernels = CUDA.names(root()).unwrap();
    kernels.retain(|name| CUDA.target(root(), name).unwrap().is_none());
    assert_eq!(kernels, VULKAN.names(root()).unwrap());
    for name in kernels {
        let stem = name.split('.').next().unwrap();
        let kernel = fs::read_to_string(CUDA.source_path(root(), &name)).unwrap();
        assert!(kernel.contains(&format!("#include \"../shaders/{stem}.comp\"")), "{name}");
    }
}

/// The names that `language` should have put into the crate, as its sources say.
#[cfg(any(feature = "cuda", feature = "vulkan"))]
fn names(language: &kernels::Language) -> Vec<String> {
    let names = language.names(root()).unwrap();
    assert!(!names.is_empty());
    names
}

#[cfg(feature = "cuda")]
#[test]
fn every_kernel_is_embedded_with_its_entries() {
    let names = names(&CUDA);
    let embedded: Vec<&str> = artefacts::PTX.iter().map(|(name, _)| *name).collect();
    assert_eq!(embedded, names);
    for name in &names {
        let ptx = artefacts::ptx(name).unwrap();
        let target = CUDA.target(root(), name).unwrap().unwrap_or("compute_75".into());
        let target = target.replace("compute_", ".target sm_");
        assert!(ptx.contains(&target), "{name}: not for {target}");
        let function = kernels::cuda_function(name);
        assert!(ptx.contains(&format!(".visible .entry {function}(")), "{name}");
    }
    assert_eq!(artefacts::ptx("no such kernel"), None);
}

#[cfg(feature = "vulkan")]
#[test]
fn every_shader_is_embedded_as_spirv() {
    let names = names(&VULKAN);
    let embedded: Vec<&str> = artefacts::SPIRV.iter().map(|(name, _)| *name).collect();
    assert_eq!(embedded, names);
    for name in &names {
        let words = artefacts::spirv(name).unwrap();
        assert_eq!(words[0], 0x0723_0203, "{name}: not SPIR-V");
        assert!(words[1] <= 0x0001_0300, "{name}: newer than Vulkan 1.1 takes");
    }
    assert_eq!(artefacts::spirv("no such shader"), None);
}

/// Runs the build script's program of this build again with other settings, in a scratch folder.
/// What it prints, and whether it succeeded.
#[cfg(all(feature = "cuda", unix))]
fn build_script(root: &Path, out: &Path, settings: &[(&str, &str)]) -> Option<(bool, String)> {
    // target/<profile>/build/lvq-*/build-script-build; the newest, where there are several.
    let mut folder = std::env::current_exe().unwrap();
    while folder.file_name().is_some_and(|n| n != "deps") {
        folder.pop();
    }
    let builds = fs::read_dir(folder.parent()?.join("build")).ok()?;
    let programs = builds
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("lvq-")))
        .map(|p| p.join("build-script-build"))
        .filter(|p| p.is_file());
    let program = programs.max_by_key(|p| fs::metadata(p).and_then(|m| m.modified()).ok())?;
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = std::process::Command::new(program)
        .env_clear()
        .envs(["HOME"].iter().filter_map(|k| Some((*k, std::env::var_os(k)?))))
        .env("CARGO_MANIFEST_DIR", root)
        .env("OUT_DIR", out)
        .env("CARGO_FEATURE_CUDA", "1")
        .env("CARGO_CFG_TARGET_OS", "linux")
        .env("HOST", &target)
        .env("TARGET", &target)
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Without a compiler, fresh artefacts are taken and stale ones are an error that says which and what
/// to do; a mode that is not known is refused.
#[cfg(all(feature = "cuda", unix))]
#[test]
fn the_build_without_compilers() {
    let tree = tempfile::tempdir().unwrap();
    let out = tempfile::tempdir().unwrap();
    stamped_tree(tree.path());
    let kernel = "#include \"include/one.h\"\nextern \"C\" __global__ void a() {}\n";
    // An empty PATH: no compiler is found.
    let run =
        |mode: &str| build_script(tree.path(), out.path(), &[("PATH", ""), ("LVQ_KERNELS", mode)]);

    fs::write(tree.path().join("kernels/a.cu"), kernel).unwrap();
    let Some((ok, said)) = run("prebuilt") else {
        println!("skipped: the build script's program is not where cargo puts it");
        return;
    };
    assert!(!ok, "{said}");
    for part in ["cargo::error=", "kernels/a.cu", "scripts/kernels update", "NVCC"] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let stamps = fs::read_to_string(tree.path().join("kernels/ptx/STAMPS")).unwrap();
    let artefact = stamps.split_whitespace().last().unwrap();
    let hash = CUDA.source_hash(tree.path(), "a").unwrap();
    let fresh = format!("compiler: nvcc of a test\na {hash} {artefact}\n");
    fs::write(tree.path().join("kernels/ptx/STAMPS"), fresh).unwrap();
    for mode in ["prebuilt", "auto"] {
        let (ok, said) = run(mode).unwrap();
        assert!(ok, "{mode}: {said}");
        // Nor is there a C++ compiler: the host build is left out, and says so.
        assert!(said.contains("LVQ_CUDA_HOST_MISSING=") && !said.contains("rustc-cfg"), "{said}");
        let module = fs::read_to_string(out.path().join("artefacts.rs")).unwrap();
        assert!(module.contains("prebuilt with nvcc of a test"), "{module}");
        assert_eq!(fs::read_to_string(out.path().join("ptx/a.ptx")).unwrap(), ".entry a\n");
    }

    let (ok, said) = run("rebuild").unwrap();
    assert!(!ok && said.contains("nvcc was not found"), "{said}");
    let (ok, said) = run("yes").unwrap();
    assert!(!ok && said.contains("expected auto, prebuilt or rebuild"), "{said}");
}
