//! How much the machine can carry.

/// Agents for each core: they wait for their model most of the time.
const AGENTS_FOR_A_CORE: usize = 4;

/// Memory that one agent needs, from measurements of Claude Code at work (300 to 450 MiB).
const MEMORY_OF_AN_AGENT: u64 = 512 << 20;

/// How many agents may work at a time if nobody said.
pub(super) fn default_max_running(cores: usize, available_memory: Option<u64>) -> usize {
    let by_cores = cores.saturating_mul(AGENTS_FOR_A_CORE);
    let by_memory = available_memory.map_or(usize::MAX, |bytes| {
        usize::try_from(bytes / MEMORY_OF_AN_AGENT).unwrap_or(usize::MAX)
    });
    by_cores.min(by_memory).max(1)
}

/// How many runs may have checks run at a time if nobody said: builds and tests use more than one core each.
pub(super) fn default_max_checks(cores: usize) -> usize {
    (cores / 2).max(2)
}

/// Bytes that could be used now: what the kernel says, or less if a control group allows less.
pub(super) fn available_memory() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| mem_available(&text));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    match (machine, group) {
        (Some(machine), Some(group)) => Some(std::cmp::min::<u64>(machine, group)),
        (known, other) => known.or(other),
    }
}

/// The line `MemAvailable: N kB` of proc_meminfo(5), in bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_of_cores_and_memory_decides_and_one_is_the_least() {
        let gib = 1 << 30;
        assert_eq!(default_max_running(2, Some(64 * gib)), 8);
        assert_eq!(default_max_running(16, Some(4 * gib)), 8);
        assert_eq!(default_max_running(4, None), 16);
        assert_eq!(default_max_running(1, Some(1)), 1);
        assert_eq!(default_max_running(0, None), 1);
    }

    #[test]
    fn the_available_memory_is_read_from_meminfo() {
        let text = "MemTotal:       24576000 kB\nMemFree: 5 kB\nMemAvailable:       1024 kB\n";
        assert_eq!(mem_available(text), Some(1 << 20));
        assert_eq!(mem_available("MemTotal: 1 kB\n"), None);
    }
}
