//! The bytes of requests, made before the load begins.

use super::destination::Destination;
use super::settings::Load;
use super::workload::MessageFormat;
use super::{dns, frame, http};

/// A request's first bytes; frames go on with zeros.
const CHUNK: usize = 128 * 1024;

/// All requests of a load.
#[derive(Debug)]
pub(super) struct Requests {
    format: MessageFormat,
    /// Those of frames, or of HTTP destination by destination: one that another follows, and one that is the last of its connection.
    texts: Vec<[Box<[u8]>; 2]>,
    zeros: Box<[u8]>,
    length: usize,
}

impl Requests {
    pub(super) fn new(load: &Load) -> Requests {
        let format = load.workload.format();
        let (texts, length) = match format {
            MessageFormat::Frame => {
                let text = |last| {
                    let frame = frame::Request {
                        length: load.request_bytes(),
                        response: load.response_bytes(),
                        last,
                    };
                    let mut bytes = frame.head().to_vec();
                    bytes.resize(CHUNK.min(frame.length as usize), 0);
                    bytes.into_boxed_slice()
                };
                (vec![[text(false), text(true)]], load.request_bytes() as usize)
            }
            MessageFormat::Http => {
                let text = |destination: &Destination, keep_alive| {
                    http::request(destination.to(), keep_alive).into_boxed_slice()
                };
                (
                    load.destinations
                        .iter()
                        .map(|destination| [text(destination, true), text(destination, false)])
                        .collect(),
                    0,
                )
            }
            MessageFormat::Dns => (Vec::new(), dns::REQUEST_LENGTH),
        };
        let zeros = if length > CHUNK { vec![0; CHUNK] } else { Vec::new() };
        Requests { format, texts, zeros: zeros.into(), length }
    }

    /// How long a request to a target is, bytes.
    pub(super) fn length(&self, destination: usize, last: bool) -> usize {
        match self.format {
            MessageFormat::Http => self.texts[destination][usize::from(last)].len(),
            MessageFormat::Frame | MessageFormat::Dns => self.length,
        }
    }

    /// The bytes of a request behind the first `sent`, or some of them; not those of DNS, which have a number.
    pub(super) fn rest(&self, destination: usize, last: bool, sent: usize) -> &[u8] {
        let text = match self.format {
            MessageFormat::Http => &self.texts[destination][usize::from(last)],
            MessageFormat::Frame | MessageFormat::Dns => &self.texts[0][usize::from(last)],
        };
        match text.get(sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => &self.zeros[..self.zeros.len().min(self.length.saturating_sub(sent))],
        }
    }
}
