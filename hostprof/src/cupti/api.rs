//! The calls of CUPTI that PM sampling takes, found by name in a library that is loaded while hostprof runs.
//!
//! Each takes one structure by its address, whose first field is how long the caller believes it to be: that is how the
//! library tells versions apart. The structures are of `cupti_profiler_target.h`, `cupti_profiler_host.h` and
//! `cupti_pmsampling.h` of CUDA 13.0.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    mem::{ManuallyDrop, offset_of, size_of},
};

use libloading::Library;

/// A result that is none: `CUPTI_SUCCESS` is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The call.
    pub call: &'static str,
    /// What it returned.
    pub code: u32,
    /// The code's name.
    pub name: String,
}

/// Codes that decide what to do next.
pub mod code {
    /// The caller may not count.
    pub const INSUFFICIENT_PRIVILEGES: u32 = 35;
    /// Another has the counters.
    pub const HARDWARE_BUSY: u32 = 26;
    /// Not with this GPU, or not these metrics in one pass.
    pub const NOT_SUPPORTED: u32 = 27;
}

/// A call's parameters.
pub trait Parameters: Sized {
    /// The call's name.
    const NAME: &'static str;
    /// Where it is.
    fn function(api: &Api) -> unsafe extern "C" fn(*mut Self) -> u32;
}

