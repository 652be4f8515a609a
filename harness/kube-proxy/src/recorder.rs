//! What a kube-proxy has its programs do: arguments, input and exit code of every run, in order.
//!
//! A [`Watch`](crate::programs::Watch) sees programs without being in their way, and sees neither their input nor arguments in
//! full. With a recorder kube-proxy finds, under the names of its programs, this program: each run of it tells a [`Recorder`]
//! what it was given ([`stand_in`]), runs the real program with just that, and ends as it ended. That takes some
//! milliseconds for each: nothing that is timed has a recorder.
//!
//! They talk over a socket in the abstract namespace, which is the network namespace's own: no file is left behind, and nobody
//! else can find it.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use netns_setup::Namespace;
use nix::sys::socket::{Shutdown, shutdown};

/// Tells a run of this program that it stands for another: the folder with the real programs.
pub(crate) const REAL_PROGRAMS: &str = "SVCBENCH_RECORDS";
/// Where recorders listen.
const SOCKET: &[u8] = b"svcbench-recorder";
/// Largest argument, and number of them, that are read; Linux itself gives a program no argument of more than 128 KiB.
const MOST: u32 = 1 << 17;
/// Largest input that is read, bytes: far more than what kube-proxy writes for the largest clusters.
const MOST_INPUT: u64 = 1 << 32;
/// How a run ends that cannot tell its recorder. kube-proxy takes it for a failure of the program.
const NO_RECORDER: i32 = 121;

/// One run of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The name under which kube-proxy ran it, then its arguments.
    pub command: Vec<String>,
    /// Its standard input; empty without one.
    pub input: Vec<u8>,
    /// When it ended, never later than kube-proxy hears of it, and its exit code; `None`: it still runs.
    pub ended: Option<(SystemTime, i32)>,
}

impl Run {
    /// Its name.
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Exit code, if it has ended.
    pub fn code(&self) -> Option<i32> {
        self.ended.map(|(_, code)| code)
    }
}

/// Writes down what programs in one namespace are given.
pub struct Recorder {
    runs: Arc<Mutex<Vec<Run>>>,
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
    program: PathBuf,
}

impl Recorder {
    /// Listens in a namespace. `program`: a file that begins with [`stand_in`], which this process's own does if `None` is
    /// given.
    ///
    /// # Errors
    /// What the system says; `AddrInUse` if there is one already.
    pub fn listen(namespace: &Namespace, program: Option<PathBuf>) -> io::Result<Self> {
        let program = program.map_or_else(env::current_exe, Ok)?;
        let listener = namespace.run(|| UnixListener::bind_addr(&SocketAddr::from_abstract_name(SOCKET)?))?;
        let runs = Arc::new(Mutex::new(Vec::new()));
        let (theirs, own) = (Arc::clone(&runs), listener.try_clone()?);
        let thread = thread::Builder::new().name("recorder".into()).spawn(move || {
            // Until it is shut down.
            while let Ok((stream, _)) = own.accept() {
                let runs = Arc::clone(&theirs);
                // One for each, as several programs run at a time. Should there be no thread left, the program hears it.
                let _ = thread::Builder::new().name("recorder".into()).spawn(move || record(stream, &runs));
            }
        })?;
        Ok(Self { runs, listener, thread: Some(thread), program })
    }

    /// What kube-proxy is to find under the names of its programs.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// How many runs have begun so far.
    pub fn count(&self) -> usize {
        lock(&self.runs).len()
    }

    /// Those from a number on, in the order in which they began.
    pub fn since(&self, first: usize) -> Vec<Run> {
        lock(&self.runs).get(first..).unwrap_or_default().to_vec()
    }

