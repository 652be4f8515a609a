//! Standard output and standard error: the only place of the command line that writes to them. Either may be full, closed or a
//! terminal that is gone, and a run that has measured for hours must not end by that.

#![expect(clippy::disallowed_methods, reason = "here they are handled")]

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Stdout, Write, stderr, stdout};

/// Says something to the person, as a line on standard error. What nobody can read is not said.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// Whether what is said goes to a terminal.
pub(crate) fn are_messages_seen() -> bool {
    stderr().is_terminal()
}

/// Whether data go to a terminal.
pub(crate) fn are_data_seen() -> bool {
    stdout().is_terminal()
}

/// Standard output takes no more.
#[derive(Debug, thiserror::Error)]
#[error("standard output takes no more: {0}; give it a place that does")]
pub(crate) struct Unwritable(#[source] io::Error);

/// Standard output, for what a command is there to print. Its errors are [`Unwritable`].
pub(crate) struct Data(Stdout);

/// See [`Data`].
pub(crate) fn data() -> Data {
    Data(stdout())
}

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(unwritable)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(unwritable)
    }
}

/// The kind stays, by which writers know what to try again and that nobody reads any more.
fn unwritable(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::Interrupted => error,
        kind => io::Error::new(kind, Unwritable(error)),
    }
}

/// Whether an error says that standard output takes no more, and its kind.
pub(crate) fn unwritable_kind(error: &anyhow::Error) -> Option<ErrorKind> {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.find(|cause| cause.get_ref().is_some_and(|inner| inner.is::<Unwritable>())).map(io::Error::kind)
}

/// What was written, or that its reader had enough: then the rest is wanted by nobody, and no failure.
pub(crate) fn unless_unread(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// Prints a line about what has been done, such as where it lies. That it cannot be printed is said, and undoes nothing.
pub(crate) fn result(text: impl Display) {
    let mut out = data();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = unless_unread(written) {
        tell(format_args!("svcbench: {error}; it was: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn errors_of_standard_output_are_told_from_others() {
        let full = unwritable(io::Error::from(ErrorKind::StorageFull));
        let of_stdout = Err::<(), _>(full).context("printing").unwrap_err();
        assert_eq!(unwritable_kind(&of_stdout), Some(ErrorKind::StorageFull));
        let others = anyhow::Error::from(io::Error::from(ErrorKind::BrokenPipe));
        assert_eq!(unwritable_kind(&others), None);
        let again = unwritable(io::Error::from(ErrorKind::Interrupted));
        assert!(again.get_ref().is_none(), "writers try this again");
    }

    #[test]
    fn only_a_reader_that_has_enough_is_no_failure() {
        let broken = unwritable(io::Error::from(ErrorKind::BrokenPipe));
        assert!(unless_unread(Err(broken)).is_ok());
        assert!(unless_unread(Err(unwritable(io::Error::from(ErrorKind::StorageFull)))).is_err());
    }
}