macro_rules! calls {
    ($($(#[$doc:meta])* $member:ident, $name:literal: $kind:ident { $($field:ident: $type:ty),+ $(,)? })+) => {
        $(
            $(#[$doc])*
            #[allow(clippy::struct_field_names, reason = "the names are CUPTI's")]
            #[repr(C)]
            pub struct $kind { size: usize, private: *mut c_void, $(pub $field: $type),+ }

            impl $kind {
                /// Up to the last field, without what the compiler pads with.
                const SIZE: usize = {
                    let mut end = 0;
                    $(
                        let field = offset_of!(Self, $field) + size_of::<$type>();
                        if field > end { end = field; }
                    )+
                    end
                };
                /// With these values.
                pub const fn of($($field: $type),+) -> Self {
                    Self { size: Self::SIZE, private: std::ptr::null_mut(), $($field),+ }
                }
            }

            impl Parameters for $kind {
                const NAME: &'static str = $name;
                fn function(api: &Api) -> unsafe extern "C" fn(*mut Self) -> u32 { api.$member }
            }
        )+

        /// The library's calls.
        pub struct Api {
            result_string: unsafe extern "C" fn(u32, *mut *const c_char) -> u32,
            version: unsafe extern "C" fn(*mut u32) -> u32,
            $($member: unsafe extern "C" fn(*mut $kind) -> u32,)+
            /// The calls are in it. It is never unloaded: what it hooked into the driver stays there.
            _library: ManuallyDrop<Library>,
        }

        impl Api {
            /// Finds all calls.
            ///
            /// # Errors
            ///
            /// One is not there: the library is older than PM sampling (CUDA 12.6).
            ///
            /// # Safety
            ///
            /// The library is CUPTI.
            pub unsafe fn new(library: Library) -> Result<Self, libloading::Error> {
                // SAFETY: by their names they have these types.
                unsafe {
                    Ok(Self {
                        result_string: *library.get(b"cuptiGetResultString\0")?,
                        version: *library.get(b"cuptiGetVersion\0")?,
                        $($member: *library.get(concat!($name, "\0").as_bytes())?,)+
                        _library: ManuallyDrop::new(library),
                    })
                }
            }
        }
    };
}

/// A GPU's sampling.
pub type Sampling = *mut c_void;
/// What turns counters into metrics.
pub type Host = *mut c_void;

calls! {
    /// Starts the library's part that counts. It wants the driver started, and no context.
    initialize, "cuptiProfilerInitialize": Initialize { nothing: [u8; 0] }
    /// The model of a GPU, as metrics are named for.
    chip_name, "cuptiDeviceGetChipName": ChipName { device: usize, chip: *const c_char }
    /// Which counters are free.
    availability, "cuptiPmSamplingGetCounterAvailability": Availability {
        device: usize, image_bytes: usize, image: *mut u8,
    }
    /// Begins to make a configuration.
    host_initialize, "cuptiProfilerHostInitialize": HostInitialize {
        profiler: c_int, chip: *const c_char, availability: *const u8, host: Host,
    }
    /// Ends that.
    host_deinitialize, "cuptiProfilerHostDeinitialize": HostDeinitialize { host: Host }
    /// Adds metrics to it.
    add_metrics, "cuptiProfilerHostConfigAddMetrics": AddMetrics {
        host: Host, names: *const *const c_char, count: usize,
    }
    /// How long it is.
    config_bytes, "cuptiProfilerHostGetConfigImageSize": ConfigBytes { host: Host, bytes: usize }
    /// The configuration.
    config, "cuptiProfilerHostGetConfigImage": Config { host: Host, bytes: usize, image: *mut u8 }
    /// In how many passes its metrics can be counted. A sample is one pass.
    passes, "cuptiProfilerHostGetNumOfPasses": Passes { bytes: usize, image: *const u8, passes: usize }
    /// Takes a GPU's counters.
    enable, "cuptiPmSamplingEnable": Enable { device: usize, sampling: Sampling }
    /// Says what is sampled and how often.
    set_config, "cuptiPmSamplingSetConfig": SetConfig {
        sampling: Sampling, bytes: usize, image: *const u8, buffer_bytes: usize, interval: u64, trigger: c_int,
        append: c_int,
    }
    /// How long an image of decoded samples is.
    data_bytes, "cuptiPmSamplingGetCounterDataSize": DataBytes {
        sampling: Sampling, names: *const *const c_char, count: usize, samples: u32, bytes: usize,
    }
    /// Empties one.
    data_initialize, "cuptiPmSamplingCounterDataImageInitialize": DataInitialize {
        sampling: Sampling, bytes: usize, image: *mut u8,
    }
    /// Begins to sample.
    start, "cuptiPmSamplingStart": Start { sampling: Sampling }
    /// Moves what was sampled into an image.
    decode, "cuptiPmSamplingDecodeData": Decode {
        sampling: Sampling, image: *mut u8, bytes: usize, stopped_by: c_int, overflow: u8,
    }
    /// How many samples an image holds.
    data_info, "cuptiPmSamplingGetCounterDataInfo": DataInfo {
        image: *const u8, bytes: usize, total: usize, populated: usize, completed: usize,
    }
    /// When one was taken: nanoseconds of the wall clock.
    sample_info, "cuptiPmSamplingCounterDataGetSampleInfo": SampleInfo {
        sampling: Sampling, image: *const u8, bytes: usize, index: usize, start_ns: u64, end_ns: u64,
    }
    /// What it tells.
    evaluate, "cuptiProfilerHostEvaluateToGpuValues": Evaluate {
        host: Host, image: *const u8, bytes: usize, index: usize, names: *const *const c_char, count: usize,
        values: *mut f64,
    }
    /// Ends sampling.
    stop, "cuptiPmSamplingStop": Stop { sampling: Sampling }
    /// Gives the counters back.
    disable, "cuptiPmSamplingDisable": Disable { sampling: Sampling }
}

impl Api {
    /// Calls.
    ///
    /// # Errors
    ///
    /// The library refuses.
    ///
    /// # Safety
    ///
    /// What the parameters point to is there, and as long as they say.
    pub unsafe fn call<P: Parameters>(&self, parameters: &mut P) -> Result<(), Refused> {
        // SAFETY: the caller's promise.
        match unsafe { P::function(self)(parameters) } {
            0 => Ok(()),
            code => Err(Refused { call: P::NAME, code, name: self.name(code) }),
        }
    }

    /// `13.0.1` for 130001.
    pub fn version(&self) -> String {
        let mut version = 0;
        // SAFETY: it writes a number.
        unsafe { (self.version)(&raw mut version) };
        format!("{}.{}.{}", version / 10_000, version / 100 % 100, version % 100)
    }

    fn name(&self, code: u32) -> String {
        let mut text = std::ptr::null();
        // SAFETY: it writes the address of a text that lasts.
        unsafe {
            (self.result_string)(code, &raw mut text);
            if text.is_null() {
                return format!("code {code}");
            }
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_the_librarys_headers_have_them() {
        // As scenarios/gpu/pm_sizes.c prints them with the headers of CUDA 13.0.
        assert_eq!(Initialize::SIZE, 16);
        assert_eq!(ChipName::SIZE, 32);
        assert_eq!(Availability::SIZE, 40);
        assert_eq!(SetConfig::SIZE, 64);
        assert_eq!(Decode::SIZE, 45);
        assert_eq!(SampleInfo::SIZE, 64);
        assert_eq!(Evaluate::SIZE, 72);
    }
}
