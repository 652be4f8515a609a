#![allow(clippy::unwrap_used, reason = "a test may stop")]

use std::fs;
use std::net::Shutdown;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::SystemTime;

use super::*;

const ROWS: &str = "run,block,order,mode,services,endpoints,position,workload,contenders,metric,unit,clock,kernel,hypervisor,n,min,\
                    p50,p90,p99,p999,max,mean,stddev,status,note,hist\n\
                    r,1,1,nftables,10,1,,append,0,rules,count,wall,6.1,none,1,7,7,7,7,7,7,7,0,ok,,\n";

/// A run's folder beside a secret.
struct Place {
    folder: tempfile::TempDir,
    messages: Mutex<Vec<String>>,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), messages: Mutex::default() };
        fs::write(place.folder.path().join("secret.txt"), "secret").unwrap();
        fs::create_dir_all(place.run().join("repeat")).unwrap();
        for (name, text) in [
            ("records.csv", ROWS),
            ("environment.json", "{}"),
            ("histograms.hlog", "#"),
            ("repeat/records.csv", "again"),
            (".hidden", "hidden"),
            ("a b.txt", "spaces"),
            ("odd.bin", "\u{0}"),
        ] {
            fs::write(place.run().join(name), text).unwrap();
        }
        symlink("../secret.txt", place.run().join("link.txt")).unwrap();
        symlink("records.csv", place.run().join("inner.csv")).unwrap();
        symlink("..", place.run().join("up")).unwrap();
        nix::unistd::mkfifo(&place.run().join("pipe.txt"), Mode::S_IRWXU).unwrap();
        place
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Answers to requests, each on a connection of its own; `HOST` stands for the right one.
    fn ask<const N: usize>(&self, requests: [&str; N]) -> [String; N] {
        let server = Server::bind(&self.run(), 0).unwrap();
        let (stop, port) = (Stop::new(), server.port);
        std::thread::scope(|scope| {
            let serving =
                scope.spawn(|| server.run(&stop, &|message| self.messages.lock().unwrap().push(message)));
            let answers = requests.map(|request| {
                let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
                let request = request.replace("HOST", &format!("Host: 127.0.0.1:{port}"));
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                String::from_utf8(answer).unwrap()
            });
            stop.request();
            serving.join().unwrap().unwrap();
            answers
        })
    }

    fn get(&self, path: &str) -> String {
        let [answer] = self.ask([&format!("GET {path} HTTP/1.1\r\nHOST\r\n\r\n")]);
        answer
    }
}

fn code(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let lines = answer.split("\r\n").take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(known, _)| *known == name)
        .map_or("", |(_, value)| value)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

use nix::sys::stat::Mode;

#[test]
fn files_of_the_run_are_served_with_their_types() {
    let place = Place::new();
    let answer = place.get("/records.csv");
    assert_eq!((code(&answer), body(&answer)), (200, ROWS));
    assert_eq!(field(&answer, "Content-Length"), ROWS.len().to_string());
    for (path, kind, text) in [
        ("/records.csv", "text/csv; charset=utf-8", ROWS),
        ("/environment.json", "application/json", "{}"),
        ("/histograms.hlog", "text/plain; charset=utf-8", "#"),
        ("/repeat/records.csv?x", "text/csv; charset=utf-8", "again"),
        ("/a%20b.txt", "text/plain; charset=utf-8", "spaces"),
        ("/odd.bin", "application/octet-stream", "\u{0}"),
    ] {
        let answer = place.get(path);
        assert_eq!(
            (code(&answer), field(&answer, "Content-Type"), body(&answer)),
            (200, kind, text),
            "{path}"
        );
        assert_eq!(field(&answer, "X-Content-Type-Options"), "nosniff");
    }
}

#[test]
fn nothing_beside_the_run_is_served() {
    let place = Place::new();
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/repeat/../../secret.txt",
        "/link.txt",
        "/up/secret.txt",
        "/inner.csv",
        "/.hidden",
        "/repeat",
        "/repeat/",
        "/pipe.txt",
        "/nothing.csv",
        "//secret.txt",
        "/records.csv/x",
    ] {
        let answer = place.get(path);
        assert_eq!(code(&answer), 404, "{path}: {answer}");
        assert!(!answer.contains("secret\n") && !body(&answer).contains("hidden"), "{path}: {answer}");
    }
}

