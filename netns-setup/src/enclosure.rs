//! A program of which nothing is known, in a namespace: it writes nothing of the host's, and nothing of it stays.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::SetupError;
use crate::namespace::Namespace;
use crate::worker::Worker;

/// Mounts that cannot be used to get more rights.
const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// How long a program's file may be open for writing before that is an error.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// A room inside a [`Namespace`] for one program: its mounts and its process numbers are its own.
///
/// * All file systems are read-only there, except the namespace's `/run`, [`folder`](Enclosure::folder), and the sysctls
///   of the network namespace. What is in the folder is in memory and ends with the room.
/// * `/proc` shows the program and what it starts, and nothing else.
/// * When the room is dropped, or this process ends, however it ends, the kernel kills whatever runs in it: also what has
///   left its process group or session (zap_pid_ns_processes in kernel/pid_namespace.c).
pub struct Enclosure {
    // Fields drop in this order: first the programs, then the thread.
    init: Init,
    worker: Worker,
    folder: PathBuf,
    label: String,
}

impl Enclosure {
    /// Makes a room in which nothing runs yet. `label` names its folder, `/run/LABEL`; rooms of the same label do not see each
    /// other's.
    ///
    /// # Errors
    /// `EPERM` without CAP_SYS_ADMIN, or where a container hides parts of `/proc`; `ENOSYS` before Linux 5.12.
    pub fn create(namespace: &Namespace, label: &str) -> Result<Enclosure, SetupError> {
        let folder = Path::new("/run").join(label);
        let (inside, name) = (folder.clone(), label.to_owned());
        // A thread inherits the namespaces of the one that starts it (clone(2)).
        let started = namespace.run(|| Worker::start(label, move || enter(&inside, &name)));
        let failed = |cause| SetupError::kernel(format!("start a thread for {label}"), cause);
        let (worker, init) = started.map_err(failed)??;
        Ok(Enclosure { init, worker, folder, label: label.to_owned() })
    }

    /// A folder of the room's own, as seen from inside.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name given at creation, for messages.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Runs `f` where the room's files are seen, and waits for its value. It must not start threads (the kernel refuses
    /// that), nor look into `/proc/self`, where it is not.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        self.worker.run(f)
    }

    /// Starts the program.
    ///
    /// It runs in a process group of its own, so keys typed at a terminal (Ctrl-C) do not reach it.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn start(self, command: &mut Command) -> io::Result<Enclosed> {
        command.process_group(0);
        let begun = Instant::now();
        loop {
            match self.worker.run(|| command.spawn()) {
                // A file that has just been written is still open in the children that other threads of this process
                // are starting, until these execute their programs.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy && begun.elapsed() < BUSY_LIMIT =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                outcome => return Ok(Enclosed { child: outcome?, room: self }),
            }
        }
    }
}

/// A program in a room of its own. Dropping it kills the program and all that it has started.
pub struct Enclosed {
    child: Child,
    room: Enclosure,
}

impl Enclosed {
    /// The program, for its pipes. Its end belongs to [`try_wait`](Enclosed::try_wait).
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its number outside.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The room that it runs in.
    pub fn room(&self) -> &Enclosure {
        &self.room
    }

    /// How it ended, if it has. What it has started may still run.
    ///
    /// # Errors
    /// As [`Child::try_wait`].
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends it a signal, unless it has ended.
    ///
    /// # Errors
    /// As kill(2).
    pub fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // Until it is waited for, its number is not given to another.
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).map_err(io::Error::other)?;
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// Kills all that runs in the room, and says how the program ended.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.room.init.end();
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Enclosed {
    fn drop(&mut self) {
        // The room's first process has ended when all others are gone and waited for; this one is waited for here.
        if let Err(error) = self.kill() {
            debug_assert_eq!(error.raw_os_error(), Some(libc::ECHILD), "{error}");
        }
    }
}

/// The first process of a pid namespace: with it the kernel ends all others. The kernel kills it when the room's thread ends,
/// which lives as long as the room or this process, and well before the files of this process are closed (see
/// `process_group.rs`). Should the thread have ended before it could be asked to, it ends with its input.
struct Init(Child);

impl Init {
    fn start() -> io::Result<Init> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "read -r _", "svcbench-enclosure"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        // SAFETY: between fork and exec it makes two system calls, with arguments that need no memory.
        #[expect(unsafe_code, reason = "only a process inside can mount the proc of its pid namespace")]
        unsafe {
            command.pre_exec(|| {
                set_pdeathsig(Signal::SIGKILL)?;
                Ok(mount(Some("proc"), "/proc", Some("proc"), SAFE | MsFlags::MS_NOEXEC, None::<&str>)?)
            });
        }
        Ok(Init(command.spawn()?))
    }

    /// Has the kernel kill the others, and does not wait.
    fn end(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.kill();
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        self.end();
        let _ = self.0.wait();
    }
}

/// Moves the calling thread into new mounts, and what it will start into a new pid namespace.
fn enter(folder: &Path, label: &str) -> Result<Init, SetupError> {
    let step = |what: &'static str| {
        let action = format!("{what} for {label}");
        move |cause: io::Error| SetupError::kernel(action, cause)
    };
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID)
        .map_err(io::Error::from)
        .map_err(step("unshare mounts and process numbers"))?;
    read_only(Path::new("/"), true, true).map_err(step("make all file systems read-only"))?;
    // The xtables lock is shared by all programs of the namespace.
    read_only(Path::new("/run"), false, false).map_err(step("make /run writable"))?;
    fs::create_dir_all(folder).map_err(step("make a folder in /run"))?;
    mount(Some("tmpfs"), folder, Some("tmpfs"), SAFE, Some("mode=0755,size=512m"))
        .map_err(io::Error::from)
        .map_err(step("mount a private folder"))?;
    let init = Init::start().map_err(step("start /bin/sh, with a /proc of its own,"))?;
    // What remains of the host in it are settings that no namespace has for itself.
    let settings = "/proc/sys/net";
    mount(Some(settings), settings, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(io::Error::from)
        .map_err(step("keep network settings writable"))?;
    read_only(Path::new("/proc"), true, false).map_err(step("make /proc read-only"))?;
    Ok(init)
}

/// Makes the mount at `path` read-only or writable; `recursive`: and all below it.
fn read_only(path: &Path, is_read_only: bool, recursive: bool) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let (set, clear) = if is_read_only { (libc::MOUNT_ATTR_RDONLY, 0) } else { (0, libc::MOUNT_ATTR_RDONLY) };
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation: 0, userns_fd: 0 };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with a NUL, the structure has the size that is given, and both outlive the call
    // (mount_setattr(2)).
    #[expect(unsafe_code, reason = "nix has no mount_setattr")]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop).map_err(io::Error::from)
}
