//! What a run's folder keeps of the ruleset: what it is and how large, but neither names nor addresses. Whoever has the file
//! can tell by its digest that it is the same.

use std::path::Path;

use anyhow::Context;
use ruleset::search::FoundService;
use serde_json::json;
use services::service::Family;

use super::Replay;

/// Name of the file.
pub const REPLAY: &str = "replay.json";

/// Writes it. A folder that is resumed must have been begun with the same ruleset.
///
/// # Errors
/// If it was begun with another or none, or cannot be written.
pub fn keep(folder: &Path, replay: Option<&Replay>, resumed: bool) -> anyhow::Result<()> {
    let path = folder.join(REPLAY);
    if resumed {
        let before = match std::fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str::<serde_json::Value>(&text).ok(),
            Err(_) => None,
        };
        let before = before.as_ref().and_then(|note| note["sha256"].as_str());
        let now = replay.map(|replay| replay.digest.as_str());
        anyhow::ensure!(
            before == now,
            "{} was made with {}, and cells of two rulesets do not belong into one run",
            folder.display(),
            match (before, now) {
                (None, _) => "no replayed ruleset",
                (_, None) => "a replayed ruleset; give it again with --replay",
                _ => "another replayed ruleset",
            }
        );
    }
    let Some(replay) = replay else { return Ok(()) };
    let text = format!("{:#}\n", replay.note());
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Digest of the ruleset that the run in `folder` replayed; None if it replayed none.
///
/// # Errors
/// If the file is there and cannot be read, or is not what [`keep`] writes.
pub fn digest(folder: &Path) -> anyhow::Result<Option<String>> {
    let path = folder.join(REPLAY);
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let note: serde_json::Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))?;
    let digest = note["sha256"].as_str().with_context(|| format!("{} has no sha256", path.display()))?;
    Ok(Some(digest.to_owned()))
}

impl Replay {
    /// What it is and how large, without names and addresses.
    pub fn note(&self) -> serde_json::Value {
        let services = &self.inspection.services;
        let tables: Vec<_> = self
            .inspection
            .tables
            .iter()
            .map(|table| json!({ "family": table.family, "rules": table.rules, "chains": table.chains, "elements": table.elements }))
            .collect();
        let families: Vec<_> = self.inspection.families().into_iter().map(Family::name).collect();
        json!({
            "sha256": self.digest,
            "tool": self.tool(),
            "families": families,
            "tables": tables,
            "ipsets": self.inspection.sets.len(),
            "services": services.count(self.family()),
            "addresses": services.of(self.family()).count(),
            "node_ports": services.node_ports,
            "endpoints_per_service": spread(services.of(self.family())),
            "protocol": self.protocol().name(),
            "probes_are_pods": self.addresses.are_pods,
        })
    }
}

/// Least, median, mean and most endpoints of an address, and how many have none.
pub fn spread<'a>(found: impl Iterator<Item = &'a FoundService>) -> serde_json::Value {
    let mut counts: Vec<usize> = found.map(|found| found.answers.len()).collect();
    counts.sort_unstable();
    let (Some(least), Some(most)) = (counts.first(), counts.last()) else { return serde_json::Value::Null };
    let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
    let middle = (counts[(counts.len() - 1) / 2] + counts[counts.len() / 2]) as f64 / 2.0;
    json!({
        "none": counts.iter().filter(|&&count| count == 0).count(),
        "least": least,
        "median": middle,
        "mean": (mean * 100.0).round() / 100.0,
        "most": most,
    })
}
