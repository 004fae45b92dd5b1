//! Sums over several GPUs through NCCL, whose library is opened at run time.
//!
//! Only the arithmetic around it (`backend/gpu/group.rs`) and the order of the calls (against a library made for tests, `tests/libnccl.c`)
//! are tested in CI: NCCL itself needs several GPUs. So there is as little of it as can be: one communicator a device, all in this process,
//! and one grouped all-reduce after which the host waits. NCCL gives every device the same bits, which `group.rs` relies on and checks.
//!
//! The functions are declared here, as `nccl.h` of NCCL 2 has them: `cudarc` looks for `libnccl.so` only, which the packages with the
//! library alone (libnccl2, nvidia-nccl-cu13) do not bring.

use super::super::gpu::Communicator;
use super::driver::{CudaDriver, Memory};
use crate::{Error, Result};
use libloading::Library;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Arc, Mutex, OnceLock};

/// `ncclSuccess`.
const SUCCESS: c_int = 0;
/// `ncclInProgress`, which only says that an error may still come.
const IN_PROGRESS: c_int = 7;
/// `ncclFloat32`.
const FLOAT32: c_int = 7;
/// `ncclSum`.
const SUM: c_int = 0;

/// `ncclComm_t`.
type Comm = *mut c_void;

/// The functions of the library.
struct Nccl {
    init_all: unsafe extern "C" fn(*mut Comm, c_int, *const c_int) -> c_int,
    destroy: unsafe extern "C" fn(Comm) -> c_int,
    abort: unsafe extern "C" fn(Comm) -> c_int,
    later_error: unsafe extern "C" fn(Comm, *mut c_int) -> c_int,
    group_start: unsafe extern "C" fn() -> c_int,
    group_end: unsafe extern "C" fn() -> c_int,
    all_reduce: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        c_int,
        c_int,
        Comm,
        *mut c_void,
    ) -> c_int,
    error_string: unsafe extern "C" fn(c_int) -> *const c_char,
    /// The functions are its.
    _library: Library,
}

impl Nccl {
    /// The library, opened on first use.
    fn get() -> Result<&'static Nccl, String> {
        static NCCL: OnceLock<Result<Nccl, String>> = OnceLock::new();
        NCCL.get_or_init(Nccl::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Nccl, String> {
        let names = ["libnccl.so.2", "libnccl.so"];
        // SAFETY: opens NCCL, whose initialisers are the vendor's.
        let library = names.iter().find_map(|name| unsafe { Library::new(*name) }.ok());
        let library = library.ok_or(
            "several GPUs add up their sums through NCCL, whose library (libnccl.so.2) is not found: install the system's package \
             libnccl2, or nvidia-nccl-cu13 from PyPI and put its folder nvidia/nccl/lib into LD_LIBRARY_PATH; one GPU (cuda:0) needs \
             no NCCL",
        )?;
        // SAFETY: the functions have these types in nccl.h of NCCL 2.
        unsafe {
            Ok(Nccl {
                init_all: function(&library, "ncclCommInitAll")?,
                destroy: function(&library, "ncclCommDestroy")?,
                abort: function(&library, "ncclCommAbort")?,
                later_error: function(&library, "ncclCommGetAsyncError")?,
                group_start: function(&library, "ncclGroupStart")?,
                group_end: function(&library, "ncclGroupEnd")?,
                all_reduce: function(&library, "ncclAllReduce")?,
                error_string: function(&library, "ncclGetErrorString")?,
                _library: library,
            })
        }
    }

    fn check(&self, what: &str, result: c_int) -> Result<(), String> {
        if result == SUCCESS {
            return Ok(());
        }
        // SAFETY: takes any number and returns a text that lives for ever, or null.
        let text = unsafe { (self.error_string)(result) };
        let text = match text.is_null() {
            true => "unknown error".into(),
            // SAFETY: not null, and ends with a zero.
            false => unsafe { CStr::from_ptr(text) }.to_string_lossy(),
        };
        Err(format!("NCCL: {what}: {text} ({result}); NCCL_DEBUG=INFO says more"))
    }
}

/// A function of the library.
///
/// # Safety
/// `F` is its type.
unsafe fn function<F: Copy>(library: &Library, name: &str) -> Result<F, String> {
    // SAFETY: as the caller promises.
    let found = unsafe { library.get::<F>(name.as_bytes()) };
    found.map(|f| *f).map_err(|_| format!("NCCL is too old: it lacks the function {name}"))
}

/// The communicators of some devices, one each, in their order.
pub(super) struct AllReduce {
    name: String,
    nccl: &'static Nccl,
    drivers: Vec<Arc<CudaDriver>>,
    /// Held during a sum: on all devices the sums must come in the same order. Empty after one that failed.
    comms: Mutex<Vec<Comm>>,
}

// SAFETY: communicators may be used by any thread, by one at a time: they are behind a mutex.
unsafe impl Send for AllReduce {}
// SAFETY: as above.
unsafe impl Sync for AllReduce {}

impl AllReduce {
    /// `name`: as the devices are asked for together; `indices`: theirs.
    ///
    /// # Errors
    /// NCCL is not installed, or cannot connect the devices.
    pub fn new(name: &str, indices: &[usize], drivers: Vec<Arc<CudaDriver>>) -> Result<Self> {
        let fail = |reason| Error::Device { device: name.into(), reason };
        let nccl = Nccl::get().map_err(fail)?;
        let devices: Vec<c_int> = indices.iter().map(|i| *i as c_int).collect();
        let mut comms = vec![std::ptr::null_mut(); devices.len()];
        // SAFETY: both lists are as long as is said.
        let made = unsafe {
            (nccl.init_all)(comms.as_mut_ptr(), devices.len() as c_int, devices.as_ptr())
        };
        nccl.check("ncclCommInitAll", made).map_err(fail)?;
        Ok(AllReduce { name: name.into(), nccl, drivers, comms: Mutex::new(comms) })
    }

