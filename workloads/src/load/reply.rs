//! Reads responses from a stream, in whatever pieces they come.

use std::net::SocketAddr;

use super::frame::{self, SHORTEST_RESPONSE};
use super::http::{self, Body, Chunks, Head};
use super::workload::MessageFormat;

/// What of a body is kept, for the name of who answered; an address has at most 58 bytes.
const NAME: usize = 64;

/// The response that a flow waits for.
#[derive(Debug, Default)]
pub(super) struct Reply {
    state: State,
    /// A head that is not whole yet, then the beginning of the body. Keeps its memory.
    held: Vec<u8>,
    endpoint: Option<SocketAddr>,
    last: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Left(u64),
    Chunked(Chunks),
    ToEnd,
    Whole,
}

/// It is no response of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Garbled;

impl Reply {
    /// Waits for the next one.
    pub(super) fn clear(&mut self) {
        self.state = State::Head;
        self.held.clear();
        self.endpoint = None;
        self.last = false;
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Whole
    }

    /// Who gave it, once it is whole, if it says so.
    pub(super) fn endpoint(&self) -> Option<SocketAddr> {
        self.endpoint
    }

    /// Whether the server closes the connection behind it.
    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    /// Takes bytes of it: how many. Those left belong to the next one.
    pub(super) fn take(&mut self, format: MessageFormat, bytes: &[u8]) -> Result<usize, Garbled> {
        let mut taken = 0;
        if self.state == State::Head {
            taken = match format {
                MessageFormat::Frame => self.frame_head(bytes)?,
                MessageFormat::Http | MessageFormat::Dns => self.http_head(bytes)?,
            };
        }
        let body = &bytes[taken..];
        let more = match &mut self.state {
            State::Head => 0,
            State::Whole => return Ok(taken),
            State::Left(left) => {
                let more = usize::try_from(*left).unwrap_or(usize::MAX).min(body.len());
                *left -= more as u64;
                more
            }
            State::Chunked(chunks) => {
                // Framing is in the way of a name: chunked answers are those of other servers.
                let (more, ended) = chunks.take(body).ok_or(Garbled)?;
                if ended {
                    self.state = State::Whole;
                }
                return Ok(taken + more);
            }
            State::ToEnd => body.len(),
        };
        if format == MessageFormat::Http {
            self.keep(&body[..more]);
        }
        if self.state == State::Left(0) {
            self.finish(format);
        }
        Ok(taken + more)
    }

    /// The connection has ended: whether that makes it whole.
    pub(super) fn end(&mut self, format: MessageFormat) -> bool {
        if self.state == State::ToEnd {
            self.finish(format);
        }
        self.is_whole()
    }

    fn finish(&mut self, format: MessageFormat) {
        self.state = State::Whole;
        if format == MessageFormat::Http {
            self.endpoint = http::endpoint(&self.held);
        }
    }

    fn keep(&mut self, body: &[u8]) {
        let room = NAME.saturating_sub(self.held.len());
        self.held.extend_from_slice(&body[..room.min(body.len())]);
    }

    fn frame_head(&mut self, bytes: &[u8]) -> Result<usize, Garbled> {
        const LENGTH: usize = SHORTEST_RESPONSE as usize;
        let mut taken = LENGTH;
        let head: &[u8; LENGTH] = match bytes.first_chunk() {
            Some(head) if self.held.is_empty() => head,
            _ => {
                taken = (LENGTH - self.held.len()).min(bytes.len());
                self.held.extend_from_slice(&bytes[..taken]);
                match self.held.first_chunk() {
                    Some(head) => head,
                    None => return Ok(taken),
                }
            }
        };
        let response = frame::Response::parse(head).ok_or(Garbled)?;
        self.endpoint = Some(response.endpoint);
        self.last = response.last;
        self.state = State::Left(u64::from(response.length - SHORTEST_RESPONSE));
        Ok(taken)
    }

    fn http_head(&mut self, bytes: &[u8]) -> Result<usize, Garbled> {
        let before = self.held.len();
        let parsed = if before == 0 {
            http::parse_response(bytes)
        } else {
            self.held.extend_from_slice(bytes);
            http::parse_response(&self.held)
        };
        match parsed {
            Head::Bad => Err(Garbled),
            Head::Part => {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                Ok(bytes.len())
            }
            Head::Whole(response, length) => {
                self.held.clear();
                self.last = response.last;
                // 1xx: another head follows.
                self.state = match response.body {
                    _ if response.status < 200 => State::Head,
                    Body::Length(length) => State::Left(length),
                    Body::Chunked => State::Chunked(Chunks::default()),
                    Body::ToEnd => State::ToEnd,
                };
                Ok(length.saturating_sub(before))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(length: u32, last: bool) -> (Vec<u8>, SocketAddr) {
        let endpoint: SocketAddr = "[fd00::7]:8080".parse().unwrap();
        let mut bytes = frame::Response { length, endpoint, last }.head().to_vec();
        bytes.resize(length as usize, 0);
        (bytes, endpoint)
    }

    /// Feeds `bytes` in parts: how many were taken until it was whole.
    fn feed(reply: &mut Reply, format: MessageFormat, bytes: &[u8], part: usize) -> Result<usize, Garbled> {
        let mut all = 0;
        for part in bytes.chunks(part) {
            let taken = reply.take(format, part)?;
            all += taken;
            if reply.is_whole() {
                break;
            }
            // A head of an interim response may end within what was given.
            if taken < part.len() {
                all += reply.take(format, &part[taken..])?;
            }
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(length in SHORTEST_RESPONSE..300, part in 1_usize..400, last: bool) {
            let (mut bytes, endpoint) = frame(length, last);
            bytes.extend(b"next");
            let mut reply = Reply::default();
            prop_assert_eq!(feed(&mut reply, MessageFormat::Frame, &bytes, part), Ok(length as usize));
            prop_assert_eq!((reply.endpoint(), reply.is_last()), (Some(endpoint), last));
            let body = format!("10.0.0.1:80{}", " ".repeat(length as usize));
            for head in [
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()),
                "HTTP/1.1 200 OK\r\n\r\n".into(),
            ] {
                let mut reply = Reply::default();
                let text = format!("{head}{body}");
                prop_assert_eq!(feed(&mut reply, MessageFormat::Http, text.as_bytes(), part), Ok(text.len()));
                prop_assert!(reply.end(MessageFormat::Http));
                prop_assert_eq!(reply.endpoint(), Some("10.0.0.1:80".parse().unwrap()));
            }
        }

        #[test]
        fn anything_may_come(bytes: Vec<u8>, part in 1_usize..9) {
            for format in [MessageFormat::Frame, MessageFormat::Http] {
                let _ = feed(&mut Reply::default(), format, &bytes, part);
            }
        }
    }

    #[test]
    fn a_cut_response_is_not_whole() {
        let (bytes, _) = frame(100, true);
        let mut reply = Reply::default();
        reply.take(MessageFormat::Frame, &bytes[..99]).unwrap();
        assert!(!reply.is_whole() && !reply.end(MessageFormat::Frame));
        reply.clear();
        assert_eq!(
            reply.take(MessageFormat::Frame, b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"),
            Err(Garbled)
        );
    }
}
