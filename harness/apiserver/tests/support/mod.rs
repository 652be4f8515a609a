//! A client that is no library's, so that what is sent is seen byte by byte.

#![allow(dead_code, reason = "each test program uses some of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use apiserver::{Options, Server};
use serde_json::Value;

/// Only hangs take so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// A server on the loopback.
pub(crate) fn server(options: Options) -> Server {
    Server::start(TcpListener::bind("127.0.0.1:0").unwrap(), options).unwrap()
}

/// Waits until something holds.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// That it is a `Status` with this reason; its message.
    #[track_caller]
    pub(crate) fn status(&self, code: u16, reason: &str) -> String {
        let status = self.json();
        assert_eq!(
            (self.code, &status["kind"], &status["reason"], &status["code"], &status["status"]),
            (code, &"Status".into(), &reason.into(), &code.into(), &"Failure".into()),
            "{status}"
        );
        status["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

pub(crate) fn get(server: &Server, path: &str) -> Answer {
    request(server, "GET", path, "", b"")
}

/// A GET whose answer is fine, as JSON.
#[track_caller]
pub(crate) fn fetch(server: &Server, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(answer.code, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

/// Headers end with CRLF each.
pub(crate) fn request(server: &Server, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
    let mut stream = connect(server.address());
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: test/1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut lines = Lines::new(stream);
    let (code, head) = lines.head();
    let mut body = Vec::new();
    match lines.chunked {
        true => while lines.chunk(&mut body) {},
        false => {
            lines.reader.read_to_end(&mut body).unwrap();
        }
    }
    Answer { code, head, body }
}

/// A watch: its events, one after another.
pub(crate) struct Lines {
    reader: BufReader<TcpStream>,
    chunked: bool,
    bytes: Vec<u8>,
}

impl Lines {
    fn new(stream: TcpStream) -> Self {
        Self { reader: BufReader::new(stream), chunked: false, bytes: Vec::new() }
    }

    fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.reader.read_line(&mut head).unwrap() > 0, "it ended in {head:?}");
        }
        self.chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        (head[9..12].parse().unwrap(), head)
    }

    /// Reads one chunk; false at the end, be it said or a broken connection.
    fn chunk(&mut self, into: &mut Vec<u8>) -> bool {
        let mut size = String::new();
        match self.reader.read_line(&mut size) {
            Ok(read) if read > 0 => {}
            _ => return false,
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).unwrap();
        into.extend_from_slice(&chunk[..size]);
        size > 0
    }

    /// The next event; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let mut bytes = std::mem::take(&mut self.bytes);
            let more = self.chunk(&mut bytes);
            self.bytes = bytes;
            if !more {
                assert!(self.bytes.is_empty());
                return None;
            }
        }
    }

    /// Type, name and resource version of the next event.
    pub(crate) fn event(&mut self) -> Option<(String, String, u64)> {
        let event = self.next()?;
        let metadata = &event["object"]["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rv = text(&metadata["resourceVersion"]).parse().unwrap_or(0);
        Some((text(&event["type"]), text(&metadata["name"]), rv))
    }
}

/// Begins a watch.
pub(crate) fn watch(server: &Server, path: &str) -> Lines {
    let mut stream = connect(server.address());
    let separator = if path.contains('?') { '&' } else { '?' };
    let head =
        format!("GET {path}{separator}watch=true HTTP/1.1\r\nHost: x\r\nUser-Agent: watcher/1\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut lines = Lines::new(stream);
    let (code, head) = lines.head();
    assert_eq!(code, 200, "{head}");
    lines
}
