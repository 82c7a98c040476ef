//! What a process has of memory.

/// A line of `/proc/self/status`, in MiB: `VmRSS:` is what this process has, `VmHWM:` what it had at most since that was last
/// reset.
pub fn memory_mib(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
}
