//! The file of a kube-proxy.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use lab::stop::Stop;
use netns_setup::{Enclosure, Namespace};
use sha2::{Digest, Sha256};

use crate::elf::{self, Unfit};
use crate::error::BinaryError;
use crate::version::Version;

/// How often a waiting thread looks whether a program has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Output that is kept.
const KEPT_OUTPUT: u64 = 64 << 10;
/// How the description in its help begins, since 1.0 (cmd/kube-proxy/app/server.go).
const DESCRIPTION: &str = "The Kubernetes network proxy";

/// A program for this machine, not yet known to be a kube-proxy.
#[derive(Debug, Clone)]
pub struct Binary {
    path: PathBuf,
    sha256: String,
    identity: Identity,
}

/// What tells a file from the one that it is replaced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(file: &fs::Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        }
    }
}

impl Binary {
    /// Reads the file once. Runs nothing and needs no privilege.
    ///
    /// # Errors
    /// If it cannot be read, or is no executable program for this machine.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BinaryError> {
        let given = path.as_ref();
        let unreadable = |source| BinaryError::Unreadable { path: given.to_owned(), source };
        // Found also from another working directory.
        let path = fs::canonicalize(given).map_err(unreadable)?;
        let about = fs::metadata(&path).map_err(unreadable)?;
        let no_program = |what| BinaryError::NoProgram { path: given.to_owned(), what };
        if about.is_dir() {
            return Err(no_program("a directory"));
        }
        if !about.is_file() {
            return Err(no_program("no ordinary file"));
        }
        let mut file = File::open(&path).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        let mut begins = Vec::new();
        file.by_ref().take(elf::LOOKED_AT as u64).read_to_end(&mut begins).map_err(unreadable)?;
        elf::check(&begins).map_err(|unfit| match unfit {
            Unfit::NoProgram(what) => no_program(what),
            Unfit::OtherMachine(its) => BinaryError::OtherArchitecture { path: given.to_owned(), its },
        })?;
        if about.permissions().mode() & 0o111 == 0 {
            return Err(BinaryError::NotExecutable { path: given.to_owned() });
        }
        let mut hash = Sha256::new();
        hash.update(&begins);
        io::copy(&mut file, &mut Hasher(&mut hash)).map_err(unreadable)?;
        Ok(Self { path, sha256: HEXLOWER.encode(&hash.finalize()), identity: Identity::of(&about) })
    }

    /// A file that was read before, elsewhere: it is looked at, and not read again. Runs nothing and needs no privilege.
    ///
    /// # Errors
    /// If it is not there.
    pub fn read_before(path: impl AsRef<Path>, sha256: &str) -> Result<Self, BinaryError> {
        let given = path.as_ref();
        let unreadable = |source| BinaryError::Unreadable { path: given.to_owned(), source };
        let path = fs::canonicalize(given).map_err(unreadable)?;
        let identity = Identity::of(&fs::metadata(&path).map_err(unreadable)?);
        Ok(Self { path, sha256: sha256.to_owned(), identity })
    }

    /// Its path, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of the file, 64 hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its length, bytes.
    pub const fn bytes(&self) -> u64 {
        self.identity.bytes
    }

    /// Runs it twice, in a namespace of its own where it can do no harm: it must say a version of Kubernetes, and describe
    /// itself as kube-proxy, since other programs of Kubernetes say the same version. `limit` holds for each.
    ///
    /// # Errors
    /// If it is no kube-proxy, hangs, or cannot be run; without root no namespace can be made.
    pub fn version(&self, stop: &Stop, limit: Duration) -> Result<Version, BinaryError> {
        let namespace = Namespace::create("kube-proxy-version")?;
        let other = |argument, how: ExitStatus, said: &[u8]| BinaryError::NoKubeProxy {
            path: self.path.clone(),
            argument,
            how: if how.success() { "says".to_owned() } else { format!("ends with {how}") },
            said: first_lines(said),
        };
        let (status, output) = self.ask(&namespace, "--version", stop, limit)?;
        let version = Version::of_output(&String::from_utf8_lossy(&output)).filter(|_| status.success());
        let version = version.ok_or_else(|| other("--version", status, &output))?;
        let (status, output) = self.ask(&namespace, "--help", stop, limit)?;
        if !String::from_utf8_lossy(&output).contains(DESCRIPTION) {
            return Err(other("--help", status, &output));
        }
        Ok(version)
    }

    fn ask(
        &self,
        namespace: &Namespace,
        argument: &'static str,
        stop: &Stop,
        limit: Duration,
    ) -> Result<(ExitStatus, Vec<u8>), BinaryError> {
        let start = |source| BinaryError::Start { path: self.path.clone(), source };
        let room = Enclosure::create(namespace, "kube-proxy-version")?;
        let program = self.inside(&room)?;
        let (output, input) = io::pipe().map_err(start)?;
        let mut command = Command::new(program);
        command.arg(argument).env_clear().current_dir("/").stdin(Stdio::null());
        command.stdout(input.try_clone().map_err(start)?).stderr(input);
        let begun = Instant::now();
        let mut running = room.start(&mut command).map_err(start)?;
        // Its ends of the pipe are the last ones then.
        drop(command);
        let reader = thread::spawn(move || {
            let (mut output, mut kept) = (output, Vec::new());
            let _ = output.by_ref().take(KEPT_OUTPUT).read_to_end(&mut kept);
            let _ = io::copy(&mut output, &mut io::sink());
            kept
        });
        let ended = loop {
            match running.try_wait().map_err(start)? {
                Some(status) => break Ok(status),
                None if stop.is_requested() => break Err(BinaryError::Interrupted),
                None if begun.elapsed() >= limit => {
                    break Err(BinaryError::Hangs { path: self.path.clone(), argument, limit });
                }
                None => thread::sleep(POLL_INTERVAL),
            }
        };
        // Whatever it has started ends too, and with it the pipe.
        drop(running);
        let kept = reader.join().unwrap_or_default();
        Ok((ended?, kept))
    }

    /// Where it is found inside a room. What lies below `/run` is hidden there by the lab's own, and is copied.
    ///
    /// # Errors
    /// If the file is not the one any more that was read.
    pub(crate) fn inside(&self, room: &Enclosure) -> Result<PathBuf, BinaryError> {
        let unreadable = |source| BinaryError::Unreadable { path: self.path.clone(), source };
        let changed = || BinaryError::Changed { path: self.path.clone() };
        let mut file = File::open(&self.path).map_err(unreadable)?;
        if Identity::of(&file.metadata().map_err(unreadable)?) != self.identity {
            return Err(changed());
        }
        let (path, identity) = (self.path.as_path(), self.identity);
        if room.run(|| fs::metadata(path).is_ok_and(|seen| Identity::of(&seen) == identity)) {
            return Ok(self.path.clone());
        }
        // Under its own name: a program may go by that.
        let folder = room.folder().join("binary");
        let copy = folder.join(self.path.file_name().unwrap_or("kube-proxy".as_ref()));
        room.run(|| {
            fs::create_dir(&folder)?;
            io::copy(&mut file, &mut File::create(&copy)?)?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))
        })
        .map_err(unreadable)?;
        Ok(copy)
    }
}

