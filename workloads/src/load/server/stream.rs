//! One TCP connection of the server: requests, one after another, and their answers.

use std::io::{IoSlice, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{MsgFlags, recv, sendmsg};

use super::content::Content;
use crate::load::frame::{self, MAGIC, SHORTEST_REQUEST, SHORTEST_RESPONSE};
use crate::load::http::{self, Head};

/// Room for the head of an answer and the address behind it.
const HEAD: usize = 160;
/// What is behind the head of an answer, piece by piece.
static SPACES: [u8; 64 * 1024] = [b' '; 64 * 1024];
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// nix has no name for it.
const MSG_MORE: MsgFlags = MsgFlags::from_bits_retain(nix::libc::MSG_MORE);

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    watched_for: EpollFlags,
    /// The head of a request that is not whole yet.
    held: Vec<u8>,
    /// `held` are requests that wait for room for the answer before them.
    blocked: bool,
    /// Bytes of the request that are still to come and say nothing.
    left: u64,
    /// The answer that belongs to the request, once its head is there.
    answer: Option<Answer>,
}

/// Where a connection stands after one look at it.
pub(super) enum State {
    /// The last answer is on its way.
    Closed,
    Broken,
    /// It waits for a request or the rest of it (`EPOLLIN`), or for room for the rest of an answer (`EPOLLOUT`).
    Waits(EpollFlags),
}

