//! What the process itself takes, under the names that every exporter uses.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rustix::time::{ClockId, clock_gettime};

/// The figures of this moment, of a process that started at `start`, in seconds since the epoch.
pub(super) fn registry(start: i64) -> Registry {
    let mut all = Registry::default();
    let started = Gauge::<i64>::default();
    started.set(start);
    all.register_with_unit("process_start_time", "When the process started", Unit::Seconds, started);
    let processor = Counter::<f64, AtomicU64>::default();
    processor.inc_by(processor_seconds());
    all.register_with_unit("process_cpu", "Processor time that the process took", Unit::Seconds, processor);
    if let Some(bytes) = resident_bytes() {
        let memory = Gauge::<i64>::default();
        memory.set(bytes);
        all.register_with_unit("process_resident_memory", "Memory that the process has", Unit::Bytes, memory);
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "seconds, to the microsecond for centuries")]
fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// None where there is no `/proc`.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
