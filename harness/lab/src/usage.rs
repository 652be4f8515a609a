//! What something costs the machine besides its own time: processor time by class, context switches, kernel memory.
//!
//! Everything here is read from `/proc`, before and after, of the whole machine: whatever else runs meanwhile is in it. A
//! cgroup would leave others out, but kube-proxy's work is done by programs, by softirq on whichever core, and by the
//! kernel's own threads, of which only the first belong to any cgroup; and svcbench makes none, so that nothing of it can be
//! left behind. `cpu.stat` of the cgroup that it was started in holds the same and that of its siblings, and is not read.

mod memory;
mod peak;
mod stat;
mod tables;

use std::time::Instant;

use workloads::clock::nanoseconds;

pub use self::memory::KernelMemory;
pub use self::peak::Peak;
use self::stat::Counters;
pub use self::tables::Tables;

/// Ticks of a class below which nothing is said about it.
///
/// Most kernels look once per tick what a core is doing and give it the whole tick (`account_process_tick`,
/// kernel/sched/cputime.c), so a class is a sample: of 20 ticks, the standard error is about 22%.
pub const LEAST_TICKS: u64 = 20;

/// What the whole machine did between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time that passed, nanoseconds.
    pub wall_ns: u64,
    /// Processor time in programs, niced ones included; nanoseconds over all cores, as are the next four.
    pub user_ns: u64,
    /// In the kernel on behalf of programs, and in its own threads.
    pub system_ns: u64,
    /// In softirq: packets, timers, RCU.
    pub softirq_ns: u64,
    /// In interrupt handlers; always 0 where the kernel does not account for them (`CONFIG_IRQ_TIME_ACCOUNTING`).
    pub irq_ns: u64,
    /// Taken by the hypervisor while a core had work.
    pub steal_ns: u64,
    /// Context switches, over all cores.
    pub context_switches: u64,
    /// What the processor times are multiples of: 10 ms on all common machines.
    pub tick_ns: u64,
}

/// One's share of a [`Cost`]. A class of which fewer than [`LEAST_TICKS`] were seen is absent: it is neither zero nor known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// As [`Cost::wall_ns`].
    pub wall_ns: u64,
    /// As [`Cost::user_ns`].
    pub user_ns: Option<u64>,
    /// As [`Cost::system_ns`].
    pub system_ns: Option<u64>,
    /// As [`Cost::softirq_ns`].
    pub softirq_ns: Option<u64>,
    /// As [`Cost::irq_ns`].
    pub irq_ns: Option<u64>,
    /// As [`Cost::context_switches`].
    pub context_switches: u64,
}

impl Cost {
    fn between(wall_ns: u64, before: &Counters, after: &Counters, tick_ns: u64) -> Self {
        let of = |part: fn(&Counters) -> u64| part(after).saturating_sub(part(before));
        let time = |part| of(part).saturating_mul(tick_ns);
        Self {
            wall_ns,
            user_ns: time(|counters| counters.user),
            system_ns: time(|counters| counters.system),
            softirq_ns: time(|counters| counters.softirq),
            irq_ns: time(|counters| counters.irq),
            steal_ns: time(|counters| counters.steal),
            context_switches: of(|counters| counters.context_switches),
            tick_ns,
        }
    }

    /// Processor time of all classes together, nanoseconds.
    pub const fn busy_ns(&self) -> u64 {
        let programs = self.user_ns.saturating_add(self.system_ns);
        programs.saturating_add(self.softirq_ns).saturating_add(self.irq_ns)
    }

    /// Whether more was done than work of one thread at a time can have been, a quarter more allowed for what the kernel
    /// does on other cores: then others have used the processors too, and how much is theirs is not known.
    pub const fn is_shared(&self) -> bool {
        self.busy_ns() > self.wall_ns.saturating_add(self.wall_ns / 4)
    }

    /// The share of one of `count` alike things, rounded down; `None` of none.
    pub fn per(&self, count: u64) -> Option<Share> {
        let least = self.tick_ns.saturating_mul(LEAST_TICKS);
        let class = |time: u64| (time >= least).then(|| time.checked_div(count)).flatten();
        Some(Share {
            wall_ns: self.wall_ns.checked_div(count)?,
            user_ns: class(self.user_ns),
            system_ns: class(self.system_ns),
            softirq_ns: class(self.softirq_ns),
            irq_ns: class(self.irq_ns),
            context_switches: self.context_switches.checked_div(count)?,
        })
    }
}

