//! From a file or standard input to objects: what it is, how large it may be, and in which language it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use super::error::ClusterError;
use super::limits::{Exceeded, Failure, LIMITS, Limits, MAX_BYTES, Meter, Metered};
use super::objects::Objects;
use super::stream::Stream;
use super::{json, yaml};

/// Reads every object.
pub(super) fn read(path: &Path) -> Result<Objects, ClusterError> {
    if path == Path::new("-") {
        return read_from(io::stdin().lock(), "standard input", LIMITS);
    }
    let file = path.display().to_string();
    let failed = |source| ClusterError::Read { file: file.clone(), source };
    let opened = File::open(path).map_err(failed)?;
    let length = opened.metadata().map_err(failed)?.len();
    if length > MAX_BYTES {
        return Err(ClusterError::TooLarge { what: format!("{} MiB", length >> 20), file });
    }
    read_from(opened, &file, LIMITS)
}

/// Reads every object of a stream.
pub(super) fn read_from(reader: impl Read, file: &str, limits: Limits) -> Result<Objects, ClusterError> {
    let failed = |source| ClusterError::Read { file: file.to_owned(), source };
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let start = reader.fill_buf().map_err(failed)?;
    if start.is_empty() {
        return Err(ClusterError::Nothing { file: file.to_owned(), what: "it is empty" });
    }
    if start.starts_with(&[0xff, 0xfe]) || start.starts_with(&[0xfe, 0xff]) {
        let what = "it is UTF-16, as PowerShell's `>` writes; UTF-8 is read (`| Out-File -Encoding utf8`)";
        return Err(ClusterError::Nothing { file: file.to_owned(), what });
    }
    let bom = start.starts_with(b"\xef\xbb\xbf");
    if bom {
        reader.consume(3);
    }
    let start = reader.fill_buf().map_err(failed)?;
    let is_json = matches!(start.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['));
    let meter = Rc::new(Meter::new(limits));
    let mut stream = Stream::new(Rc::clone(&meter));
    let outcome = if is_json {
        json::read(Metered { reader, meter: Rc::clone(&meter) }, &mut stream)
    } else {
        yaml::read(Metered { reader, meter: Rc::clone(&meter) }, &mut stream)
    };
    match outcome {
        Ok(()) => {}
        // What was found wrong comes before what the reader made of it.
        Err(_) if stream.problem.is_some() => {}
        Err(error) => return Err(explain(&meter, error, file, &stream, is_json)),
    }
    let Stream { objects, problem, .. } = stream;
    match problem {
        Some(problem) => Err(problem.within(file)),
        None if objects.is_without_services() => {
            Err(ClusterError::Nothing { file: file.to_owned(), what: "there is no Service in it" })
        }
        None => Ok(objects.of_file(file)),
    }
}

/// Which error a failure is: the meter knows whether it asked for too much.
fn explain(meter: &Meter, failure: Failure, file: &str, stream: &Stream, is_json: bool) -> ClusterError {
    let file = file.to_owned();
    let place = stream.position.before(None);
    match (meter.exceeded.get(), failure) {
        (Some(Exceeded::Total), _) => {
            ClusterError::TooLarge { file, what: format!("more than {} MiB", meter.limits.total >> 20) }
        }
        (Some(Exceeded::Object), _) => {
            let problem =
                format!("longer than {} MiB; no object of Kubernetes is", meter.limits.object >> 20);
            ClusterError::Content { file, place, problem }
        }
        (None, Failure::Read(source)) => ClusterError::Read { file, source },
        (None, Failure::Syntax(message)) => {
            ClusterError::Syntax { file, place, format: if is_json { "JSON" } else { "YAML" }, message }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: impl Read, total: u64) -> String {
        match read_from(input, "FILE", Limits { total, object: 1 << 20 }) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_stream_that_does_not_end_is_left() {
        for start in [r#"{"items": ["#, "items:\n"] {
            let item =
                if start.starts_with('{') { "{\"kind\": \"ConfigMap\"}," } else { "- kind: ConfigMap\n" };
            let endless = start.as_bytes().chain(Endless(item.as_bytes(), 0));
            assert!(refused(endless, 2 << 20).starts_with("FILE: more than 2 MiB; at most"), "{start}");
        }
    }

    #[test]
    fn an_object_that_does_not_end_is_left() {
        for (start, item) in [
            (r#"{"items": [{"kind": ""#, "x"),
            (r#"{"items": [{"kind": ["#, "[],"),
            ("items:\n- kind: \"", "x"),
            ("items:\n- kind:\n", "  - []\n"),
        ] {
            let endless = start.as_bytes().chain(Endless(item.as_bytes(), 0));
            let expected = "FILE: items[0]: longer than 1 MiB; no object of Kubernetes is";
            assert_eq!(refused(endless, MAX_BYTES), expected, "{start}");
        }
    }

    /// The same again and again.
    struct Endless(&'static [u8], usize);

    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            for byte in into.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(into.len())
        }
    }
}
