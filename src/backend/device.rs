//! The devices of this machine, and the choice of one.

use super::{cuda, vulkan};
use crate::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

/// What sort of hardware a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DeviceKind {
    /// The processor this program runs on.
    Cpu,
    /// A GPU with memory of its own.
    DiscreteGpu,
    /// A GPU that shares the processor's memory.
    IntegratedGpu,
    /// A GPU lent to a virtual machine.
    VirtualGpu,
    /// A driver that computes on the processor, for tests.
    Software,
}

impl Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Cpu => "CPU",
            DeviceKind::DiscreteGpu => "discrete GPU",
            DeviceKind::IntegratedGpu => "integrated GPU",
            DeviceKind::VirtualGpu => "virtual GPU",
            DeviceKind::Software => "software",
        })
    }
}

/// One device that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// As it is asked for: `cpu`, `cuda:0`, `vulkan:0`.
    pub name: String,
    /// What sort of hardware it is.
    pub kind: DeviceKind,
    /// The hardware's own name.
    pub description: String,
    /// Its memory in bytes (the machine's, for the CPU and what shares its memory); `None` where
    /// the system does not tell.
    pub memory_bytes: Option<u64>,
    /// What else is known: driver, versions, limits, abilities.
    pub info: BTreeMap<&'static str, String>,
}

/// Why devices of one sort could not be looked for, or one was passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `cuda` or `vulkan`.
    pub backend: &'static str,
    /// What is missing.
    pub reason: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.backend, self.reason)
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Discovery {
    /// The CPU first, then CUDA devices in the driver's order, then Vulkan devices: discrete,
    /// integrated, virtual, software.
    pub devices: Vec<DeviceInfo>,
    /// What stood in the way of finding more.
    pub problems: Vec<Problem>,
}

/// Which device is asked for, or which devices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DeviceRequest {
    /// The fastest kind of device that can do the work.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of this index.
    Cuda(usize),
    /// The CUDA devices of these indices, two or more, as one.
    CudaSeveral(Vec<usize>),
    /// All CUDA devices as one.
    CudaAll,
    /// The Vulkan device of this index.
    Vulkan(usize),
}

impl Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceRequest::Auto => f.write_str("auto"),
            DeviceRequest::Cpu => f.write_str("cpu"),
            DeviceRequest::Cuda(index) => write!(f, "cuda:{index}"),
            DeviceRequest::CudaSeveral(indices) => {
                let indices: Vec<String> = indices.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", indices.join(","))
            }
            DeviceRequest::CudaAll => f.write_str("cuda:all"),
            DeviceRequest::Vulkan(index) => write!(f, "vulkan:{index}"),
        }
    }
}

impl FromStr for DeviceRequest {
    type Err = Error;

    /// Reads `auto`, `cpu`, `cuda`, `cuda:1`, `cuda:0,1`, `cuda:all`, `vulkan`, `vulkan:0`; without an index the first is meant.
    ///
    /// # Errors
    /// [`Error::Parameter`] for any other text.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: String| {
            Error::parameter(
                "device",
                format!(
                    "'{text}' {why}; there are auto, cpu, cuda, cuda:N, cuda:N,M,..., cuda:all, vulkan, vulkan:N (N = 0, 1, ...)"
                ),
            )
        };
        let (name, list) = match text.split_once(':') {
            None => (text, None),
            Some((name, list)) => (name, Some(list)),
        };
        // Digits only: `usize` would also read "+1".
        let index = |digits: &str| -> Result<usize> {
            let read = Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            let read = read.and_then(|d| d.parse().ok());
            read.ok_or_else(|| refuse(format!("is no device: '{digits}' is no index")))
        };
        match (name, list) {
            ("auto", None) => Ok(DeviceRequest::Auto),
            ("cpu", None) => Ok(DeviceRequest::Cpu),
            ("cuda", None) => Ok(DeviceRequest::Cuda(0)),
            ("vulkan", None) => Ok(DeviceRequest::Vulkan(0)),
            ("cuda", Some("all")) => Ok(DeviceRequest::CudaAll),
            ("cuda", Some(list)) => {
                let indices = list.split(',').map(index).collect::<Result<Vec<usize>>>()?;
                let twice = (0..indices.len()).find(|k| indices[..*k].contains(&indices[*k]));
                match (twice, &indices[..]) {
                    (Some(k), _) => Err(refuse(format!("names device {} twice", indices[k]))),
                    (None, [one]) => Ok(DeviceRequest::Cuda(*one)),
                    (None, _) => Ok(DeviceRequest::CudaSeveral(indices)),
                }
            }
            ("vulkan", Some(list)) if list == "all" || list.contains(',') => Err(refuse(
                "asks for several devices, which add up their sums through NCCL: that is for CUDA"
                    .into(),
            )),
            ("vulkan", Some(list)) => Ok(DeviceRequest::Vulkan(index(list)?)),
            _ => Err(refuse("is no device".into())),
        }
    }
}