#[test]
fn the_report_is_made_when_rows_are_newer_and_only_then() {
    let place = Place::new();
    let first = place.get("/");
    assert_eq!((code(&first), field(&first, "Content-Type")), (200, "text/html; charset=utf-8"));
    assert!(body(&first).contains("1 measured"), "{first}");
    assert_eq!(*place.messages.lock().unwrap(), ["report made anew: 1 rows measured"]);
    assert_eq!(place.get("/report.html"), first);
    assert_eq!(place.messages.lock().unwrap().len(), 1, "no rows are newer");
    let set = |rows: &str, seconds: u64| {
        let path = place.run().join("records.csv");
        fs::write(&path, rows).unwrap();
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(seconds)).unwrap();
    };
    set(&format!("{ROWS}{}", ROWS.lines().last().unwrap().replace("1,1,nft", "2,2,nft") + "\n"), 5);
    assert!(body(&place.get("/")).contains("2 measured"));
    set("broken", 10);
    let answer = place.get("/");
    assert!(code(&answer) == 200 && body(&answer).contains("2 measured"), "the old one stays");
    let message = place.messages.lock().unwrap().last().unwrap().clone();
    assert!(message.contains("could not be made anew") && message.contains("records.csv"), "{message}");
    fs::remove_file(place.run().join("report.html")).unwrap();
    assert_eq!(code(&place.get("/")), 503);
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let place = Place::new();
    let [get, head] = place
        .ask(["GET /records.csv HTTP/1.1\r\nHOST\r\n\r\n", "HEAD /records.csv HTTP/1.1\r\nHOST\r\n\r\n"]);
    assert_eq!(head, get.replace(ROWS, ""), "the same without the body");
    let tag = field(&get, "ETag");
    let request = format!("GET /records.csv HTTP/1.1\r\nHOST\r\nIf-None-Match: {tag}\r\n\r\n");
    let [answer] = place.ask([&request]);
    assert_eq!((code(&answer), field(&answer, "ETag"), body(&answer)), (304, tag, ""));
    fs::write(place.run().join("records.csv"), "other").unwrap();
    let [answer] = place.ask([&request]);
    assert_eq!((code(&answer), body(&answer)), (200, "other"));
}

#[test]
fn others_than_this_machine_and_other_methods_are_refused() {
    let place = Place::new();
    let [other, none, post, garbage] = place.ask([
        "GET /records.csv HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET /records.csv HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\n\r\nhello",
        "hello\r\n\r\n",
    ]);
    assert_eq!([&other, &none, &post, &garbage].map(|answer| code(answer)), [421, 400, 405, 400]);
    assert_eq!(field(&post, "Allow"), "GET, HEAD");
    assert!([other, none, post, garbage].iter().all(|answer| !answer.contains("nftables")));
    assert!(Server::bind(&place.run(), 0).unwrap().listener.local_addr().unwrap().ip().is_loopback());
}

#[test]
fn silent_clients_hold_up_nobody() {
    let place = Place::new();
    let server = Server::bind(&place.run(), 0).unwrap();
    let stop = Stop::new();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| server.run(&stop, &|_| ()));
        let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
        let silent: Vec<TcpStream> = (0..3).map(|_| connect()).collect();
        let mut half = connect();
        half.write_all(b"GET /records.csv HTTP/1.1\r\n").unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        let mut stream = connect();
        write!(stream, "GET /records.csv HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", server.port).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(body(&answer), ROWS);
        stop.request();
        serving.join().unwrap().unwrap();
        drop(silent);
    });
}

#[test]
fn a_folder_without_a_run_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let error = Server::bind(folder.path(), 0).err().unwrap().to_string();
    assert!(error.contains("no records.csv"), "{error}");
    assert!(Server::bind(&folder.path().join("none"), 0).is_err());
}
