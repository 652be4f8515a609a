//! What the benches share.

/// Says, so that nobody overlooks it, that something was not measured. Not a failure: the exit code stays 0.
pub(crate) fn skipped(what: &str, why: &str) {
    let rule = "!".repeat(100);
    eprintln!("\n{rule}\n!!  SKIPPED, NOT MEASURED: {what}");
    for line in why.lines() {
        eprintln!("!!  {}", line.trim());
    }
    eprintln!("{rule}\n");
}