/// The device that a request leads to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// The device.
    pub device: DeviceInfo,
    /// Why this one, in a sentence.
    pub reason: String,
}

/// Every device found on this machine; see [`Discovery::new`].
pub fn devices() -> Vec<DeviceInfo> {
    Discovery::new().devices
}

impl Default for Discovery {
    fn default() -> Self {
        Self::new()
    }
}

impl Discovery {
    /// Looks for devices. The CPU is always there; CUDA and Vulkan are asked through libraries that
    /// are opened now, and whatever is missing is told in [`Discovery::problems`].
    pub fn new() -> Self {
        let mut found = Discovery { devices: vec![cpu()], problems: Vec::new() };
        found.add("cuda", cuda::discover());
        found.add("vulkan", vulkan::discover());
        found
    }

    fn add(&mut self, backend: &'static str, (devices, problems): (Vec<DeviceInfo>, Vec<String>)) {
        self.devices.extend(devices);
        self.problems.extend(problems.into_iter().map(|reason| Problem { backend, reason }));
    }

    /// The device that `request` leads to. `usable` says why a device cannot do the work at hand;
    /// it decides what `auto` passes over, and what is refused when asked for by name.
    ///
    /// `auto` takes the first usable one of: CUDA devices, Vulkan on a discrete GPU, Vulkan on an
    /// integrated GPU, the CPU. Software drivers and virtual GPUs are taken only by name.
    ///
    /// # Errors
    /// [`Error::Device`] when the device is not there (names what is) or not usable (says why).
    pub fn choose(
        &self,
        request: DeviceRequest,
        usable: impl Fn(&DeviceInfo) -> Result<(), String>,
    ) -> Result<Choice> {
        let name = request.to_string();
        let refuse = |reason: String| Error::Device { device: name.clone(), reason };
        if matches!(request, DeviceRequest::CudaSeveral(_) | DeviceRequest::CudaAll) {
            return Err(refuse("several devices are asked for where one is chosen".into()));
        }
        if request != DeviceRequest::Auto {
            let device = self
                .devices
                .iter()
                .find(|d| d.name == name)
                .ok_or_else(|| refuse(self.absence(&request)))?;
            usable(device).map_err(refuse)?;
            return Ok(Choice { device: device.clone(), reason: "asked for by name".into() });
        }
        let mut candidates: Vec<(u8, &DeviceInfo)> =
            self.devices.iter().filter_map(|d| Some((preference(d)?, d))).collect();
        candidates.sort_by_key(|(rank, _)| *rank);
        let mut passed = Vec::new();
        for (_, device) in candidates {
            match usable(device) {
                Ok(()) => {
                    let mut reason = format!(
                        "the first usable of CUDA, discrete GPU, integrated GPU, CPU: {}",
                        device.name
                    );
                    if !passed.is_empty() {
                        reason = format!("{reason}; passed over: {}", passed.join("; "));
                    }
                    return Ok(Choice { device: device.clone(), reason });
                }
                Err(why) => passed.push(format!("{} ({why})", device.name)),
            }
        }
        Err(refuse(format!("no device can do this: {}", passed.join("; "))))
    }

