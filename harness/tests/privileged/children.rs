//! `svcbench` as a child process: with a mark by which its descendants are known, in a folder of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use results::record::{Record, Status};
use results::record_file::read_records;
use tempfile::TempDir;

pub(crate) const SVCBENCH: &str = env!("CARGO_BIN_EXE_svcbench");
const MARK: &str = "SVCBENCH_TEST_MARK";

/// A folder in which `svcbench run` works, and its mark.
pub(crate) struct Place {
    folder: TempDir,
    mark: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}={}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { folder: tempfile::tempdir().unwrap(), mark }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    /// `svcbench run SWEEP --out out`, or the same with a program and arguments before it. `sweep`: a built-in name
    /// or the text of one.
    pub(crate) fn command(&self, before: &[&str], sweep: &str, flags: &[&str]) -> Command {
        let sweep = if sweep.contains('\n') {
            // Beside the folder that is watched.
            let file = self.path().with_extension("toml");
            fs::write(&file, sweep).unwrap();
            file
        } else {
            PathBuf::from(sweep)
        };
        let words = before.iter().copied().chain([SVCBENCH, "run"]).collect::<Vec<_>>();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg(sweep)
            .arg("--out")
            .arg(self.out())
            .args(["--kernel", "host"])
            .args(flags);
        let (name, value) = self.mark.split_once('=').unwrap();
        command.env(name, value).env("TMPDIR", self.path()).env("HOME", self.path()).current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, sweep: &str, flags: &[&str]) -> Output {
        self.command(&[], sweep, flags).output().unwrap()
    }

    pub(crate) fn start(&self, sweep: &str, flags: &[&str]) -> Child {
        let mut command = self.command(&[], sweep, &[&["--quiet"], flags].concat());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Processes with the mark that have not ended: whoever has ended has no environment any more.
    pub(crate) fn processes(&self) -> Vec<PathBuf> {
        let has_mark = |process: &PathBuf| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == self.mark.as_bytes())
        };
        entries("/proc").into_iter().filter(has_mark).collect()
    }

    /// Network and mount namespaces of marked processes that are not this process's. They are held open: else another
    /// process's next namespace might get the number of one that has gone.
    pub(crate) fn namespaces(&self) -> BTreeMap<u64, File> {
        let host = namespaces_of(Path::new("/proc/self"));
        let tasks = self.processes().into_iter().flat_map(|process| entries(process.join("task")));
        let files = tasks.flat_map(|task| KINDS.map(|kind| File::open(task.join("ns").join(kind)).ok()));
        let numbered = files.flatten().filter_map(|file| Some((file.metadata().ok()?.ino(), file)));
        numbered.filter(|(inode, _)| !host.contains(inode)).collect()
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        read_records(&self.out().join("records.csv")).unwrap()
    }

    /// Cells of which rows are on disk.
    pub(crate) fn finished_cells(&self) -> usize {
        let Ok(records) = read_records(&self.out().join("records.csv")) else { return 0 };
        records.iter().map(|record| record.cell.order).collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let content = |path: PathBuf| (name(&path), fs::read(&path).unwrap());
        entries(self.out()).into_iter().map(content).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path().with_extension("toml"));
    }
}

/// Whether any thread of the machine is in one of these namespaces.
pub(crate) fn inhabited(namespaces: &BTreeMap<u64, File>) -> bool {
    let tasks = entries("/proc").into_iter().flat_map(|process| entries(process.join("task")));
    tasks.into_iter().any(|task| namespaces_of(&task).iter().any(|inode| namespaces.contains_key(inode)))
}

const KINDS: [&str; 2] = ["net", "mnt"];

pub(crate) fn entries(folder: impl AsRef<Path>) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn namespaces_of(task: &Path) -> Vec<u64> {
    let inode = |kind| Some(fs::metadata(task.join("ns").join(kind)).ok()?.ino());
    KINDS.into_iter().filter_map(inode).collect()
}

/// A row as it should be on a quiet machine, or one of what a busy one may bring: where no lock makes contenders wait, a sync
/// may starve among them. What is too busy for answers is for [`few_are_late`].
pub(crate) fn is_as_it_should_be(row: &Record) -> bool {
    let may_starve = row.cell.workload == "xtables_lock" && row.metric.starts_with("holder_");
    let takes_the_lock = row.cell.mode == "iptables-legacy";
    row.status == Status::Ok
        || (row.status == Status::Skipped && may_starve && !takes_the_lock)
        || is_late(row)
}

/// Whether a request was not answered in the time allowed, as on a machine that is busy for seconds.
pub(crate) fn is_late(row: &Record) -> bool {
    row.status == Status::Failed && row.note.contains("did not answer in the time allowed")
}

/// Of rows that a busy machine may fail: so few that most of their kind were measured.
pub(crate) fn few_are_late(rows: &[Record], mode: &str) -> bool {
    let of_kind = |row: &&Record| row.cell.mode == mode && row.cell.workload == "tcp_crr";
    let late = rows.iter().filter(of_kind).filter(|row| is_late(row)).count();
    late * 2 <= rows.iter().filter(of_kind).count()
}
