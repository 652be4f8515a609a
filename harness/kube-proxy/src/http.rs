//! One request to a server that is near: an answer in one piece, with a limit.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest answer that is read: metrics of kube-proxy are some 200 KB.
const LONGEST: usize = 16 << 20;
const MOST_FIELDS: usize = 64;

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The answer is not there in time.
    #[error("no whole answer within {0:?}")]
    OutOfTime(Duration),
    /// What comes is no HTTP, or cut off.
    #[error("the answer is no HTTP: {0}")]
    Malformed(String),
    /// The answer is too long.
    #[error("the answer is longer than {LONGEST} bytes")]
    TooLong,
    /// Another status than 200.
    #[error("status {0}")]
    Status(u16),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Asks over a connection. HTTP/1.0, so that the answer ends with the connection and is never in chunks.
pub(crate) fn get(
    mut stream: TcpStream,
    host: SocketAddr,
    path: &str,
    limit: Duration,
) -> Result<Answer, HttpError> {
    let begun = Instant::now();
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: */*\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = limit.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(HttpError::OutOfTime(limit))?))?;
        match stream.read(&mut buffer) {
            Ok(0) => return parse(&bytes),
            Ok(count) if bytes.len() + count > LONGEST => return Err(HttpError::TooLong),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(HttpError::OutOfTime(limit));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Answer, HttpError> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let malformed = |why: &dyn ToString| HttpError::Malformed(why.to_string());
    let length = match head.parse(bytes).map_err(|error| malformed(&error))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Err(malformed(&"it ends within its head")),
    };
    let body = &bytes[length..];
    let promised = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    if let Some(promised) = promised {
        let promised: Option<usize> =
            std::str::from_utf8(promised.value).ok().and_then(|value| value.parse().ok());
        if promised != Some(body.len()) {
            return Err(malformed(&format!("its body has {} bytes, not as many as it says", body.len())));
        }
    }
    Ok(Answer { status: head.code.unwrap_or_default(), body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn answer(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(Answer { status, body }) => format!("{status} {}", String::from_utf8(body).unwrap()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn answers_are_whole_or_refused() {
        assert_eq!(answer("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"), "200 ok");
        assert_eq!(answer("HTTP/1.1 503 Service Unavailable\r\n\r\nno"), "503 no");
        assert!(answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok").contains("not as many"));
        assert!(answer("HTTP/1.0 200 OK\r\n").contains("within its head"));
        assert!(answer("SSH-2.0-OpenSSH\r\n").contains("no HTTP"));
    }

    #[test]
    fn a_server_that_says_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        let limit = Duration::from_millis(50);
        assert!(matches!(get(stream, address, "/", limit), Err(HttpError::OutOfTime(_))));
    }

    #[test]
    fn a_server_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 14];
            stream.read_exact(&mut asked).unwrap();
            // The rest is read, so that closing resets nothing.
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhealthy").unwrap();
            asked
        });
        let answer = get(TcpStream::connect(address).unwrap(), address, "/healthz", Duration::from_secs(60));
        assert_eq!(answer.unwrap(), Answer { status: 200, body: b"healthy".to_vec() });
        assert_eq!(server.join().unwrap(), b"GET /healthz H");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>, text in "\\PC{0,80}") {
            let _ = parse(&bytes);
            let _ = parse(format!("HTTP/1.0 200 OK\r\nContent-Length: {text}\r\n\r\n").as_bytes());
        }
    }
}
