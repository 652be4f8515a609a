//! `/proc/stat`: where the processors' time has gone since the machine booted (proc_stat(5)).

use nix::unistd::{SysconfVar, sysconf};

/// The whole machine's counters; times in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// `user` and `nice`; guests of this machine are in them.
    pub(super) user: u64,
    pub(super) system: u64,
    pub(super) softirq: u64,
    pub(super) irq: u64,
    pub(super) steal: u64,
    /// `ctxt`.
    pub(super) context_switches: u64,
}

impl Counters {
    /// `None` if the system does not tell.
    pub(super) fn read() -> Option<Self> {
        parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }
}

/// Nanoseconds in a tick of `/proc`: `USER_HZ`, which has nothing to do with the kernel's own.
pub(super) fn tick_ns() -> Option<u64> {
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    1_000_000_000_u64.checked_div(per_second)
}

/// `None` unless both lines are there and whole.
fn parse(text: &str) -> Option<Counters> {
    let after = |name: &str| {
        text.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some(name)).then_some(words)
        })
    };
    let times: Option<Vec<u64>> = after("cpu")?.map(|word| word.parse().ok()).collect();
    let &[user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = times?.as_slice() else {
        return None;
    };
    let context_switches = after("ctxt")?.next()?.parse().ok()?;
    Some(Counters { user: user.saturating_add(nice), system, softirq, irq, steal, context_switches })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_machines_line_is_read_and_no_cores() {
        let text = "cpu  10 2 30 4 5 6 7 8 9 10\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5 0 1\nctxt 4711\nbtime 1\n";
        let counters =
            Counters { user: 12, system: 30, softirq: 7, irq: 6, steal: 8, context_switches: 4711 };
        assert_eq!(parse(text), Some(counters));
        assert_eq!(parse("cpu  10 2 30 4 5 6 7\nctxt 1\n"), None, "before Linux 2.6.11");
        assert_eq!(parse("cpu  10 2 30 x 5 6 7 8\nctxt 1\n"), None);
        assert_eq!(parse("cpu0 1 1 1 1 1 1 1 1 1 1\nctxt 1\n"), None);
        assert_eq!(parse("cpu  1 1 1 1 1 1 1 1 1 1\n"), None);
    }

    #[test]
    fn this_machine_is_read() {
        let (before, tick) = (Counters::read().unwrap(), tick_ns().unwrap());
        assert!(before.context_switches > 0 && before.system > 0, "{before:?}");
        assert!((1_000_000..=10_000_000).contains(&tick), "{tick}");
    }

    proptest! {
        #[test]
        fn anything_is_read(text in "\\PC{0,200}", words in prop::collection::vec("[0-9a-z-]{0,25}", 0..12)) {
            let _ = parse(&text);
            let _ = parse(&format!("cpu {}\nctxt {}\n", words.join(" "), words.first().map_or("", |word| word)));
        }

        #[test]
        fn any_figures_are_read(times: [u64; 10], switches: u64) {
            let line = times.map(|time| time.to_string()).join(" ");
            let counters = parse(&format!("cpu  {line}\nctxt {switches}\n")).unwrap();
            prop_assert_eq!(counters.user, times[0].saturating_add(times[1]));
            prop_assert_eq!((counters.steal, counters.context_switches), (times[7], switches));
        }
    }
}
