//! How kernels and shaders become what the crate embeds: finding the compilers, compiling, and the
//! stamps that say what each artefact was compiled from.
//!
//! One file for the three that need it: `build.rs` (embeds), `scripts/kernels.rs` (checks and updates
//! the artefacts kept beside the sources) and `tests/artefacts.rs`. It uses the standard library only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One language of kernels: where its files are and how they are compiled.
pub struct Language {
    /// The sources' folder.
    pub folder: &'static str,
    /// The sources' ending.
    pub source: &'static str,
    /// The folder of the artefacts and of their stamps.
    pub artefacts: &'static str,
    /// The artefacts' ending.
    pub artefact: &'static str,
    /// The compiler's program name.
    pub compiler: &'static str,
    /// The variable that names the compiler's path.
    pub variable: &'static str,
    /// What the compiler is called with, before the input and `-o` the output.
    pub flags: &'static [&'static str],
    /// A program that compiles when the compiler is whole.
    probe: &'static str,
    /// How a user gets the compiler.
    pub install: &'static str,
}

/// CUDA C++ to PTX. Compute capability 7.5 is the oldest that CUDA 13 compiles for; a newer GPU
/// compiles the PTX for itself when it is loaded.
pub const CUDA: Language = Language {
    folder: "kernels",
    source: "cu",
    artefacts: "kernels/ptx",
    artefact: "ptx",
    compiler: "nvcc",
    variable: "NVCC",
    flags: &["-ptx", "-arch=compute_75", "-O3", "-std=c++17"],
    probe: "extern \"C\" __global__ void probe(float *x) { x[threadIdx.x] = 0.0f; }\n",
    install: "the CUDA toolkit, or from PyPI nvidia-cuda-nvcc==13.0.88, nvidia-cuda-runtime==13.0.*, \
              nvidia-cuda-cccl==13.0.*, nvidia-cuda-crt==13.0.*, nvidia-nvvm==13.0.*",
};

/// GLSL to SPIR-V for Vulkan 1.1, the oldest the crate asks for.
pub const VULKAN: Language = Language {
    folder: "shaders",
    source: "comp",
    artefacts: "shaders/spirv",
    artefact: "spv",
    compiler: "glslc",
    variable: "GLSLC",
    flags: &["-std=450", "--target-env=vulkan1.1", "-O"],
    probe: "void main() {}\n",
    install: "the package `glslc` (Debian) or `shaderc`, or the Vulkan SDK",
};

/// A compiler that was found and has compiled a probe.
pub struct Compiler {
    /// The program.
    pub path: PathBuf,
    /// What it says its version is, on one line.
    pub version: String,
}

/// What a compiler is good for here.
pub enum Found {
    /// It compiles.
    Usable(Compiler),
    /// It is there and does not work: what it said.
    Broken(String),
    /// It is not there.
    Missing,
}

/// What was compiled into one artefact, as written in `STAMPS`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Hash of the flags, the source and every file it includes.
    pub sources: String,
    /// Hash of the artefact.
    pub artefact: String,
}

/// The content of `STAMPS`.
#[derive(Default)]
pub struct Stamps {
    /// The version of the compiler that made the artefacts.
    pub compiler: String,
    /// Artefact name -> stamp.
    pub entries: BTreeMap<String, Stamp>,
}

/// FNV-1a, 64 bits: notices an edit, is not meant to withstand an attack.
#[derive(Clone)]
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Adds a text with its length, without the carriage returns that some checkouts insert.
    fn add_text(&mut self, bytes: &[u8]) {
        let text: Vec<u8> = bytes.iter().copied().filter(|b| *b != b'\r').collect();
        self.add(&(text.len() as u64).to_le_bytes());
        self.add(&text);
    }

    fn hex(&self) -> String {
        format!("{:016x}", self.0)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// The files that `text` includes with quotes.
fn includes(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?;
        rest.trim_start().strip_prefix('"')?.split('"').next()
    })
}

/// The function that is the kernel `part.entry` in CUDA C++.
pub fn cuda_function(name: &str) -> String {
    format!("lvq_{}", name.replace('.', "_"))
}

/// What is defined for the compiler when it compiles the artefact `name` of CUDA C++ or GLSL.
pub fn defines(language: &Language, name: &str) -> Vec<(String, Option<String>)> {
    let mut defines = Vec::new();
    if language.compiler == CUDA.compiler {
        defines.push(("LVQ_NAME".into(), Some(cuda_function(name))));
    }
    if let Some((_, entry)) = name.split_once('.') {
        defines.push((format!("ENTRY_{entry}"), None));
    }
    defines
}