/// What a program says of itself: its first lines, on one line.
fn first_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(3).collect();
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
}

struct Hasher<'h>(&'h mut Sha256);

impl io::Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_the_hash_that_sha256sum_prints() {
        let binary = Binary::open("/bin/sh").unwrap();
        let printed = Command::new("sha256sum").arg(binary.path()).output().unwrap();
        assert!(String::from_utf8(printed.stdout).unwrap().starts_with(binary.sha256()));
        assert_eq!(binary.bytes(), fs::metadata("/bin/sh").unwrap().len());
        let again = Binary::read_before("/bin/sh", binary.sha256()).unwrap();
        assert_eq!(
            (again.path(), again.sha256(), again.bytes()),
            (binary.path(), binary.sha256(), binary.bytes())
        );
        assert!(Binary::read_before("/no/such", "").is_err());
    }

    #[test]
    fn what_is_no_program_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |name: &str, contents: Option<&[u8]>, mode: u32| {
            let path = folder.path().join(name);
            if let Some(contents) = contents {
                fs::write(&path, contents).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            let text = Binary::open(&path).unwrap_err().to_string();
            text.replace(folder.path().to_str().unwrap(), "")
        };
        let program = fs::read("/bin/sh").unwrap();
        let mut foreign = program.clone();
        foreign[18..20].copy_from_slice(&if cfg!(target_arch = "aarch64") { [62, 0] } else { [183, 0] });
        let name = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };

        assert_eq!(refusal("absent", None, 0), "cannot read /absent: No such file or directory (os error 2)");
        assert_eq!(refusal("plain", Some(&program), 0o644), "/plain is not executable: chmod +x it");
        assert!(
            refusal("other", Some(&foreign), 0o755).starts_with(&format!("/other is built for {name}, and"))
        );
        assert!(
            refusal("script", Some(b"#!/bin/sh\n"), 0o755).starts_with("/script is a script, not a program:")
        );
        assert!(refusal("empty", Some(b""), 0o755).starts_with("/empty is an empty file, not a program"));
        assert!(refusal(".", None, 0).contains(" is a directory, not a program"));
        let null = Binary::open("/dev/null").unwrap_err().to_string();
        assert!(null.starts_with("/dev/null is no ordinary file, not a program"), "{null}");
    }
}
