//! `svcbench serve`: a run's folder in the browser, read-only, on this machine only.
//!
//! A page of any other site may send requests to a port of this machine, and, by a name of its own that it lets point here,
//! read the answers (DNS rebinding). So only requests that name this machine's loopback are answered.

mod files;
mod fresh;
mod request;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use lab::stop::Stop;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::files::{Files, Found};
use self::fresh::{Fresh, INDEX};
use self::request::{Refusal, Request, parse};

/// Connections at a time: browsers have six each.
const MOST: usize = 32;
/// How long a client may take for its request, and for taking each part of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a look at whether somebody asked to stop may be put off.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Serves one folder.
pub struct Server {
    listener: TcpListener,
    port: u16,
    files: Files,
    fresh: Fresh,
}

/// What is sent back.
#[derive(Debug)]
struct Answer {
    code: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    None,
    Text(String),
    File(Found),
}

impl Server {
    /// Opens the folder and the port; 0: any that is free.
    ///
    /// # Errors
    /// If there is no run in the folder, or the port is taken.
    pub fn bind(folder: &Path, port: u16) -> anyhow::Result<Self> {
        let files = Files::open(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let fresh = Fresh::of(folder);
        anyhow::ensure!(
            fresh.is_run(),
            "{} holds no records.csv; name the folder of a run, as `svcbench run` printed it",
            folder.display()
        );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| {
            format!("cannot listen on port {port} of this machine; leave out --port to take one that is free")
        })?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port, files, fresh })
    }

    /// Where the report is.
    pub fn url(&self) -> String {
        format!("http://{}:{}/", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Answers until somebody asks to stop. `tell` hears of rebuilt reports, and of those that could not be.
    ///
    /// # Errors
    /// If the port cannot be waited for.
    pub fn run(&self, stop: &Stop, tell: &(dyn Fn(String) + Sync)) -> io::Result<()> {
        let open = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            while !stop.is_requested() {
                let mut waiting = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
                match poll(&mut waiting, PollTimeout::try_from(POLL_INTERVAL).unwrap_or(PollTimeout::ZERO)) {
                    Ok(0) | Err(nix::Error::EINTR) => continue,
                    Ok(_) => {}
                    Err(error) => return Err(error.into()),
                }
                // A client that has left again, or no descriptors for now: the next one may be luckier.
                let Ok((stream, _)) = self.listener.accept() else {
                    std::thread::sleep(Duration::from_millis(5));
                    continue;
                };
                if open.load(Ordering::Relaxed) >= MOST {
                    continue;
                }
                open.fetch_add(1, Ordering::Relaxed);
                let open = &open;
                scope.spawn(move || {
                    // Nobody is there to hear of a connection that broke.
                    let _ = self.converse(stream, stop, tell);
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Ok(())
        })
    }

    /// One request, one answer.
    fn converse(&self, mut stream: TcpStream, stop: &Stop, tell: &(dyn Fn(String) + Sync)) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(POLL_INTERVAL))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let deadline = Instant::now() + TIMEOUT;
        let mut bytes = Vec::new();
        let request = loop {
            match parse(&bytes, self.port) {
                Ok(None) => {}
                Ok(Some(request)) => break Ok(request),
                Err(refusal) => break Err(refusal),
            }
            if stop.is_requested() || Instant::now() > deadline {
                return Ok(());
            }
            let mut part = [0; 4096];
            match stream.read(&mut part) {
                Ok(0) => return Ok(()),
                Ok(length) => bytes.extend(part.iter().take(length)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        };
        let head = matches!(&request, Ok(Request { head: true, .. }));
        send(&mut stream, self.answer(request, tell), head, stop)?;
        // What the client still sends must be read, or closing would take the answer away from it.
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut rest = [0; 4096];
        for _ in 0..16 {
            if !matches!(stream.read(&mut rest), Ok(1..)) {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: Result<Request, Refusal>, tell: &(dyn Fn(String) + Sync)) -> Answer {
        let request = match request {
            Ok(request) => request,
            Err(refusal) => {
                let allow = (refusal.code == 405).then(|| ("Allow", "GET, HEAD".to_owned()));
                return Answer { headers: allow.into_iter().collect(), ..text(refusal.code, refusal.why) };
            }
        };
        let index = [INDEX.to_owned()];
        let path = if request.path.is_empty() { &index[..] } else { &request.path[..] };
        if path == index
            && let Some(message) = self.fresh.rebuild()
        {
            tell(message);
        }
        let found = match self.files.find(path) {
            Ok(Some(found)) => found,
            Ok(None) if path == index => {
                return text(
                    503,
                    "there is no report yet, and it could not be made; svcbench serve has printed why",
                );
            }
            Ok(None) => return text(404, "no such file in the folder of this run"),
            Err(_) => return text(500, "the file cannot be read"),
        };
        let headers = vec![("ETag", found.tag.clone()), ("Cache-Control", "no-cache".to_owned())];
        if request.knows(&found.tag) {
            return Answer { code: 304, headers, body: Body::None };
        }
        Answer { code: 200, headers, body: Body::File(found) }
    }
}

fn text(code: u16, words: &str) -> Answer {
    let headers = vec![("Cache-Control", "no-store".to_owned())];
    Answer { code, headers, body: Body::Text(format!("{words}\n")) }
}

/// Standard words of the codes that are sent (RFC 9110, section 15).
fn words(code: u16) -> &'static str {
    match code {
        200 => "OK",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// What pages may do: a report has its styles, scripts and figures inside, and needs nothing from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn send(stream: &mut TcpStream, answer: Answer, head: bool, stop: &Stop) -> io::Result<()> {
    let Answer { code, headers, body } = answer;
    let mut lines = format!(
        "HTTP/1.1 {code} {}\r\nConnection: close\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
         Cross-Origin-Resource-Policy: same-origin\r\nContent-Security-Policy: {POLICY}\r\n",
        words(code)
    );
    let kind = match &body {
        Body::None => None,
        Body::Text(words) => Some(("text/plain; charset=utf-8", words.len() as u64)),
        Body::File(found) => Some((found.kind, found.length)),
    };
    if let Some((kind, length)) = kind {
        lines += &format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n");
    }
    for (name, value) in headers {
        lines += &format!("{name}: {value}\r\n");
    }
    lines += "\r\n";
    stream.write_all(lines.as_bytes())?;
    match body {
        Body::Text(words) if !head => stream.write_all(words.as_bytes()),
        Body::File(found) if !head => {
            // Rows may be added meanwhile: no more than was promised.
            let mut file = found.file.take(found.length);
            let mut part = [0; 1 << 16];
            while !stop.is_requested() {
                let length = file.read(&mut part)?;
                if length == 0 {
                    break;
                }
                stream.write_all(part.get(..length).unwrap_or_default())?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
