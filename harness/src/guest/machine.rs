//! One guest: what is in it, and its lines.

use std::path::Path;
use std::time::Duration;

use dataplane::Mode;
use lab::stop::Stop;
use netns_setup::find_program;
use netns_setup::guest::{Accelerator, Clock, Facts, Guest, GuestError, Image, Kernel, Spec};

use super::contents;
use super::protocol::Job;
use super::systems::Given;

/// Under emulation on a busy machine; a guest that boots at all does so in a few seconds.
const BOOT_TIMEOUT: Duration = Duration::from_secs(120);

/// How the guests of a lane are booted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Modes that it is to run.
    pub modes: &'a [Mode],
    /// Whether it also measures forwarding methods.
    pub forwarding: bool,
    /// Memory of each guest.
    pub memory_mib: u32,
    /// What its clock counts.
    pub clock: Clock,
    /// Who executes it.
    pub accelerator: Accelerator,
    /// How long it may say nothing.
    pub patience: Duration,
    /// Real kube-proxies, for jobs that measure them.
    pub given: &'a Given,
}

impl Boot<'_> {
    /// Boots a guest for a job and hands on what is known of it and all it says, until it ends or nobody listens.
    ///
    /// # Errors
    /// The guest could not be made, died, or was stopped.
    pub(super) fn run(
        &self,
        job: &Job,
        stop: &Stop,
        facts: impl FnOnce(Facts) -> bool,
        line: impl Fn(String) -> bool,
    ) -> Result<(), GuestError> {
        let text = serde_json::to_vec(job).map_err(|error| GuestError::Host {
            action: "write the guest's job".into(),
            cause: error.into(),
        })?;
        let mut image = image(self.kernel, self.modes, self.forwarding, text)?;
        if !job.files.is_empty() {
            self.given.put_into(&mut image)?;
        }
        let mut guest = self.start(&image, stop)?;
        let mut heard = facts(guest.report());
        while heard {
            match guest.next(&|| stop.is_requested())? {
                Some(bytes) => heard = line(String::from_utf8_lossy(&bytes).into_owned()),
                None => break,
            }
        }
        Ok(())
    }

    /// Boots a guest that has nothing to do: whether it can be.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn try_out(&self, stop: &Stop) -> Result<(), GuestError> {
        self.start(&Image::of_this_program(Vec::new())?, stop).map(drop)
    }

    fn start(&self, image: &Image, stop: &Stop) -> Result<Guest, GuestError> {
        let spec = Spec {
            kernel: self.kernel,
            image,
            memory_mib: self.memory_mib,
            clock: self.clock,
            accelerator: self.accelerator,
            append: Vec::new(),
            // Whoever is more patient with a guest, because the machine is busy, is so with its boot.
            boot_timeout: BOOT_TIMEOUT.max(self.patience / 5),
            silence_timeout: self.patience,
        };
        Guest::start(&spec, &|| stop.is_requested())
    }
}

/// The file system of a guest that runs these modes. A program that this machine lacks is lacking there too, and the
/// rows of its mode say so.
///
/// # Errors
/// What cannot be read here, or is missing for the kernel.
pub fn image(kernel: &Kernel, modes: &[Mode], forwarding: bool, job: Vec<u8>) -> Result<Image, GuestError> {
    let mut image = Image::of_this_program(job)?;
    for program in contents::PROGRAMS.iter().filter_map(|name| find_program(name)) {
        image.program(&program)?;
    }
    for folder in contents::PLUGINS.iter().map(Path::new).filter(|folder| folder.is_dir()) {
        image.plugins(folder)?;
    }
    for file in contents::DATA.iter().map(Path::new).filter(|file| file.is_file()) {
        image.copy(file)?;
    }
    let (required, mut optional) = contents::modules(modes);
    if forwarding {
        optional.extend(contents::FORWARDING);
    }
    image.modules(kernel, &required, &optional)?;
    Ok(image)
}
