//! provisional
use crate::error::{Error, Result};
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum DeviceKind { Cpu }
impl std::fmt::Display for DeviceKind { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("cpu") } }
#[derive(Clone, Debug, serde::Serialize)]
pub struct DeviceInfo { pub name: String, pub kind: DeviceKind, pub description: String, pub memory_bytes: Option<u64> }
pub struct Found { pub devices: Vec<DeviceInfo>, pub problems: Vec<String> }
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRequest { Auto, Cpu, Cuda(usize), Vulkan(usize) }
impl std::str::FromStr for DeviceRequest { type Err = Error; fn from_str(s: &str) -> Result<Self> { match s { "auto" => Ok(Self::Auto), "cpu" => Ok(Self::Cpu), "cuda:99" => Ok(Self::Cuda(99)), _ => Err(Error::parameter("device", "auto, cpu, cuda:N or vulkan:N")) } } }
impl std::fmt::Display for DeviceRequest { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { match self { Self::Auto => f.write_str("auto"), Self::Cpu => f.write_str("cpu"), Self::Cuda(i) => write!(f, "cuda:{i}"), Self::Vulkan(i) => write!(f, "vulkan:{i}") } } }
pub fn cpu() -> DeviceInfo { DeviceInfo { name: "cpu".into(), kind: DeviceKind::Cpu, description: String::new(), memory_bytes: Some(1) } }
pub fn devices() -> Found { Found { devices: vec![cpu()], problems: vec![] } }