    /// Calls `look` with those from a number on, without a copy of them.
    pub fn look<T>(&self, first: usize, look: impl FnOnce(&[Run]) -> T) -> T {
        look(lock(&self.runs).get(first..).unwrap_or_default())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // accept(2) then fails.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(runs: &Mutex<Vec<Run>>) -> MutexGuard<'_, Vec<Run>> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whatever a stranger sends, there is no run of it, or one without an end.
fn record(mut stream: UnixStream, runs: &Mutex<Vec<Run>>) {
    let Ok((command, input)) = read_run(&mut stream) else { return };
    let number = {
        let mut runs = lock(runs);
        runs.push(Run { command, input, ended: None });
        runs.len() - 1
    };
    // It may begin.
    if stream.write_all(&[0]).is_err() {
        return;
    }
    let mut code = [0; 4];
    // Killed, as kube-proxy does when it ends: its exit code is nobody's.
    let code = if stream.read_exact(&mut code).is_ok() { i32::from_be_bytes(code) } else { -1 };
    if let Some(run) = lock(runs).get_mut(number) {
        run.ended = Some((SystemTime::now(), code));
    }
    // It may end: so kube-proxy hears of its end after the moment that is written down. If it is gone, nobody waits.
    let _ = stream.write_all(&[0]);
}

fn read_run(from: &mut impl Read) -> io::Result<(Vec<String>, Vec<u8>)> {
    let too_large = || io::Error::from(io::ErrorKind::InvalidData);
    let mut number = || -> io::Result<u32> {
        let mut bytes = [0; 4];
        from.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
            .and_then(|number| if number > MOST { Err(too_large()) } else { Ok(number) })
    };
    let count = number()?;
    let lengths: Vec<u32> = (0..count).map(|_| number()).collect::<io::Result<_>>()?;
    let mut text = |length: u64| -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = from.by_ref().take(length).read_to_end(&mut bytes)?;
        if read as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    let words = lengths
        .into_iter()
        .map(|length| text(length.into()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
    let command = words.collect::<io::Result<_>>()?;
    let length = text(8)?.try_into().map(u64::from_be_bytes).map_err(|_| too_large())?;
    if length > MOST_INPUT {
        return Err(too_large());
    }
    let input = text(length)?;
    Ok((command, input))
}

fn write_run(to: &mut impl Write, command: &[OsString], input: &[u8]) -> io::Result<()> {
    let number = |length: usize| u32::try_from(length).map(u32::to_be_bytes).map_err(io::Error::other);
    to.write_all(&number(command.len())?)?;
    command.iter().try_for_each(|word| to.write_all(&number(word.len())?))?;
    command.iter().try_for_each(|word| to.write_all(word.as_bytes()))?;
    to.write_all(&(input.len() as u64).to_be_bytes())?;
    to.write_all(input)
}

/// Ends this process, once it has done what a recorded program does, if it was started in the place of one; else it does
/// nothing. To be called before anything else in `main`.
pub fn stand_in() {
    let Some(folder) = env::var_os(REAL_PROGRAMS) else { return };
    match stand_for(Path::new(&folder)) {
        Ok(code) => process::exit(code),
        Err(error) => {
            // kube-proxy logs what programs print.
            #[expect(clippy::disallowed_methods, reason = "what cannot be printed is not")]
            let _ = writeln!(io::stderr(), "svcbench, in the place of a program: {error}");
            process::exit(NO_RECORDER);
        }
    }
}

fn stand_for(real_programs: &Path) -> io::Result<i32> {
    let mut command: Vec<OsString> = env::args_os().collect();
    let name = command.first_mut().ok_or(io::ErrorKind::InvalidInput)?;
    *name = Path::new(&*name).file_name().unwrap_or_default().to_owned();
    let name = name.clone();
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let mut recorder = UnixStream::connect_addr(&SocketAddr::from_abstract_name(SOCKET)?)?;
    write_run(&mut recorder, &command, &input)?;
    recorder.read_exact(&mut [0])?;
    let mut real = Command::new(real_programs.join(&name));
    real.arg0(&name).args(&command[1..]).env_remove(REAL_PROGRAMS);
    let code = code_of(run(&mut real, &input)?);
    recorder.write_all(&code.to_be_bytes())?;
    // Should the recorder be gone, the program has run all the same.
    let _ = recorder.read_exact(&mut [0]);
    Ok(code)
}

/// Its outputs are this process's own.
fn run(command: &mut Command, input: &[u8]) -> io::Result<ExitStatus> {
    if input.is_empty() {
        return command.stdin(Stdio::null()).status();
    }
    let mut child = command.stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input) {
            // It has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            outcome => outcome?,
        }
    }
    child.wait()
}

/// As a shell tells it: 128 and the number of the signal.
fn code_of(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sent(command: &[String], input: &[u8]) -> Vec<u8> {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        let mut bytes = Vec::new();
        write_run(&mut bytes, &command, input).unwrap();
        bytes
    }

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(code_of(ExitStatus::from_raw(1 << 8)), 1);
        assert_eq!(code_of(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let endless = [255; 64];
        assert!(read_run(&mut &endless[..]).is_err());
        let mut bytes = sent(&["nft".into()], b"x");
        let at = bytes.len() - 9;
        bytes[at..at + 8].fill(255);
        assert!(read_run(&mut &bytes[..]).is_err());
    }

    proptest! {
        #[test]
        fn what_was_given_is_what_is_read(command in prop::collection::vec("\\PC{0,20}", 0..9), input: Vec<u8>) {
            let bytes = sent(&command, &input);
            prop_assert_eq!(read_run(&mut &bytes[..]).unwrap(), (command, input));
            // Cut off anywhere, it is no run.
            for end in 0..bytes.len() {
                prop_assert!(read_run(&mut &bytes[..end]).is_err());
            }
        }

        #[test]
        fn any_bytes_get_an_answer(bytes: Vec<u8>) {
            let _ = read_run(&mut &bytes[..]);
        }
    }
}
