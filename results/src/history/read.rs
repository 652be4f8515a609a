//! From folders to the figures of runs: rows are read, summed up and let go, one run at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::key::{Quantile, SeriesKey, followed};
use super::machine::{Facts, Machine};
use crate::environment::Environment;
use crate::groups::Groups;
use crate::names::mode_rank;
use crate::record::Record;
use crate::record_file::read_records;
use crate::stats::median;

const RECORDS: &str = "records.csv";
/// How many folders deep runs are looked for.
const DEPTH: usize = 3;

/// One run, summed up.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// When it began, RFC 3339.
    pub started: String,
    /// Its lanes.
    pub lanes: Vec<LaneSummary>,
}

/// One lane of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneSummary {
    /// What must agree.
    pub machine: Machine,
    /// What may differ, and is named: name to value.
    pub facts: Facts,
    /// Medians over blocks.
    pub figures: BTreeMap<SeriesKey, f64>,
}

/// A folder that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The folder.
    pub folder: PathBuf,
    /// Why, and what to do.
    pub why: String,
}

/// Reads the runs in `dirs`: each is the folder of a run, or one that holds such folders. What cannot be read is left out and named.
pub fn read(dirs: &[PathBuf]) -> (Vec<RunSummary>, Vec<Unreadable>) {
    let (mut folders, mut unreadable) = (Vec::new(), Vec::new());
    for dir in dirs {
        let before = folders.len();
        if let Err(why) = find(dir, 0, &mut folders) {
            unreadable.push(Unreadable { folder: dir.clone(), why });
        } else if folders.len() == before {
            let why = format!("no run is in it: a run's folder has a {RECORDS}");
            unreadable.push(Unreadable { folder: dir.clone(), why });
        }
    }
    let mut seen = Vec::new();
    let mut runs = Vec::new();
    for folder in folders {
        // The same folder under two names is one run.
        let real = fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone());
        if seen.contains(&real) {
            continue;
        }
        seen.push(real);
        match RunSummary::read(&folder) {
            Ok(run) => runs.push(run),
            Err(why) => unreadable.push(Unreadable { folder, why }),
        }
    }
    (runs, unreadable)
}

fn find(dir: &Path, depth: usize, folders: &mut Vec<PathBuf>) -> Result<(), String> {
    if dir.join(RECORDS).is_file() {
        folders.push(dir.to_owned());
        return Ok(());
    }
    let listed = fs::read_dir(dir).map_err(|error| format!("{error}; check that the path names a folder"))?;
    let mut inner: Vec<PathBuf> =
        listed.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    inner.sort();
    if depth < DEPTH {
        for path in inner {
            // A folder that may not be listed holds no run of ours.
            let _ = find(&path, depth + 1, folders);
        }
    }
    Ok(())
}

impl RunSummary {
    /// Reads a run's folder.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let environment =
            Environment::read(&folder.join("environment.json")).map_err(|error| error.to_string())?;
        let records = read_records(&folder.join(RECORDS)).map_err(|error| error.to_string())?;
        if environment.started.is_empty() {
            return Err("environment.json does not say when the run started: correct the field \"started\""
                .to_owned());
        }
        let name = folder
            .file_name()
            .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(RunSummary::of(name, folder.to_owned(), &records, &environment))
    }

    /// Sums up rows. Those of a lane that has no environment record are left out: it is not known what they may be compared with.
    pub fn of(name: String, folder: PathBuf, records: &[Record], environment: &Environment) -> Self {
        let lanes = Groups::split(records)
            .iter()
            .filter_map(|groups| {
                let environment = environment.of(groups.platform)?;
                Some(LaneSummary {
                    machine: Machine::of(environment),
                    facts: facts(environment),
                    figures: figures(groups),
                })
            })
            .collect();
        RunSummary { name, folder, started: environment.started.clone(), lanes }
    }
}

fn figures(groups: &Groups<'_>) -> BTreeMap<SeriesKey, f64> {
    let mut figures = BTreeMap::new();
    for (key, group) in &groups.map {
        let Some(field) = followed(key.workload, key.metric) else { continue };
        let of: fn(&Record) -> Option<u64> = match field {
            Quantile::P50 => |row| row.p50,
            Quantile::P99 => |row| row.p99,
        };
        let values: Vec<f64> = group.per_block(of).into_values().collect();
        let Some(value) = median(&values) else { continue };
        let key = SeriesKey {
            workload: key.workload.to_owned(),
            metric: key.metric.to_owned(),
            field,
            rank: mode_rank(key.mode),
            mode: key.mode.to_owned(),
            endpoints: key.endpoints,
            contenders: key.contenders,
            position: key.position.to_owned(),
            services: key.services,
            unit: key.unit,
            system: key.system.to_owned(),
        };
        figures.insert(key, value);
    }
    figures
}

/// Kernel, tools and settings: what may explain a change.
fn facts(environment: &Environment) -> Facts {
    let mut facts: Facts = [
        ("kernel", &environment.kernel),
        ("kernel version", &environment.kernel_version),
        ("kernel command line", &environment.command_line),
        ("emulator", &environment.emulator),
        ("governor", &environment.governor),
        ("SMT", &environment.smt),
        ("kube-proxy", &environment.kube_proxy),
        ("svcbench", &environment.tool_version),
    ]
    .map(|(name, value)| (name.to_owned(), value.clone()))
    .into();
    facts.insert("seed".to_owned(), environment.seed.to_string());
    facts.insert("memory".to_owned(), environment.memory_bytes.to_string());
    for (prefix, of) in [
        ("", &environment.programs),
        ("sysctl ", &environment.sysctls),
        ("mitigation ", &environment.mitigations),
    ] {
        facts.extend(of.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())));
    }
    facts
}
