//! Guests: this same program inside a kernel of its own, in a virtual machine.
//!
//! For what the host's kernel lacks, and for a clock that counts instructions. The host side assembles a file system in
//! memory ([`Image`]: this program, other programs with their libraries, kernel modules), boots a [`Kernel`] with it
//! under QEMU and reads lines ([`Guest`]). The other side is [`inside`], called first in `main`. Nothing is written to
//! the host's disk (save the cache of [`Kernel::stock`]), no device of the host is used, and no privilege is needed.
//!
//! With [`Clock::Instructions`] a guest's time is its own: what it measures is the same on every host and in every run,
//! as long as the files, the kernel, the memory size and QEMU are the same.
//!
//! ```no_run
//! use netns_setup::guest::{self, Accelerator, Clock, Guest, Image, Kernel, Spec};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! guest::inside(|job, port| match port.line(job) {
//!     Ok(()) => 0,
//!     Err(_) => 1,
//! });
//! let kernel = Kernel::stock(&mut |step| eprintln!("{step}"))?;
//! let mut image = Image::of_this_program("hello")?;
//! image.program("/usr/sbin/nft".as_ref())?;
//! image.modules(&kernel, &["nf_tables"], &[])?;
//! let spec = Spec {
//!     kernel: &kernel,
//!     image: &image,
//!     memory_mib: 1024,
//!     clock: Clock::Instructions,
//!     accelerator: Accelerator::Auto,
//!     append: vec![],
//!     boot_timeout: Duration::from_secs(120),
//!     silence_timeout: Duration::from_secs(120),
//! };
//! let mut guest = Guest::start(&spec, &|| false)?;
//! while let Some(line) = guest.next(&|| false)? {
//!     println!("{}", String::from_utf8_lossy(&line));
//! }
//! # Ok(())
//! # }
//! ```

mod boot;
mod check;
mod command;
mod console;
mod cpio;
mod elf;
mod error;
mod host;
mod image;
mod inside;
mod kernel;
mod libraries;
mod machine;
mod modules;
mod process;
mod protocol;
mod spec;
mod stock;

pub use check::check;
pub use error::GuestError;
pub use host::available_mib;
pub use image::Image;
pub use inside::{Port, inside, is_here};
pub use kernel::Kernel;
pub use machine::Guest;
pub use spec::{Accelerator, Clock, Facts, Spec};