/// Reads the counters when it starts and when it stops. A reading takes some 50 us on a small machine and more where there
/// are many interrupts, so it does not belong into what is timed.
pub struct Meter {
    before: Option<Counters>,
    begun: Instant,
}

impl Meter {
    /// From now on.
    pub fn start() -> Self {
        let before = Counters::read();
        Self { before, begun: Instant::now() }
    }

    /// Until now; `None` if `/proc/stat` cannot be read.
    pub fn stop(self) -> Option<Cost> {
        let wall_ns = nanoseconds(self.begun.elapsed());
        let after = Counters::read()?;
        Some(Cost::between(wall_ns, &self.before?, &after, stat::tick_ns()?))
    }
}

/// What some work took from the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// Processor time and context switches.
    pub cost: Option<Cost>,
    /// What the kernel's memory had grown by when all was done, bytes; see [`KernelMemory::growth`].
    pub kernel_memory: Option<u64>,
}

/// Does some work between readings of everything. It waits for the kernel's memory to come to rest before and after, a tenth
/// of a second at least, so it is for work that is seldom done.
pub fn metered<T>(work: impl FnOnce() -> T) -> (T, ResourceUsage) {
    let before = KernelMemory::at_rest();
    let meter = Meter::start();
    let done = work();
    let cost = meter.stop();
    let kernel_memory = before.zip(KernelMemory::at_rest()).and_then(|(before, after)| after.growth(&before));
    (done, ResourceUsage { cost, kernel_memory })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 10_000_000;

    #[test]
    fn a_class_of_few_ticks_is_absent_not_zero() {
        let before = Counters { user: 100, softirq: 5, context_switches: 1_000, ..Counters::default() };
        let after = Counters { user: 120, system: 19, softirq: 5, context_switches: 1_007, ..before };
        let cost = Cost::between(400_000_000, &before, &after, TICK);
        assert_eq!((cost.user_ns, cost.system_ns, cost.softirq_ns), (200_000_000, 190_000_000, 0));
        let share = cost.per(2).unwrap();
        assert_eq!((share.wall_ns, share.context_switches), (200_000_000, 3));
        assert_eq!([share.user_ns, share.system_ns, share.softirq_ns], [Some(100_000_000), None, None]);
        assert_eq!(cost.per(0), None);
    }

    #[test]
    fn more_than_one_thread_can_do_is_shared() {
        let cost = Cost { wall_ns: 1_000, user_ns: 900, system_ns: 300, softirq_ns: 50, ..Cost::default() };
        assert_eq!((cost.busy_ns(), cost.is_shared()), (1_250, false));
        assert!(Cost { irq_ns: 1, ..cost }.is_shared());
        assert!(!Cost { steal_ns: 1_000, ..cost }.is_shared(), "nobody has had what was stolen");
    }

    #[test]
    fn a_meter_sees_work() {
        let meter = Meter::start();
        let begun = Instant::now();
        while begun.elapsed().as_millis() < 300 {
            std::hint::black_box(begun);
        }
        let cost = meter.stop().unwrap();
        assert!(cost.wall_ns >= 300_000_000, "{cost:?}");
        // Whether or not others have the cores: then they work.
        assert!(cost.user_ns + cost.system_ns + cost.steal_ns >= 100_000_000, "{cost:?}");
    }

    #[test]
    fn work_returns_what_it_returns() {
        let (done, usage) = metered(|| 7);
        assert_eq!(done, 7);
        assert!(usage.cost.is_some_and(|cost| cost.wall_ns < 60_000_000_000), "{usage:?}");
    }

    fn counters() -> impl Strategy<Value = Counters> {
        any::<[u64; 6]>().prop_map(|[user, system, softirq, irq, steal, context_switches]| Counters {
            user,
            system,
            softirq,
            irq,
            steal,
            context_switches,
        })
    }

    proptest! {
        #[test]
        fn any_counters_have_a_difference(
            [before, after] in [counters(), counters()], wall: u64, tick: u64, count: u64,
        ) {
            let cost = Cost::between(wall, &before, &after, tick);
            prop_assert_eq!(cost.per(count).is_some(), count > 0);
            prop_assert!(!cost.is_shared() || cost.busy_ns() > wall);
            if let Some(share) = cost.per(count) {
                let least = tick.saturating_mul(LEAST_TICKS);
                prop_assert_eq!(share.user_ns.is_some(), cost.user_ns >= least);
                prop_assert!(share.user_ns.unwrap_or(0) <= cost.user_ns);
            }
        }
    }
}
