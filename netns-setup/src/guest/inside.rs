//! What this program does inside a guest: as its first process, and as the work.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, exit};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{getpid, getppid, sethostname};

use super::console::ASKED;
use super::protocol::{Control, MARK};
use crate::error::answer;

/// The caller's job. Its being there marks a guest.
pub(crate) const JOB: &str = "/guest/job";
/// Modules to load.
pub(crate) const MODULES: &str = "/guest/modules";
/// Their names in order, those that may fail marked as [`OPTIONAL`].
pub(crate) const ORDER: &str = "/guest/modules/order";
pub(crate) const OPTIONAL: &str = "-";

const INIT: &str = "/init";
/// `argv[0]` of the work.
const WORK: &str = "guest-work";
/// This program as the kernel's helper. Not at the kernel's usual place (CONFIG_MODPROBE_PATH): the kernel calls that from
/// its first seconds on, and opening a console that it does not have yet would call it again, without end.
const MODPROBE: &str = "/guest/modprobe";
const DATA: &str = "/dev/ttyS1";
const CONSOLE: &str = "/dev/ttyS0";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Open files that the work may have: the kernel's own limit for anyone (fs.nr_open).
const FILES: u64 = 1 << 20;

/// The way out of the guest: lines to the host.
///
/// It returns when the line has left the guest, so that no interrupt of the serial port falls into what comes next.
#[derive(Debug)]
pub struct Port {
    device: File,
}

impl Port {
    fn open() -> io::Result<Port> {
        let device = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(DATA)?;
        let mut settings = tcgetattr(&device)?;
        cfmakeraw(&mut settings);
        tcsetattr(&device, SetArg::TCSANOW, &settings)?;
        Ok(Port { device })
    }

    /// Sends one line; any bytes but a line's end.
    ///
    /// # Errors
    /// The line holds a line's end or begins with the byte 1, which is the guest's own.
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if line.first() == Some(&MARK) || line.contains(&b'\n') {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a line with a line's end in it, or the byte 1",
            ));
        }
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        self.send(&whole)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.device.write_all(bytes)?;
        Ok(tcdrain(&self.device)?)
    }
}

/// Whether this is a guest: a machine of its own, whose settings are ours.
pub fn is_here() -> bool {
    Path::new(JOB).exists()
}

/// Call this first in `main`. Outside a guest it returns at once. Inside, it never returns: it sets the guest up, and
/// calls `work` in a process of its own, with the job that the image was given and the way out. The guest ends when that
/// process ends; a code other than 0 is an error on the host. Standard output and error are the guest's console.
pub fn inside(work: impl FnOnce(&[u8], &mut Port) -> u8) {
    if !is_here() {
        return;
    }
    let own_name = env::args_os().next().unwrap_or_default();
    if getpid().as_raw() == 1 {
        init();
    } else if own_name == MODPROBE {
        // Modules are loaded beforehand, so that no timed step waits for one; this tells of those forgotten.
        let name = env::args().next_back().unwrap_or_default();
        let console = OpenOptions::new().write(true).custom_flags(libc::O_NOCTTY).open(CONSOLE);
        let _ = console.and_then(|mut console| console.write_all(format!("{ASKED}{name}\n").as_bytes()));
        exit(1);
    } else if own_name == WORK && getppid().as_raw() == 1 {
        let outcome = fs::read(JOB).and_then(|job| Ok((job, Port::open()?)));
        match outcome {
            Ok((job, mut port)) => exit(i32::from(work(&job, &mut port))),
            Err(error) => {
                say(&format!("{JOB} or {DATA}: {error}"));
                exit(1);
            }
        }
    }
}

/// A line on the console, if there is one.
#[expect(clippy::disallowed_methods, reason = "a console that takes nothing ends nothing")]
fn say(what: &str) {
    let _ = writeln!(io::stderr(), "guest: {what}");
}