    /// Why there is no such device: what there is, and what stood in the way of finding more.
    fn absence(&self, request: &DeviceRequest) -> String {
        let present: Vec<String> =
            self.devices.iter().map(|d| format!("{} ({})", d.name, d.description)).collect();
        let mut text = format!("there is no such device; present: {}", present.join(", "));
        let backend = request.to_string();
        for problem in self.problems.iter().filter(|p| backend.starts_with(p.backend)) {
            text = format!("{text}; {problem}");
        }
        text
    }
}

/// The order in which `auto` tries devices; `None` for those it leaves alone.
fn preference(device: &DeviceInfo) -> Option<u8> {
    match device.kind {
        DeviceKind::DiscreteGpu | DeviceKind::IntegratedGpu if device.name.starts_with("cuda") => {
            Some(0)
        }
        DeviceKind::DiscreteGpu => Some(1),
        DeviceKind::IntegratedGpu => Some(2),
        DeviceKind::Cpu => Some(3),
        DeviceKind::VirtualGpu | DeviceKind::Software => None,
    }
}

pub(crate) fn cpu() -> DeviceInfo {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    DeviceInfo {
        name: "cpu".into(),
        kind: DeviceKind::Cpu,
        description: processor().unwrap_or_else(|| std::env::consts::ARCH.to_string()),
        memory_bytes: total_memory(),
        info: BTreeMap::from([("threads", cores.to_string()), ("simd", simd())]),
    }
}

/// The instruction set that the vector loops run with.
fn simd() -> String {
    // `V4(V4 { .. })` on x86, `Neon(..)` on Arm: the variant's name is all that is wanted, and which
    // variants exist differs with the machine the crate is compiled for.
    let arch = format!("{:?}", pulp::Arch::new());
    match arch.split('(').next().unwrap_or_default() {
        "V4" => "AVX-512".into(),
        "V3" => "AVX2".into(),
        "Scalar" if cfg!(target_arch = "x86_64") => "SSE2".into(),
        "Scalar" => "none".into(),
        other => other.to_uppercase(),
    }
}

fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

