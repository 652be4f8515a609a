//! HTTP/1.1 (RFC 9112), as little of it as a load needs: GET, and responses whose end can be known.

use std::net::SocketAddr;
use std::str;

/// The longest head that is read, bytes.
pub(super) const LONGEST_HEAD: usize = 16 * 1024;
/// Headers of a message.
const HEADERS: usize = 64;

/// A request for `/`.
pub(super) fn request(host: SocketAddr, keep_alive: bool) -> Vec<u8> {
    let connection = if keep_alive { "" } else { "Connection: close\r\n" };
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n{connection}\r\n").into_bytes()
}

/// What stands at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Head<T> {
    /// A head, and its length in bytes.
    Whole(T, usize),
    /// The beginning of one.
    Part,
    /// Something else, or a head that is too long.
    Bad,
}

/// What matters of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    /// It is the last of its connection.
    pub(super) last: bool,
}

/// Where a response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// After so many bytes.
    Length(u64),
    /// With a chunk of no bytes.
    Chunked,
    /// With the connection.
    ToEnd,
}

/// What matters of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Body,
    /// No other request can follow on this connection.
    pub(super) last: bool,
}

fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|&byte| byte == b',').any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Reads the head of a request. Requests with a body are not read: nobody here sends any.
pub(super) fn parse_request(bytes: &[u8]) -> Head<Request> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let mut last = request.version == Some(0);
            for header in request.headers.iter() {
                if header.name.eq_ignore_ascii_case("connection") {
                    last =
                        has_token(header.value, "close") || (last && !has_token(header.value, "keep-alive"));
                }
            }
            Head::Whole(Request { last }, length)
        }
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => Head::Part,
        _ => Head::Bad,
    }
}

/// Reads the head of a response to a GET.
pub(super) fn parse_response(bytes: &[u8]) -> Head<Response> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let Some(status) = response.code else { return Head::Bad };
            let (mut body, mut last) = (Body::ToEnd, response.version == Some(0));
            for header in response.headers.iter() {
                let is = |name| header.name.eq_ignore_ascii_case(name);
                if is("connection") {
                    last =
                        has_token(header.value, "close") || (last && !has_token(header.value, "keep-alive"));
                } else if is("transfer-encoding") && has_token(header.value, "chunked") {
                    body = Body::Chunked;
                } else if is("content-length") && body != Body::Chunked {
                    let Some(length) =
                        str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok())
                    else {
                        return Head::Bad;
                    };
                    body = Body::Length(length);
                }
            }
            // These have none (RFC 9112, section 6.3).
            if status < 200 || status == 204 || status == 304 {
                body = Body::Length(0);
            }
            Head::Whole(Response { status, body, last: last || body == Body::ToEnd }, length)
        }
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => Head::Part,
        _ => Head::Bad,
    }
}

/// Follows a chunked body (RFC 9112, section 7.1) to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Chunks {
    state: Chunk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chunk {
    /// In a line with a size.
    Size { size: u64, digits: u8, extension: bool },
    /// In data, and the CRLF behind it.
    Data { left: u64 },
    /// Behind the last chunk, at a trailer or at the empty line that ends all; `empty`: nothing in this line so far.
    Trailer { empty: bool },
}

impl Default for Chunk {
    fn default() -> Chunk {
        Chunk::Size { size: 0, digits: 0, extension: false }
    }
}

impl Chunks {
    /// Takes bytes: how many of them the body has, and whether it ends there. `None`: it is none.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Option<(usize, bool)> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match &mut self.state {
                Chunk::Data { left } => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    *left -= taken as u64;
                    at += taken;
                    if *left == 0 {
                        self.state = Chunk::default();
                    }
                    continue;
                }
                Chunk::Size { size, digits, extension } => match byte {
                    b'\n' if *digits == 0 => return None,
                    b'\n' if *size == 0 => self.state = Chunk::Trailer { empty: true },
                    b'\n' => self.state = Chunk::Data { left: size.checked_add(2)? },
                    b'\r' => {}
                    _ if *extension => {}
                    b';' | b' ' | b'\t' => *extension = true,
                    _ => {
                        let digit = char::from(byte).to_digit(16)?;
                        *size = size.checked_mul(16)?.checked_add(digit.into())?;
                        *digits = digits.saturating_add(1);
                    }
                },
                Chunk::Trailer { empty } => match byte {
                    b'\n' if *empty => return Some((at + 1, true)),
                    b'\n' => *empty = true,
                    b'\r' => {}
                    _ => *empty = false,
                },
            }
            at += 1;
        }
        Some((at, false))
    }
}

/// Who answered: the first word of the body, if it is an address.
pub(super) fn endpoint(body: &[u8]) -> Option<SocketAddr> {
    str::from_utf8(body).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_say_whether_they_are_the_last() {
        let host = "10.0.0.1:80".parse().unwrap();
        for keep_alive in [false, true] {
            let bytes = request(host, keep_alive);
            assert_eq!(parse_request(&bytes), Head::Whole(Request { last: !keep_alive }, bytes.len()));
            for length in 0..bytes.len() {
                assert_eq!(parse_request(&bytes[..length]), Head::Part);
            }
        }
        assert!(matches!(parse_request(b"GET / HTTP/1.0\r\n\r\n"), Head::Whole(Request { last: true }, 18)));
        let kept = b"GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n";
        assert!(matches!(parse_request(kept), Head::Whole(Request { last: false }, _)));
        assert_eq!(parse_request(b"\x01\x02"), Head::Bad);
        assert_eq!(parse_request(&[b'a'; LONGEST_HEAD]), Head::Bad);
    }

    #[test]
    fn the_end_of_a_response_is_found_in_its_head() {
        let found = |text: &str| match parse_response(text.as_bytes()) {
            Head::Whole(Response { status, body, last }, length) => Some((status, body, last, length)),
            _ => None,
        };
        assert_eq!(
            found("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            Some((200, Body::Length(5), false, 38))
        );
        assert_eq!(found("HTTP/1.1 404 No\r\nconnection: close\r\n\r\n").unwrap().1, Body::ToEnd);
        let chunked = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
        assert_eq!(found(chunked).unwrap().1, Body::Chunked);
        assert_eq!(found("HTTP/1.1 204 Gone\r\n\r\n").unwrap().1, Body::Length(0));
        assert_eq!(found("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), None);
        assert!(found("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").unwrap().2);
    }

    #[test]
    fn chunks_end_with_one_of_no_bytes() {
        let body = b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: yes\r\n\r\nnext";
        let end = body.len() - 4;
        for step in [1, 2, 7, body.len()] {
            let (mut chunks, mut taken) = (Chunks::default(), 0);
            let ended = body.chunks(step).any(|part| {
                let (more, ended) = chunks.take(part).unwrap();
                taken += more;
                ended
            });
            assert!(ended);
            assert_eq!(taken, end, "in steps of {step}");
        }
        assert_eq!(Chunks::default().take(b"x\r\n"), None);
        assert_eq!(Chunks::default().take(b"\r\n"), None);
        assert_eq!(
            Chunks::default().take(b"ffffffffffffffff\r\n"),
            None,
            "too long for the line end behind it"
        );
    }

    proptest! {
        #[test]
        fn anything_may_come(bytes: Vec<u8>) {
            let _ = (parse_request(&bytes), parse_response(&bytes), endpoint(&bytes));
            if let Some((taken, _)) = Chunks::default().take(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }

        #[test]
        fn responses_in_parts_are_parts(length in 0_u64..100, cut in 0_usize..37) {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            prop_assert_eq!(parse_response(&text.as_bytes()[..cut]), Head::Part);
        }
    }
}
