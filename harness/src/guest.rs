//! Lanes on guest kernels: the same binary boots in a virtual machine, measures there, and sends its rows out.

mod contents;
mod inside;
mod lane;
mod machine;
mod memory;
mod parts;
pub mod protocol;
mod systems;

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use dataplane::Mode;
use experiments::kube_proxy;
use experiments::rows::LaneId;
use lab::stop::Stop;
use netns_setup::guest::{self, Accelerator, GuestError, Kernel};
use results::record::Clock;

pub use self::inside::work;
use self::lane::GuestLane;
use self::machine::Boot;
pub use self::machine::image;
use self::protocol::{Job, Part};
use self::systems::Given;
use crate::events::{Event, Sink};
use crate::host::strict::UnreliableMachine;
use crate::lane::{Folder, Tally};
use crate::sweep::Sweep;
use crate::sweep::cell::Cell;
use crate::sweep::order;

/// A kernel that a user names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelPaths {
    /// bzImage or vmlinuz.
    pub image: PathBuf,
    /// Its `lib/modules/RELEASE`; none: everything is built in.
    pub modules: Option<PathBuf>,
}

/// Which guests, and how they run.
#[derive(Clone, Debug)]
pub struct Guests {
    /// Kernels to sweep across; empty: Debian's stock kernel.
    pub kernels: Vec<KernelPaths>,
    /// What the clock counts; none: instructions, unless KVM boots a guest.
    pub clock: Option<Clock>,
    /// A guest that has said nothing for so long is given up.
    pub patience: Duration,
    /// Whether the same is measured again.
    pub pass: Pass,
}

/// Of a run that is repeated, each pass must give its guests the very same work: a job that is a few bytes longer moves
/// buffers in memory, and with them figures by a few instructions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pass {
    /// The only one.
    #[default]
    Only,
    /// The first of two.
    First,
    /// The second: lookups and connections alone.
    Again,
}

/// What is measured, and what is not.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Whether to measure whatever is predicted to take longer than the sweep's limit, too.
    pub no_limit: bool,
    /// Why the wall clock is not to be read.
    pub unreliable: Option<&'a UnreliableMachine>,
}

/// Why there can be no guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoGuest(pub String);

/// A clock and who keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timing {
    clock: Clock,
    accelerator: Accelerator,
}

impl Timing {
    const INSTRUCTIONS: Self = Self { clock: Clock::Instructions, accelerator: Accelerator::Emulation };
    const KVM: Self = Self { clock: Clock::Wall, accelerator: Accelerator::Kvm };
    const EMULATED: Self = Self { clock: Clock::Wall, accelerator: Accelerator::Emulation };

    /// As rows carry it.
    fn hypervisor(self) -> &'static str {
        if self.accelerator == Accelerator::Kvm { "kvm" } else { "tcg" }
    }

    fn words(self) -> &'static str {
        match (self.accelerator, self.clock) {
            (Accelerator::Kvm, _) => "in a KVM guest, wall clock",
            (_, Clock::Wall) => "in an emulated guest, wall clock",
            (_, Clock::Instructions) => "in an emulated guest, instruction clock",
        }
    }
}

impl Guests {
    /// Whether there can be guests at all. Boots and fetches nothing.
    ///
    /// # Errors
    /// [`NoGuest`].
    pub fn check(&self) -> Result<(), NoGuest> {
        match guest::check() {
            Ok(_) => Ok(()),
            Err(missing) => Err(NoGuest(format!("{}; {}", missing.why, missing.how))),
        }
    }

