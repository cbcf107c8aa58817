//! What this process has used of the machine.

use crate::job::Usage;

pub fn of_this_process() -> Usage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to memory of the right size, which the call fills in.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0, "usage is always readable");
        usage.assume_init()
    };
    let micros = |time: libc::timeval| time.tv_sec as f64 * 1e6 + time.tv_usec as f64;
    Usage {
        cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime),
        peak_mb: usage.ru_maxrss as f64 / 1_024.0,
    }
}
