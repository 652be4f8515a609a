//! The bytes of requests, made before the load begins.

use super::aim::Aim;
use super::frame;
use super::workload::{Protocol, Workload};
use super::{Load, dns, http};

/// A request's first bytes; frames go on with zeros.
const CHUNK: usize = 128 * 1024;

/// All requests of a load.
#[derive(Debug)]
pub(super) struct Requests {
    protocol: Protocol,
    /// Those of frames, or of HTTP aim by aim: one that another follows, and one that is the last of its connection.
    texts: Vec<[Box<[u8]>; 2]>,
    zeros: Box<[u8]>,
    length: usize,
}

impl Requests {
    pub(super) fn new(load: &Load) -> Requests {
        let protocol = load.workload.protocol();
        let (texts, length) = match protocol {
            Protocol::Frame => {
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
            Protocol::Http => {
                let text = |aim: &Aim, keep_alive| http::request(aim.to(), keep_alive).into_boxed_slice();
                (load.aims.iter().map(|aim| [text(aim, true), text(aim, false)]).collect(), 0)
            }
            Protocol::Dns => (Vec::new(), dns::REQUEST_LENGTH),
        };
        let zeros = if length > CHUNK { vec![0; CHUNK] } else { Vec::new() };
        Requests { protocol, texts, zeros: zeros.into(), length }
    }

    /// How long a request to a target is, bytes.
    pub(super) fn length(&self, aim: usize, last: bool) -> usize {
        match self.protocol {
            Protocol::Http => self.texts[aim][usize::from(last)].len(),
            Protocol::Frame | Protocol::Dns => self.length,
        }
    }

    /// The bytes of a request behind the first `sent`, or some of them; not those of DNS, which have a number.
    pub(super) fn rest(&self, aim: usize, last: bool, sent: usize) -> &[u8] {
        let text = match self.protocol {
            Protocol::Http => &self.texts[aim][usize::from(last)],
            Protocol::Frame | Protocol::Dns => &self.texts[0][usize::from(last)],
        };
        match text.get(sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => &self.zeros[..self.zeros.len().min(self.length.saturating_sub(sent))],
        }
    }
}

/// The default length of a request in bytes.
pub(super) const fn default_request(workload: Workload) -> u32 {
    match workload {
        Workload::TcpStream => 1 << 20,
        _ => 64,
    }
}