    /// Measures the sweep on each kernel, one after another.
    ///
    /// # Errors
    /// A kernel that cannot be used, and what keeps rows from being written. A guest that dies makes failed rows.
    pub fn measure(
        &self,
        sweep: &Sweep,
        sweep_text: &str,
        terms: Terms<'_>,
        folder: &mut Folder,
        stop: &Stop,
        sink: Sink<'_>,
    ) -> anyhow::Result<Tally> {
        let sweep = sweep.in_guest();
        let kernels = self.kernels(sink)?;
        let given = Given::of(&sweep);
        let mut tally = Tally::default();
        for (index, kernel) in kernels.iter().enumerate() {
            if tally.interrupted {
                break;
            }
            let timing = self.timing(kernel, stop, sink)?;
            if let (Clock::Wall, Some(unreliable)) = (timing.clock, terms.unreliable) {
                return Err(unreliable.clone().into());
            }
            sink(Event::Lane(format!("Linux {} {}", kernel.release, timing.words())));
            let mut modes = sweep.modes.clone();
            if sweep.background.is_some() {
                modes.extend([Mode::BackgroundLegacy, Mode::BackgroundNft]);
            }
            let image = machine::image(kernel, &modes, sweep.forwarding.is_some(), Vec::new())?;
            let size = image.size() + given.size();
            let entries = sweep.system.as_ref().map_or(0, kube_proxy::Section::most_entries);
            let (mut parts, memory_mib) =
                parts(&order::order(&sweep), timing, Contents { image: size, entries }, self.pass);
            if self.pass == Pass::Again {
                parts.truncate(1);
            }
            let run = &folder.environment;
            let mark = LaneId {
                run: run.run.clone(),
                lane: format!("g{}.", index + 1),
                clock: timing.clock,
                kernel: kernel.release.clone(),
                hypervisor: timing.hypervisor().into(),
            };
            let job = Job {
                sweep: sweep_text.to_owned(),
                injected: sweep.injected,
                part: Part::All,
                run: run.run.clone(),
                started: run.started.clone(),
                lane: mark.lane.clone(),
                clock: timing.clock,
                no_limit: terms.no_limit,
                before: Vec::new(),
                systems: sweep.systems.iter().map(ToString::to_string).collect(),
                files: given.files.clone(),
            };
            let boot = Boot {
                kernel,
                modes: &sweep.modes,
                forwarding: sweep.forwarding.is_some(),
                memory_mib,
                clock: match timing.clock {
                    Clock::Wall => guest::Clock::Wall,
                    Clock::Instructions => guest::Clock::Instructions,
                },
                accelerator: timing.accelerator,
                patience: self.patience,
                given: &given,
            };
            let lane = GuestLane { sweep: &sweep, boot, job, mark, parts };
            tally.add(lane.measure(folder, stop, sink)?);
        }
        Ok(tally)
    }

    /// The kernels that were named, or the stock kernel.
    fn kernels(&self, sink: Sink<'_>) -> anyhow::Result<Vec<Kernel>> {
        if self.kernels.is_empty() {
            let stock = Kernel::stock(&mut |step| sink(Event::Warning(step.to_owned())));
            return Ok(vec![stock.context("there is no kernel for a guest")?]);
        }
        let open = |paths: &KernelPaths| Kernel::open(&paths.image, paths.modules.as_deref());
        Ok(self.kernels.iter().map(open).collect::<Result<_, _>>()?)
    }

    /// Wall time if KVM really boots a guest, instructions otherwise; or what was asked for.
    fn timing(&self, kernel: &Kernel, stop: &Stop, sink: Sink<'_>) -> anyhow::Result<Timing> {
        if self.clock == Some(Clock::Instructions) {
            return Ok(Timing::INSTRUCTIONS);
        }
        let trial = Boot {
            kernel,
            modes: &[],
            forwarding: false,
            memory_mib: 512,
            clock: guest::Clock::Wall,
            accelerator: Accelerator::Kvm,
            patience: self.patience,
            given: &Given::default(),
        };
        match trial.try_out(stop) {
            Ok(()) => Ok(Timing::KVM),
            Err(GuestError::Kvm { why }) => {
                sink(Event::Warning(format!("no KVM guest, so guests are emulated: {why}")));
                Ok(if self.clock.is_none() { Timing::INSTRUCTIONS } else { Timing::EMULATED })
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// What takes up a guest's memory besides its cells.
#[derive(Clone, Copy, Debug)]
struct Contents {
    /// Bytes of its file system.
    image: u64,
    /// Entries of connection tracking.
    entries: u32,
}

/// Which guests work side by side, and how much memory each has. Only where others' load does not count: in the
/// instruction clock, where there are both kinds of cells, two cores, and memory for both.
fn parts(cells: &[Cell], timing: Timing, contents: Contents, pass: Pass) -> (Vec<Part>, u32) {
    let of = |part: Part| cells.iter().filter(|cell| part.has(cell)).copied().collect::<Vec<_>>();
    let memory = |part| memory::mebibytes(&of(part), contents.image, contents.entries);
    // What is repeated is the lookups, and they must be alone both times.
    let halves = match pass {
        Pass::Only => [Part::LookupsAndIpvs, Part::SyncsOfRules],
        Pass::First | Pass::Again => [Part::Lookups, Part::Syncs],
    };
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    // The same for both, as memory is part of what makes two guests alike.
    let each = halves.map(memory).into_iter().max().unwrap_or(0);
    let room = guest::available_mib().is_none_or(|mib| mib > 2 * u64::from(each) + 2048);
    let both = halves.iter().all(|&part| !of(part).is_empty());
    let able = cores > 1 && room || pass != Pass::Only;
    if timing.clock == Clock::Instructions && able && both {
        (halves.to_vec(), each)
    } else {
        (vec![Part::All], memory(Part::All))
    }
}