impl Language {
    /// The names of the artefacts, sorted: those of the sources (without ending), or `source.entry` for each entry that a source
    /// names in its line `// entries: one another` (a CUDA source: that the shader names which it includes). Such a source is
    /// compiled once an entry, with `ENTRY_<entry>` defined, because a module of GLSL has one entry point.
    pub fn names(&self, root: &Path) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for stem in self.stems(&root.join(self.folder), self.source)? {
            let path = self.source_path(root, &stem);
            let mut text = String::from_utf8_lossy(&read(&path)?).into_owned();
            for shader in includes(&text.clone()).filter(|wanted| wanted.starts_with("../")) {
                let bytes = read(&path.with_file_name(shader))?;
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
            match text.lines().find_map(|l| l.strip_prefix("// entries:")) {
                Some(entries) => {
                    names.extend(entries.split_whitespace().map(|e| format!("{stem}.{e}")));
                }
                None => names.push(stem),
            }
        }
        names.sort();
        Ok(names)
    }

    fn stems(&self, folder: &Path, ending: &str) -> Result<Vec<String>, String> {
        let listing = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut names = Vec::new();
        for entry in listing {
            let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
            if path.extension().is_some_and(|e| e == ending)
                && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
            {
                names.push(stem.to_string());
            }
        }
        names.sort();
        Ok(names)
    }

    /// What the compiler is called with for `name`: the flags, or where the source has a line `// target: NAME`, the flags with that
    /// architecture in place of the oldest.
    pub fn flags_of(&self, root: &Path, name: &str) -> Result<Vec<String>, String> {
        let target = self.target(root, name)?;
        let flag = |flag: &&str| match (&target, flag.starts_with("-arch=")) {
            (Some(target), true) => format!("-arch={target}"),
            _ => flag.to_string(),
        };
        Ok(self.flags.iter().map(flag).collect())
    }

