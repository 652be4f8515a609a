//! JSON: one document, or several one after another.

use std::io::Read;

use serde::de::DeserializeSeed;
use serde_json::Deserializer;
use serde_json::error::Category;

use super::limits::Failure;
use super::stream::{Document, Stream};

/// Reads every document.
pub(super) fn read(reader: impl Read, stream: &mut Stream) -> Result<(), Failure> {
    // Nesting is bounded by serde_json, at 128.
    let mut documents = Deserializer::from_reader(reader);
    loop {
        Document(stream).deserialize(&mut documents).map_err(failure)?;
        match documents.end() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_io() => return Err(failure(error)),
            // Something else begins.
            Err(_) => stream.next_document(),
        }
    }
}

fn failure(error: serde_json::Error) -> Failure {
    match error.classify() {
        Category::Io => Failure::Read(error.into()),
        _ => Failure::Syntax(error.to_string()),
    }
}