#[derive(Debug)]
struct Answer {
    head: [u8; HEAD],
    head_length: usize,
    filling: &'static [u8; 64 * 1024],
    /// Head and filling.
    length: u64,
    sent: u64,
    last: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Connection {
        Connection {
            stream,
            watched_for: EpollFlags::empty(),
            held: Vec::new(),
            blocked: false,
            left: 0,
            answer: None,
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn is_watched_for(&self, events: EpollFlags) -> bool {
        self.watched_for == events
    }

    pub(super) fn watched_for(&mut self, events: EpollFlags) {
        self.watched_for = events;
    }

    /// Reads once what there is, and answers what is complete; how many answers went. Never blocks.
    pub(super) fn advance(&mut self, content: &Content, scratch: &mut [u8]) -> (State, u64) {
        let mut answered = 0;
        let state = self.look(content, scratch, &mut answered);
        (state.unwrap_or(State::Waits(EpollFlags::EPOLLIN)), answered)
    }

    /// `None`: it waits for a request, or for the rest of one.
    fn look(&mut self, content: &Content, scratch: &mut [u8], answered: &mut u64) -> Option<State> {
        if self.left == 0
            && let Some(state) = self.send(answered)
        {
            return Some(state);
        }
        if self.blocked {
            self.blocked = false;
            let held = std::mem::take(&mut self.held);
            if let Some(state) = self.take(content, &held, answered) {
                return Some(state);
            }
        }
        let read = loop {
            match recv(self.stream.as_raw_fd(), scratch, MsgFlags::MSG_DONTWAIT) {
                Ok(0) if self.held.is_empty() && self.left == 0 => return Some(State::Closed),
                Ok(0) => return Some(State::Broken),
                Ok(read) => break read,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return None,
                Err(_) => return Some(State::Broken),
            }
        };
        self.take(content, &scratch[..read], answered)
    }

    /// Takes what was read.
    fn take(&mut self, content: &Content, mut rest: &[u8], answered: &mut u64) -> Option<State> {
        while !rest.is_empty() {
            if self.answer.is_none() {
                let Some(taken) = self.begin(content, rest) else { return Some(State::Broken) };
                rest = &rest[taken..];
            }
            let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
            self.left -= skipped as u64;
            rest = &rest[skipped..];
            if self.left == 0
                && let Some(state) = self.send(answered)
            {
                // What was read behind it has to wait, too.
                self.blocked = !rest.is_empty();
                self.held.extend_from_slice(rest);
                return Some(state);
            }
        }
        None
    }

    /// Reads the head of a request; how many of `bytes` that took. `None`: it is none.
    fn begin(&mut self, content: &Content, bytes: &[u8]) -> Option<usize> {
        let before = self.held.len();
        let whole = if before == 0 {
            bytes
        } else {
            self.held.extend_from_slice(bytes);
            &self.held
        };
        let name = || content.name.or_else(|| self.stream.local_addr().ok());
        let first = whole.len().min(MAGIC.len());
        let parsed = if whole[..first] == MAGIC[..first] {
            match whole.first_chunk::<{ SHORTEST_REQUEST as usize }>() {
                None => None,
                Some(head) => {
                    let request = frame::Request::parse(head)?;
                    let left = u64::from(request.length - SHORTEST_REQUEST);
                    Some((SHORTEST_REQUEST as usize, left, Answer::frame(request, name()?)))
                }
            }
        } else {
            match http::parse_request(whole) {
                Head::Bad => return None,
                Head::Part => None,
                Head::Whole(request, length) => {
                    Some((length, 0, Answer::http(name()?, content.padding, request.last)?))
                }
            }
        };
        match parsed {
            None => {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                Some(bytes.len())
            }
            Some((length, left, answer)) => {
                self.held.clear();
                self.left = left;
                self.answer = Some(answer);
                Some(length.saturating_sub(before))
            }
        }
    }

    /// Sends as much of the answer as the socket takes; `None`: it is gone, or there is none, and others may follow.
    /// `MSG_MORE` lets the last answer leave with the FIN that follows when the stream is dropped, as in any server that
    /// corks its responses (tcp(7), TCP_CORK), and wakes the client once.
    fn send(&mut self, answered: &mut u64) -> Option<State> {
        let answer = self.answer.as_mut()?;
        let mut flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        flags.set(MSG_MORE, answer.last);
        while answer.sent < answer.length {
            let head_length = answer.head_length as u64;
            let head = &answer.head[answer.sent.min(head_length) as usize..answer.head_length];
            let filled = answer.length - answer.sent.max(head_length);
            let filling = &answer.filling[..filled.min(answer.filling.len() as u64) as usize];
            let parts = [IoSlice::new(head), IoSlice::new(filling)];
            let parts = if head.is_empty() { &parts[1..] } else { &parts[..1 + usize::from(filled > 0)] };
            match sendmsg::<()>(self.stream.as_raw_fd(), parts, &[], flags, None) {
                Ok(sent) => answer.sent += sent as u64,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Some(State::Waits(EpollFlags::EPOLLOUT)),
                Err(_) => return Some(State::Broken),
            }
        }
        *answered += 1;
        let last = answer.last;
        self.answer = None;
        last.then_some(State::Closed)
    }
}

impl Answer {
    fn frame(request: frame::Request, endpoint: SocketAddr) -> Answer {
        let response = frame::Response { length: request.response, endpoint, last: request.last };
        let mut head = [0; HEAD];
        // The first zeros go with it, so that a small answer is one piece.
        let head_length = HEAD.min(response.length as usize);
        head[..SHORTEST_RESPONSE as usize].copy_from_slice(&response.head());
        let length = response.length.into();
        Answer { head, head_length, filling: &ZEROS, length, sent: 0, last: request.last }
    }

    fn http(endpoint: SocketAddr, padding: usize, last: bool) -> Option<Answer> {
        let mut head = [0; HEAD];
        let head_length = http_head(&mut head, endpoint, padding, last)?;
        let length = (head_length + padding) as u64;
        Some(Answer { head, head_length, filling: &SPACES, length, sent: 0, last })
    }
}

/// Writes the answer that names `endpoint`, up to the padding behind it; its length.
fn http_head(head: &mut [u8; HEAD], endpoint: SocketAddr, padding: usize, last: bool) -> Option<usize> {
    // The longest address, of IPv6 with a scope, is 58 bytes long.
    let mut name = [0; 58];
    let mut rest = &mut name[..];
    write!(rest, "{endpoint}").ok()?;
    let length = 58 - rest.len();
    let connection = if last { "Connection: close\r\n" } else { "" };
    let mut rest = &mut head[..];
    write!(rest, "HTTP/1.1 200 OK\r\n{connection}Content-Length: {}\r\n\r\n", length + padding).ok()?;
    rest.write_all(&name[..length]).ok()?;
    Some(HEAD - rest.len())
}

/// The length of an HTTP answer to the last request of a connection.
pub(super) fn http_length(endpoint: SocketAddr, padding: usize) -> usize {
    http_head(&mut [0; HEAD], endpoint, padding, true).map_or(0, |length| length + padding)
}