    /// The architecture that the source of `name` asks for.
    pub fn target(&self, root: &Path, name: &str) -> Result<Option<String>, String> {
        let text = read(&self.source_path(root, name))?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().find_map(|l| l.strip_prefix("// target:")).map(|t| t.trim().to_string()))
    }

    /// The source of the artefact `name`.
    pub fn source_path(&self, root: &Path, name: &str) -> PathBuf {
        let stem = name.split('.').next().unwrap_or(name);
        root.join(self.folder).join(format!("{stem}.{}", self.source))
    }

    /// The artefact of `name` in `folder`.
    pub fn artefact_path(&self, folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.{}", self.artefact))
    }

    /// Hash of the flags, the source of `name` and every file it includes, directly or not.
    pub fn source_hash(&self, root: &Path, name: &str) -> Result<String, String> {
        let base = root.join(self.folder);
        let mut hash = Fnv::new();
        hash.add_text(self.flags_of(root, name)?.join(" ").as_bytes());
        let mut seen = BTreeSet::new();
        let mut open = vec![self.source_path(root, name)];
        while let Some(path) = open.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            let bytes = read(&path)?;
            hash.add_text(&bytes);
            let text = String::from_utf8_lossy(&bytes);
            for wanted in includes(&text) {
                let folder = path.parent().unwrap_or(&base);
                let beside = folder.join(wanted);
                let shared = folder.join("include").join(wanted);
                let file = [beside, shared].into_iter().find(|p| p.is_file()).ok_or_else(|| {
                    format!("{}: includes \"{wanted}\", which is not there", path.display())
                })?;
                open.push(file);
            }
        }
        Ok(hash.hex())
    }

    /// Looks for the compiler: the variable that names it, its toolkit's folders, `PATH`, and for
    /// nvcc the packages of the python on `PATH`. `scratch` is a folder for the probe.
    ///
    /// # Errors
    /// When the variable that names the compiler is set and does not lead to one that works.
    pub fn find(&self, root: &Path, scratch: &Path) -> Result<Found, String> {
        if let Some(path) = std::env::var_os(self.variable).filter(|v| !v.is_empty()) {
            let path = PathBuf::from(path);
            return match self.probe(root, &path, scratch) {
                Ok(compiler) => Ok(Found::Usable(compiler)),
                Err(why) => Err(format!("{}={}: {why}", self.variable, path.display())),
            };
        }
        let mut broken = None;
        for path in self.candidates() {
            match self.probe(root, &path, scratch) {
                Ok(compiler) => return Ok(Found::Usable(compiler)),
                Err(why) => {
                    broken.get_or_insert(format!("{}: {why}", path.display()));
                }
            }
        }
        Ok(broken.map_or(Found::Missing, Found::Broken))
    }

    fn candidates(&self) -> Vec<PathBuf> {
        let program = format!("{}{}", self.compiler, std::env::consts::EXE_SUFFIX);
        let kits = ["CUDA_HOME", "CUDA_PATH", "VULKAN_SDK"];
        let mut folders: Vec<PathBuf> = kits
            .iter()
            .filter_map(std::env::var_os)
            .map(|p| PathBuf::from(p).join("bin"))
            .collect();
        folders.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
        folders.push("/usr/local/cuda/bin".into());
        let mut found: Vec<PathBuf> =
            folders.iter().map(|f| f.join(&program)).filter(|p| p.is_file()).collect();
        if found.is_empty() && self.compiler == CUDA.compiler {
            found = python_packages().map(|f| f.join("bin").join(&program)).collect();
            found.retain(|p| p.is_file());
        }
        found
    }

    /// The compiler at `path`, when it tells its version and compiles a trivial program (nvcc also
    /// needs a C++ compiler and its own parts; finding the program alone says little).
    fn probe(&self, root: &Path, path: &Path, scratch: &Path) -> Result<Compiler, String> {
        let output = Command::new(path).arg("--version").output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .lines()
            .find(|l| l.contains(", V"))
            .or_else(|| text.lines().find(|l| !l.trim().is_empty()))
            .map(|l| l.trim().to_string())
            .ok_or("tells no version")?;
        let compiler = Compiler { path: path.to_path_buf(), version };
        let probe = scratch.join(format!("probe.{}", self.source));
        write(&probe, self.probe.as_bytes())?;
        let flags: Vec<String> = self.flags.iter().map(|flag| flag.to_string()).collect();
        self.run(root, &compiler, (&flags, &[]), &probe, &self.artefact_path(scratch, "probe"))?;
        Ok(compiler)
    }

    /// Compiles `name` to `out`.
    pub fn compile(
        &self,
        root: &Path,
        compiler: &Compiler,
        name: &str,
        out: &Path,
    ) -> Result<(), String> {
        // Relative to the root, so that no path of this machine can get into the artefact.
        let source = self.source_path(Path::new(""), name);
        let flags = self.flags_of(root, name)?;
        self.run(root, compiler, (&flags, &defines(self, name)), &source, out)
    }

    /// Compiles each name to its path, several at a time.
    ///
    /// # Errors
    /// What the first compiler that failed says.
    pub fn compile_all(
        &self,
        root: &Path,
        compiler: &Compiler,
        names: &[(String, PathBuf)],
    ) -> Result<(), String> {
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get());
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let work = || {
                while let Some((name, out)) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    self.compile(root, compiler, name, out)?;
                }
                Ok(())
            };
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|w| {
                w.join().unwrap_or_else(|_| Err("a thread that compiles has panicked".into()))
            })
        })
    }

    fn run(
        &self,
        root: &Path,
        compiler: &Compiler,
        (flags, defines): (&[String], &[(String, Option<String>)]),
        input: &Path,
        out: &Path,
    ) -> Result<(), String> {
        let output = Command::new(&compiler.path)
            .current_dir(root)
            .args(flags)
            .args(defines.iter().map(|(name, value)| match value {
                None => format!("-D{name}"),
                Some(value) => format!("-D{name}={value}"),
            }))
            .args([CUDA, VULKAN].map(|l| format!("-I{}/include", l.folder)))
            .arg(input)
            .arg("-o")
            .arg(out)
            .output()
            .map_err(|e| format!("{}: {e}", compiler.path.display()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{} failed on {}:\n{}{}",
            compiler.path.display(),
            input.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ))
    }

    /// The file of the stamps.
    pub fn stamps_path(&self, root: &Path) -> PathBuf {
        root.join(self.artefacts).join("STAMPS")
    }

    /// Reads the stamps; none where the file does not exist.
    pub fn stamps(&self, root: &Path) -> Result<Stamps, String> {
        let path = self.stamps_path(root);
        let mut stamps = Stamps::default();
        if !path.exists() {
            return Ok(stamps);
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
            if let Some(version) = line.strip_prefix("compiler: ") {
                stamps.compiler = version.trim().to_string();
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, sources, artefact] = words[..] else {
                return Err(format!("{}: not a stamp: {line}", path.display()));
            };
            let stamp = Stamp { sources: sources.into(), artefact: artefact.into() };
            stamps.entries.insert(name.into(), stamp);
        }
        Ok(stamps)
    }

    /// What is wrong with the artefacts kept beside the sources, one line each; empty when every
    /// source has its artefact, compiled from what the source now says, and nothing else is there.
    pub fn stale(&self, root: &Path) -> Result<Vec<String>, String> {
        let stamps = self.stamps(root)?;
        let folder = root.join(self.artefacts);
        let mut problems = Vec::new();
        let names = self.names(root)?;
        for name in &names {
            let source = self.source_path(Path::new(""), name).display().to_string();
            let artefact = format!("{}/{name}.{}", self.artefacts, self.artefact);
            let Some(stamp) = stamps.entries.get(name) else {
                problems.push(format!("{source} was never compiled: {artefact} has no stamp"));
                continue;
            };
            if stamp.sources != self.source_hash(root, name)? {
                problems.push(format!(
                    "{source} (or a file it includes) has changed since {artefact} was compiled"
                ));
            }
            let path = self.artefact_path(&folder, name);
            if !path.is_file() {
                problems.push(format!("{artefact} is missing"));
            } else if stamp.artefact != self.artefact_hash(&path)? {
                problems.push(format!("{artefact} is not the file that was compiled"));
            }
        }
        for name in stamps.entries.keys().filter(|n| !names.contains(n)) {
            problems.push(format!("{}/STAMPS names {name}, which has no source", self.artefacts));
        }
        if folder.is_dir() {
            for name in self.stems(&folder, self.artefact)? {
                if !names.contains(&name) {
                    problems
                        .push(format!("{}/{name}.{} has no source", self.artefacts, self.artefact));
                }
            }
        }
        Ok(problems)
    }

    fn artefact_hash(&self, path: &Path) -> Result<String, String> {
        let mut hash = Fnv::new();
        let bytes = read(path)?;
        // PTX is text, whose line ends a checkout may change; SPIR-V is not.
        if self.artefact == CUDA.artefact {
            hash.add_text(&bytes)
        } else {
            hash.add(&bytes)
        }
        Ok(hash.hex())
    }

    /// Compiles every source into the folder beside the sources and rewrites the stamps.
    pub fn update(&self, root: &Path, compiler: &Compiler) -> Result<Vec<String>, String> {
        let folder = root.join(self.artefacts);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let names = self.names(root)?;
        let mut text = String::from(
            "# What each artefact here was compiled from; written by `scripts/kernels update`.\n\
             # name, hash of the flags and of the source with all it includes, hash of the artefact\n",
        );
        let _ = writeln!(text, "compiler: {}", compiler.version);
        let old = self.stamps(root)?;
        let mut jobs = Vec::new();
        for name in &names {
            let out = self.artefact_path(&folder, name);
            // What is there already, from these sources and this compiler, stays.
            let stays = old.compiler == compiler.version
                && old.entries.get(name).is_some_and(|stamp| {
                    self.source_hash(root, name).is_ok_and(|hash| hash == stamp.sources)
                        && self.artefact_hash(&out).is_ok_and(|hash| hash == stamp.artefact)
                });
            if !stays {
                jobs.push((name.clone(), out));
            }
        }
        self.compile_all(root, compiler, &jobs)?;
        for name in &names {
            let sources = self.source_hash(root, name)?;
            let artefact = self.artefact_hash(&self.artefact_path(&folder, name))?;
            let _ = writeln!(text, "{name} {sources} {artefact}");
        }
        for orphan in self.stems(&folder, self.artefact)? {
            if !names.contains(&orphan) {
                let path = self.artefact_path(&folder, &orphan);
                fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
        write(&self.stamps_path(root), text.as_bytes())?;
        Ok(jobs.into_iter().map(|(name, _)| name).collect())
    }
}

/// The folders below the `nvidia` package of the python on `PATH` (`nvidia/cu13`, ...), where the
/// toolkit's wheels put their files.
fn python_packages() -> impl Iterator<Item = PathBuf> {
    const ASK: &str = "import importlib.util as u; s = u.find_spec('nvidia'); \
                       print('\\n'.join(s.submodule_search_locations) if s else '')";
    let output = ["python3", "python"].iter().find_map(|python| {
        Command::new(python).args(["-c", ASK]).output().ok().filter(|o| o.status.success())
    });
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    let mut folders: Vec<PathBuf> = text
        .lines()
        .filter(|l| !l.is_empty())
        .filter_map(|l| fs::read_dir(l).ok())
        .flat_map(|entries| entries.filter_map(Result::ok).map(|e| e.path()))
        .collect();
    // The newest toolkit (cu13 after cu12) first.
    folders.sort();
    folders.into_iter().rev()
}
