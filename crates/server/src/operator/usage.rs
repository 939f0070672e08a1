//! What the agents' processes use at one moment: as their driver counts it, or else as `/proc` tells it.

use std::cell::LazyCell;
use std::collections::HashSet;
use std::fs;

use innkeep_sandbox::SessionInfo;
use rustix::param::{clock_ticks_per_second, page_size};

/// All processes of this host that we can see.
#[derive(Debug)]
struct Processes(Vec<Process>);

/// What an agent and the processes that it started use together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    /// Resident. From `/proc`, what they share counts more than once.
    pub(super) memory_bytes: u64,
    /// With what they waited for.
    pub(super) cpu_ms: u64,
}

/// Returns what each session's agent uses, in order; none where nobody can tell. Blocks: some files per session.
pub(super) fn of_all(sessions: &[SessionInfo]) -> Vec<Option<Usage>> {
    let processes = LazyCell::new(Processes::look);
    let counted = |session: &SessionInfo| {
        let usage = session.usage()?;
        Some(Usage { memory_bytes: usage.memory_bytes?, cpu_ms: usage.cpu_ms? })
    };
    sessions.iter().map(|session| counted(session).or_else(|| processes.usage_of(session.agent_pid?))).collect()
}

#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    resident_pages: u64,
    cpu_ticks: u64,
}

impl Processes {
    /// Reads `/proc`; blocks for a few microseconds per process.
    fn look() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        // One that ends meanwhile is not there any more.
        Self(entries.filter_map(|entry| parse(&fs::read_to_string(entry.path().join("stat")).ok()?)).collect())
    }

    /// Returns what the agent uses with its descendants and its process group, which holds children whose parent is gone. None
    /// if it is not there.
    fn usage_of(&self, agent: i32) -> Option<Usage> {
        let mut members = HashSet::from([agent]);
        loop {
            let known = members.len();
            let found = self.0.iter().filter(|p| p.group == agent || members.contains(&p.parent)).map(|p| p.pid);
            members.extend(found.collect::<Vec<_>>());
            if members.len() == known {
                break;
            }
        }
        self.0.iter().find(|p| p.pid == agent)?;
        let members = || self.0.iter().filter(|p| members.contains(&p.pid));
        let (pages, ticks) =
            (members().map(|p| p.resident_pages).sum::<u64>(), members().map(|p| p.cpu_ticks).sum::<u64>());
        Some(Usage {
            memory_bytes: pages * u64::try_from(page_size()).unwrap_or(4096),
            cpu_ms: ticks * 1000 / clock_ticks_per_second().max(1),
        })
    }
}

/// Reads one line of `/proc/PID/stat`. Source: `proc_pid_stat(5)`.
fn parse(stat: &str) -> Option<Process> {
    // The command's name, field 2, may hold anything; field 3 follows the last bracket.
    let (head, tail) = (stat.split_once(' ')?.0, stat.rsplit_once(')')?.1);
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        pid: head.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        resident_pages: number(24)?,
        cpu_ticks: number(14)? + number(15)? + number(16)? + number(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, group: i32) -> Process {
        Process { pid, parent, group, resident_pages: 1, cpu_ticks: 100 }
    }

    #[test]
    fn an_agent_is_counted_with_what_it_started_and_nobody_else() {
        // 12 is listed before its parent, 14 lost its own, 20 is the sidecar, 30 and its group are another agent's.
        let all = [(12, 11, 12), (10, 20, 10), (11, 10, 10), (14, 20, 10), (20, 1, 20), (30, 20, 30), (31, 30, 30)];
        let processes = Processes(all.into_iter().map(|(pid, parent, group)| process(pid, parent, group)).collect());
        let of = |n: u64| Usage {
            memory_bytes: n * u64::try_from(page_size()).unwrap(),
            cpu_ms: n * 100_000 / clock_ticks_per_second(),
        };
        assert_eq!(processes.usage_of(10), Some(of(4)));
        assert_eq!(processes.usage_of(30), Some(of(2)));
        assert_eq!(processes.usage_of(99), None);
    }

    #[test]
    fn this_process_is_found_whatever_its_name() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(Processes::look().usage_of(me).unwrap().memory_bytes > 100_000);
        let odd = parse("7 (a) b (c)) S 3 7 7 0 -1 4194560 1 0 0 0 50 25 20 5 20 0 1 0 99 4096 12 1").unwrap();
        assert_eq!((odd.pid, odd.parent, odd.group, odd.cpu_ticks, odd.resident_pages), (7, 3, 7, 100, 12));
    }
}