fn total_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, kind: DeviceKind) -> DeviceInfo {
        DeviceInfo {
            name: name.into(),
            kind,
            description: format!("made-up {name}"),
            memory_bytes: None,
            info: BTreeMap::new(),
        }
    }

    fn discovery() -> Discovery {
        Discovery {
            devices: vec![
                device("cpu", DeviceKind::Cpu),
                device("cuda:0", DeviceKind::DiscreteGpu),
                device("vulkan:0", DeviceKind::DiscreteGpu),
                device("vulkan:1", DeviceKind::IntegratedGpu),
                device("vulkan:2", DeviceKind::Software),
            ],
            problems: vec![Problem { backend: "vulkan", reason: "one driver is too old".into() }],
        }
    }

    #[test]
    fn requests_read_back() {
        let several = ["cuda:0,1", "cuda:3,0,12", "cuda:all"];
        for text in ["auto", "cpu", "cuda:0", "cuda:12", "vulkan:3"].into_iter().chain(several) {
            assert_eq!(text.parse::<DeviceRequest>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceRequest>().unwrap(), DeviceRequest::Cuda(0));
        assert_eq!("vulkan".parse::<DeviceRequest>().unwrap(), DeviceRequest::Vulkan(0));
    }

    #[test]
    fn other_texts_are_refused_with_the_forms() {
        let cases = [
            ("", "'' is no device"),
            ("gpu", "'gpu' is no device"),
            ("CPU", "'CPU' is no device"),
            ("cpu:0", "'cpu:0' is no device"),
            ("auto:1", "'auto:1' is no device"),
            ("cuda:", "'' is no index"),
            ("cuda:-1", "'-1' is no index"),
            ("cuda:+1", "'+1' is no index"),
            ("cuda: 1", "' 1' is no index"),
            ("cuda:99999999999999999999999", "'99999999999999999999999' is no index"),
            ("cuda:0,", "'' is no index"),
            ("cuda:,0", "'' is no index"),
            ("cuda:0,,1", "'' is no index"),
            ("cuda:0,x", "'x' is no index"),
            ("cuda:0, 1", "' 1' is no index"),
            ("cuda:0:1", "'0:1' is no index"),
            ("cuda:0,all", "'all' is no index"),
            ("cuda:All", "'All' is no index"),
            ("cuda:0,0", "names device 0 twice"),
            ("cuda:0,2,1,2", "names device 2 twice"),
            ("cuda:1,01", "names device 1 twice"),
            ("vulkan:a", "'a' is no index"),
            ("vulkan:0,1", "through NCCL: that is for CUDA"),
            ("vulkan:all", "through NCCL: that is for CUDA"),
            ("cpu:all", "'cpu:all' is no device"),
        ];
        for (text, why) in cases {
            let error = text.parse::<DeviceRequest>().unwrap_err();
            assert!(matches!(error, Error::Parameter { .. }), "{text}: {error}");
            for part in [why, "cuda:N,M", "cuda:all", "vulkan:N"] {
                assert!(error.to_string().contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn auto_goes_down_the_list_and_tells_what_it_passed_over() {
        let found = discovery();
        let all = found.choose(DeviceRequest::Auto, |_| Ok(())).unwrap();
        assert_eq!(all.device.name, "cuda:0");

        let refuse = |names: &'static [&'static str]| {
            move |d: &DeviceInfo| {
                if names.contains(&d.name.as_str()) { Err("not today".to_string()) } else { Ok(()) }
            }
        };
        let choice = found.choose(DeviceRequest::Auto, refuse(&["cuda:0", "vulkan:0"])).unwrap();
        assert_eq!(choice.device.name, "vulkan:1");
        assert!(choice.reason.contains("cuda:0 (not today)"), "{}", choice.reason);

        // The software driver is left alone even when it is all that is left beside the CPU.
        let gpus = refuse(&["cuda:0", "vulkan:0", "vulkan:1"]);
        assert_eq!(found.choose(DeviceRequest::Auto, gpus).unwrap().device.name, "cpu");
        let none = found.choose(DeviceRequest::Auto, |_| Err("no".into())).unwrap_err();
        assert!(none.to_string().contains("cpu (no)"), "{none}");
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_that_names_what_is() {
        let found = discovery();
        let software = found.choose(DeviceRequest::Vulkan(2), |_| Ok(())).unwrap();
        assert_eq!(software.device.kind, DeviceKind::Software);

        let error = found.choose(DeviceRequest::Vulkan(3), |_| Ok(())).unwrap_err();
        assert!(matches!(&error, Error::Device { device, .. } if device == "vulkan:3"), "{error}");
        for part in ["cpu", "cuda:0", "made-up vulkan:2", "one driver is too old"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        // The other backend's problem is not what stands in the way of this one.
        let error = found.choose(DeviceRequest::Cuda(1), |_| Ok(())).unwrap_err();
        assert!(!error.to_string().contains("too old"), "{error}");

        for several in [DeviceRequest::CudaAll, DeviceRequest::CudaSeveral(vec![0, 1])] {
            let error = found.choose(several, |_| Ok(())).unwrap_err();
            assert!(error.to_string().contains("where one is chosen"), "{error}");
        }

        let error = found.choose(DeviceRequest::Cpu, |_| Err("no f16".into())).unwrap_err();
        assert!(error.to_string().contains("no f16"), "{error}");
    }

    #[test]
    fn the_cpu_is_always_found_and_tells_its_instruction_set() {
        let found = Discovery::new();
        assert_eq!(found.devices[0].name, "cpu");
        assert!(found.devices[0].info["threads"].parse::<usize>().unwrap() >= 1);
        assert!(!found.devices[0].info["simd"].is_empty());
        #[cfg(target_os = "linux")]
        assert!(found.devices[0].memory_bytes.unwrap() > 1 << 26);
    }
}
