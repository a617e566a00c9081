//! The standard process metrics of Prometheus client libraries, read from `/proc/self` at each scrape (Linux).
//!
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::process::{Resource, getrlimit};
use std::fs::{read_dir, read_to_string};

/// Registers the metrics of this process in a registry without a prefix.
#[derive(Debug)]
pub struct Process(());

impl Process {
    /// Adds the metrics to `registry`. Without `/proc` they are not exposed.
    pub fn register(registry: &mut Registry) {
        registry.register_collector(Box::new(Self(())));
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let stat = read_to_string("/proc/self/stat");
        if let Some(usage) = stat.ok().and_then(|line| Usage::parse(&line)) {
            usage.encode(&mut encoder)?;
        }
        // The directory itself is open while it is read.
        if let Ok(open) = read_dir("/proc/self/fd") {
            let open = integer(open.count().saturating_sub(1) as u64);
            gauge(
                &mut encoder,
                "process_open_fds",
                "Open file descriptors.",
                &open,
            )?;
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let limit = integer(limit);
            gauge(
                &mut encoder,
                "process_max_fds",
                "File descriptors that may be open.",
                &limit,
            )?;
        }
        Ok(())
    }
}

/// The content of `/proc/self/stat`, in the kernel's units.
#[derive(Debug, PartialEq, Eq)]
struct Usage {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Usage {
    /// Reads a line (proc(5)). The name of the program is in parentheses and may contain any character.
    fn parse(line: &str) -> Option<Self> {
        let (_, after_name) = line.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // Field 3 of the manual, the state, is the first one here.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    fn encode(&self, encoder: &mut DescriptorEncoder) -> std::fmt::Result {
        let resident = self.resident_pages * rustix::param::page_size() as u64;
        gauge(
            encoder,
            "process_resident_memory_bytes",
            "Resident memory in bytes.",
            &integer(resident),
        )?;
        gauge(
            encoder,
            "process_virtual_memory_bytes",
            "Virtual memory in bytes.",
            &integer(self.virtual_bytes),
        )?;
        gauge(
            encoder,
            "process_threads",
            "Threads of the process.",
            &integer(self.threads),
        )?;
        ConstCounter::new(seconds(self.cpu_ticks)).encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system CPU time in seconds.",
            None,
            MetricType::Counter,
        )?)?;
        let Some(boot) = boot_time() else {
            return Ok(());
        };
        gauge(
            encoder,
            "process_start_time_seconds",
            "Start of the process, in seconds since 1970 (Unix time).",
            &ConstGauge::new(boot + seconds(self.start_ticks)),
        )
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    value: &impl EncodeMetric,
) -> std::fmt::Result {
    value.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn integer(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "ticks of 10 ms since the boot")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> Option<f64> {
    let stat = read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Process, Usage, boot_time};
    use prometheus_client::{encoding::text::encode, registry::Registry};
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn a_program_may_have_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 14 15 16 17 18 19 20 0 22 23 24 25";
        let expected = Usage {
            cpu_ticks: 29,
            threads: 20,
            start_ticks: 22,
            virtual_bytes: 23,
            resident_pages: 24,
        };
        for name in ["reckon-api", "a b", ") 9 9 (", "a)b"] {
            let usage = Usage::parse(&format!("7 ({name}) {rest}"));
            assert_eq!(usage.as_ref(), Some(&expected), "{name}");
        }
        assert_eq!(Usage::parse("7 (reckon) S 1 2"), None);
        assert_eq!(Usage::parse(""), None);
    }

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        let mut registry = Registry::default();
        Process::register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name));
            let (_, value) = line.expect(name).rsplit_once(' ').unwrap();
            value.parse().unwrap()
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let start = value("process_start_time_seconds ");
        assert!(start <= now.as_secs_f64() + 1.0 && start >= boot_time().unwrap());
        let resident = value("process_resident_memory_bytes ");
        assert!(resident > 1e5 && resident <= value("process_virtual_memory_bytes "));
        assert!(value("process_threads ") >= 1.0);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        let open = value("process_open_fds ");
        assert!(open >= 3.0 && open <= value("process_max_fds "));
    }
}
