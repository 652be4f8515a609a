//! Other names of modules: what a soft dependency names is often an algorithm (`crc32c`), which several modules offer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::file::{fields, modinfo_section, normal, read};
use crate::guest::error::GuestError;

/// Names that built-in modules answer to (modules.builtin.modinfo: `crc32c_generic.alias=crc32c`, each ended by NUL).
pub(super) fn of_builtin(folder: &Path) -> BTreeSet<String> {
    // Only newer kernels have the file.
    let text = fs::read(folder.join("modules.builtin.modinfo")).unwrap_or_default();
    let aliases = fields(&text).filter(|(key, _)| key.ends_with(".alias"));
    aliases.map(|(_, alias)| normal(alias)).collect()
}

/// Names that other modules answer to, each with its modules: from modules.alias, where depmod has been, else from the
/// modules of algorithms themselves.
pub(super) fn of_files(
    folder: &Path,
    files: &BTreeMap<String, PathBuf>,
) -> Result<BTreeMap<String, Vec<String>>, GuestError> {
    let mut aliases = BTreeMap::<String, Vec<String>>::new();
    let mut add =
        |alias: &str, module: &str| aliases.entry(normal(alias)).or_default().push(module.to_owned());
    if let Ok(text) = fs::read_to_string(folder.join("modules.alias")) {
        for line in text.lines() {
            if let ["alias", alias, module] = line.split_whitespace().collect::<Vec<_>>()[..] {
                add(alias, &normal(module));
            }
        }
        return Ok(aliases);
    }
    let algorithms = ["crypto", "arch", "lib"].map(|part| folder.join("kernel").join(part));
    for (name, path) in files {
        if algorithms.iter().any(|part| path.starts_with(part)) {
            let contents = read(path)?;
            for (_, alias) in fields(modinfo_section(path, &contents)?).filter(|(key, _)| *key == "alias") {
                add(alias, name);
            }
        }
    }
    Ok(aliases)
}
