//! The process's memory, looked up whenever somebody asks.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::gauge::ConstGauge;
use tikv_jemalloc_ctl::{epoch, stats};

/// What the kernel has given, and what the allocator says is in use; one that cannot be told is left out.
#[derive(Debug)]
pub struct Memory;

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let resident = fs::read_to_string("/proc/self/status").ok().and_then(|status| resident(&status));
        let allocated = epoch::advance().and_then(|_| stats::allocated::read()).ok();
        for (name, help, bytes) in [
            ("process_resident_memory_bytes", "Memory that the kernel has given.", resident),
            ("weft_memory_allocated_bytes", "Memory in use, by the allocator's account.", allocated),
        ] {
            let Some(bytes) = bytes else { continue };
            let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Bytes, of what proc(5) calls `VmRSS`.
fn resident(status: &str) -> Option<usize> {
    let (_, rest) = status.split_once("VmRSS:")?;
    let kilobytes: usize = rest.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes it; without that line nothing is known.
    #[test]
    fn resident_memory_is_read_in_kilobytes() {
        assert_eq!(resident("VmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nRssAnon: 1 kB\n"), Some(8 << 20));
        assert_eq!(resident("Name:\tweft-proxy\n"), None);
    }
}
