//! Keeps child processes from outliving this process, without slowing their start.
//!
//! The usual way, `prctl(PR_SET_PDEATHSIG)` between fork and exec, forces a real `fork()`: from a process with 200 MB
//! resident that took 2.7 ms here, against 0.25 ms for the `posix_spawn()` (`CLONE_VFORK`) that [`Command`] uses when
//! nothing has to run in the child; and every page written afterwards faults. So children are started into the process
//! group of a sleeping shell instead, which `posix_spawn` can do, and the shell kills its whole group when the pipe from
//! this process closes. The kernel closes that pipe however this process ends.
//!
//! A child is in the group before its `exec` (setpgid(2)); should the group be gone by then, the child never executes.
//! Grandchildren belong to the group too, which a parent-death signal would not reach.
//!
//! The pipe is in a table of files that belongs to one sleeping thread. The files of all other threads are closed one after
//! another when a process is killed, and each TUN device among them waits for a grace period of RCU (rcu_barrier() in
//! netdev_run_todo(), net/core/dev.c): with 24 of them, on a busy machine, shells still waited for the end of their pipes 2 s
//! after the kill. The thread closes its own at once.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::libc;

use crate::worker::Worker;

/// Ties commands to the life of the [`Namespace`](crate::Namespace) it came from.
///
/// A plain value: hand it to threads that start programs themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessGroup {
    group: i32,
}

impl ProcessGroup {
    /// Makes whatever `command` starts, and all its descendants, die with the namespace or with this process.
    ///
    /// It sets the command's process group, so keys typed at a terminal (Ctrl-C) do not reach the program. Commands
    /// with a `pre_exec`, another user, or a `PATH` of their own still work, but std then forks, slowly.
    pub fn add<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.process_group(self.group)
    }
}

/// The sleeping shell that leads the group. Dropping it kills every process of the group.
#[derive(Debug)]
pub(crate) struct Leader {
    /// In the files of `keeper`, where it must also be dropped.
    shell: Option<Child>,
    keeper: Worker,
    process_group: ProcessGroup,
}

impl Leader {
    /// The shell is started in the calling thread's namespaces and keeps them alive as long as it lives.
    pub(crate) fn start() -> io::Result<Leader> {
        // A thread inherits the namespaces of the one that starts it (clone(2)).
        let started = Worker::start("process group", || {
            // Before Linux 5.9 there is no such call: then the pipe is closed with all else.
            let _ = own_files();
            Command::new("/bin/sh")
                .args(["-c", "read -r _; kill -KILL 0", "svcbench-process-group"])
                .env_clear()
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
        });
        let (keeper, shell) = started??;
        let group = i32::try_from(shell.id()).map_err(io::Error::other)?;
        Ok(Leader { shell: Some(shell), keeper, process_group: ProcessGroup { group } })
    }

    pub(crate) fn process_group(&self) -> ProcessGroup {
        self.process_group
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let Some(mut shell) = self.shell.take() else { return };
        self.keeper.run(move || {
            drop(shell.stdin.take());
            // Until it is reaped the shell's id, and with it the group, cannot be reused.
            let _ = shell.wait();
        });
    }
}

/// Gives the calling thread a table of files of its own, with nothing in it but standard input, output and error.
fn own_files() -> io::Result<()> {
    // SAFETY: the call takes numbers only. It closes nothing in the table that the other threads go on sharing, and in this
    // thread nothing stands for a file yet (close_range(2)).
    #[expect(unsafe_code, reason = "nix has no close_range")]
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_UNSHARE) };
    Ok(Errno::result(result).map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn members_of_the_group_die_and_others_live() {
        let leader = Leader::start().unwrap();
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("3600");
            command
        };
        let mut member = leader.process_group().add(&mut sleep()).spawn().unwrap();
        let mut free = sleep().spawn().unwrap();
        assert_eq!(member.try_wait().unwrap(), None);
        drop(leader);
        assert_eq!(member.wait().unwrap().signal(), Some(9));
        assert_eq!(free.try_wait().unwrap(), None);
        free.kill().unwrap();
        free.wait().unwrap();
    }
}