    /// Puts the sums on the devices' streams.
    fn begin(&self, comms: &[Comm], lists: &[Vec<Arc<Memory>>]) -> Result<(), String> {
        let turns: Vec<_> = self.drivers.iter().map(|driver| driver.turn()).collect();
        // SAFETY: the group ends below, whatever happens.
        self.nccl.check("ncclGroupStart", unsafe { (self.nccl.group_start)() })?;
        let mut all = self.drivers.iter().zip(comms).zip(lists);
        let put = all.try_for_each(|((driver, comm), list)| {
            let stream = driver.stream_of_launches()?.cast();
            list.iter().try_for_each(|memory| {
                let at = memory.address() as *mut c_void;
                // SAFETY: the sum is formed where the words are, which `add_up` keeps alive until its end; the communicator and the
                // stream are live, and of the device that has the memory.
                let result = unsafe {
                    (self.nccl.all_reduce)(at, at, memory.words(), FLOAT32, SUM, *comm, stream)
                };
                self.nccl.check("ncclAllReduce", result)
            })
        });
        // SAFETY: ends the group that this thread began.
        let ended = unsafe { (self.nccl.group_end)() };
        drop(turns);
        put.and(self.nccl.check("ncclGroupEnd", ended))
    }

    /// Waits for the sums. A device that fails leaves the others waiting for it for ever, so all are looked at in turn.
    fn end(&self, comms: &[Comm]) -> Result<()> {
        loop {
            let mut running = false;
            for (driver, comm) in self.drivers.iter().zip(comms) {
                running |= driver.is_running()?;
                let mut error = SUCCESS;
                // SAFETY: a live communicator, and a number that lives during the call.
                let asked = unsafe { (self.nccl.later_error)(*comm, &mut error) };
                let fail = |reason| Error::Device { device: driver.device().into(), reason };
                self.nccl.check("ncclCommGetAsyncError", asked).map_err(fail)?;
                if error != IN_PROGRESS {
                    self.nccl.check("the sum over the devices", error).map_err(fail)?;
                }
            }
            if !running {
                return Ok(());
            }
            std::thread::yield_now();
        }
    }
}

impl Communicator<Arc<Memory>> for AllReduce {
    fn add_up(&self, lists: &[Vec<Arc<Memory>>]) -> Result<()> {
        let fail = |reason| Error::Device { device: self.name.clone(), reason };
        let mut comms = self.comms.lock().unwrap_or_else(|e| e.into_inner());
        if comms.is_empty() {
            return Err(fail("a sum over the devices has failed before".into()));
        }
        let done = self.begin(&comms, lists).map_err(fail).and_then(|()| self.end(&comms));
        if done.is_err() {
            // What waits on the other devices is ended, and the memory may go.
            for comm in comms.drain(..) {
                // SAFETY: a live communicator, used no more.
                unsafe { (self.nccl.abort)(comm) };
            }
        }
        done
    }
}

impl Drop for AllReduce {
    fn drop(&mut self) {
        let comms = self.comms.get_mut().unwrap_or_else(|e| e.into_inner());
        for comm in comms.drain(..) {
            // SAFETY: a live communicator, used no more.
            unsafe { (self.nccl.destroy)(comm) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where NCCL is missing the error says how to come by it; where it is there its functions are found.
    #[test]
    fn nccl_is_there_or_the_error_says_how_to_install_it() {
        match Nccl::get() {
            Ok(nccl) => {
                let error = nccl.check("nothing", 4).unwrap_err();
                assert!(error.contains("NCCL: nothing: ") && error.contains("(4)"), "{error}");
                nccl.check("nothing", SUCCESS).unwrap();
            }
            Err(why) => {
                for part in ["libnccl.so.2", "libnccl2", "nvidia-nccl-cu13", "LD_LIBRARY_PATH"] {
                    assert!(why.contains(part), "{why}");
                }
            }
        }
    }
}