/// The first process. Ends with the machine.
fn init() -> ! {
    let outcome = Port::open().map_err(|error| format!("{DATA}: {error}")).and_then(|mut port| {
        let outcome = serve(&mut port);
        let last = match outcome {
            Ok(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
                Control::End { code, status: status.to_string() }
            }
            Err(why) => Control::Failed { why },
        };
        port.send(&last.encode()).map_err(|error| format!("{DATA}: {error}"))
    });
    if let Err(why) = outcome {
        say(&why);
    }
    // A reset: QEMU takes it for the end. Nothing has to be saved.
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    exit(1);
}

fn serve(port: &mut Port) -> Result<ExitStatus, String> {
    let send = |port: &mut Port, control: Control| {
        port.send(&control.encode()).map_err(|error| format!("{DATA}: {error}"))
    };
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    send(port, Control::Hello { release: release.unwrap_or_default() })?;
    mount_all()?;
    load_modules()?;
    sethostname("guest").map_err(|error| format!("set the host name: {error}"))?;
    setrlimit(Resource::RLIMIT_NOFILE, FILES, FILES)
        .map_err(|error| format!("raise the limit of files: {error}"))?;
    // Rather no guest than one that kills whatever is largest.
    write("/proc/sys/vm/panic_on_oom", "1")?;
    if symlink(INIT, MODPROBE).is_ok() {
        // A kernel without loadable modules has no such file.
        let _ = write("/proc/sys/kernel/modprobe", MODPROBE);
    }
    send(port, Control::Start)?;

    let work = Command::new(INIT).arg0(WORK).env_clear().env("PATH", PATH).env("HOME", "/root").spawn();
    let work = work.map_err(|error| format!("start {INIT}: {error}"))?.id();
    loop {
        // Orphans end here too.
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(child, code)) if child.as_raw() as u32 == work => {
                return Ok(ExitStatus::from_raw(code << 8));
            }
            Ok(WaitStatus::Signaled(child, signal, _)) if child.as_raw() as u32 == work => {
                return Ok(ExitStatus::from_raw(signal as i32));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(format!("wait for the work: {error}")),
        }
    }
}

fn mount_all() -> Result<(), String> {
    const MOUNTS: [(&str, &str, &str); 7] = [
        ("devtmpfs", "/dev", "mode=755"),
        ("proc", "/proc", ""),
        ("sysfs", "/sys", ""),
        ("tmpfs", "/run", "mode=755"),
        ("tmpfs", "/tmp", "mode=1777"),
        ("devpts", "/dev/pts", "ptmxmode=666"),
        ("cgroup2", "/sys/fs/cgroup", ""),
    ];
    for (kind, at, data) in MOUNTS {
        if at == "/dev/pts" {
            fs::create_dir_all(at).map_err(|error| format!("{at}: {error}"))?;
        }
        let flags = MsFlags::MS_NOSUID;
        match mount(Some(kind), at, Some(kind), flags, Some(data)) {
            Ok(()) => {}
            // Not every kernel has them, and not every job wants them.
            Err(_) if matches!(kind, "devpts" | "cgroup2") => {}
            Err(error) => return Err(format!("mount {kind} on {at}: {error}")),
        }
    }
    Ok(())
}

fn load_modules() -> Result<(), String> {
    let order = match fs::read_to_string(ORDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|error| format!("{ORDER}: {error}"))?,
    };
    for line in order.lines() {
        let (name, required) = match line.strip_prefix(OPTIONAL) {
            Some(name) => (name, false),
            None => (line, true),
        };
        let path = format!("{MODULES}/{name}.ko");
        let loaded =
            File::open(&path).and_then(|file| Ok(finit_module(file.as_fd(), c"", ModuleInitFlags::empty())?));
        match loaded {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::EEXIST as i32) => {}
            Err(error) if required => return Err(format!("load module {name}: {}", answer(&error))),
            Err(error) => say(&format!("module {name}: {}", answer(&error))),
        }
        // It lies in memory.
        let _ = fs::remove_file(&path);
    }
    Ok(())
}

fn write(path: &str, value: &str) -> Result<(), String> {
    fs::write(path, value).map_err(|error| format!("{path}: {error}"))
}
