//! From bytes to a request that may be answered.

/// No browser sends more for a page: longer heads are refused.
const LONGEST: usize = 16 << 10;
/// Header fields of a request.
const MOST_FIELDS: usize = 64;

/// A request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Whether only the head of the answer is wanted.
    pub head: bool,
    /// Names from the folder down to the file; none: the report. None of them can lead elsewhere.
    pub path: Vec<String>,
    /// Entity tags that the client has, as it wrote them.
    known: Option<String>,
}

impl Request {
    /// Whether the client has the version with this tag (RFC 9110, section 13.1.2; weakly compared).
    pub(super) fn knows(&self, tag: &str) -> bool {
        let known = self.known.as_deref().unwrap_or_default();
        known.trim() == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Status code.
    pub code: u16,
    /// In words.
    pub why: &'static str,
}

const fn refuse<T>(code: u16, why: &'static str) -> Result<T, Refusal> {
    Err(Refusal { code, why })
}

/// What the bytes that a client has sent so far ask of the server on `port`; None: more must come.
pub(super) fn parse(bytes: &[u8], port: u16) -> Result<Option<Request>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return refuse(431, "the head of the request is too long");
        }
        Err(_) => return refuse(400, "this is no HTTP request"),
    }
    let values = |name: &'static str| {
        let named = head.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| std::str::from_utf8(field.value).unwrap_or_default())
    };
    let mut hosts = values("host");
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return refuse(400, "a request has exactly one Host");
    };
    if !is_here(host, port) {
        return refuse(421, "this server answers to 127.0.0.1 and localhost only");
    }
    let wants_head = match head.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return refuse(405, "files are only read here: GET and HEAD"),
    };
    let path = path(head.path.unwrap_or_default())?;
    let known = values("if-none-match").collect::<Vec<_>>().join(",");
    Ok(Some(Request { head: wants_head, path, known: (!known.is_empty()).then_some(known) }))
}

/// Whether a client that says so means this server, and not a name of somebody else's.
fn is_here(host: &str, port: u16) -> bool {
    let (name, given) = host.rsplit_once(':').map_or((host, Some(80)), |(name, port)| (name, number(port)));
    given == Some(port) && (name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
}

fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The names in a request target. Nothing that means anything but a name below the folder gets through.
fn path(target: &str) -> Result<Vec<String>, Refusal> {
    let Some(path) = target.split(['?', '#']).next().and_then(|path| path.strip_prefix('/')) else {
        return refuse(400, "the target of a request begins with a slash");
    };
    if path.is_empty() {
        return Ok(Vec::new());
    }
    path.split('/')
        .map(|name| match decoded(name) {
            None => refuse(400, "the target of the request is not encoded as it should be"),
            Some(name) if is_plain(&name) => Ok(name),
            Some(_) => refuse(404, "no such file in the folder of this run"),
        })
        .collect()
}

/// Not hidden, not `.` or `..`, no separators, nothing unprintable.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
}

/// Without percent-encoding (RFC 3986, section 2.1); None if it is broken or not UTF-8.
fn decoded(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || (rest.next()? as char).to_digit(16);
        bytes.push(if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(target: &str) -> Result<Vec<String>, u16> {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
        match parse(bytes.as_bytes(), 8080) {
            Ok(request) => Ok(request.unwrap().path),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn a_target_is_names_or_nothing() {
        let names = |names: &[&str]| Ok(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(asked("/"), names(&[]));
        assert_eq!(asked("/?x=../.."), names(&[]));
        assert_eq!(asked("/records.csv?a#b"), names(&["records.csv"]));
        assert_eq!(asked("/repeat/a%20b%C3%A4.csv"), names(&["repeat", "a bä.csv"]));
        for hidden in [
            "/..",
            "/../etc/passwd",
            "/a/../../b",
            "/%2e%2e/b",
            "/%2E./b",
            "/.",
            "/.git/config",
            "//etc/passwd",
            "/a//b",
            "/a/",
            "/..%2fb",
            "/a%2f..%2f..%2fb",
            "/a%5c..%5cb",
            "/a%00.csv",
            "/%0d%0aX:y",
            "/a%7f",
        ] {
            assert_eq!(asked(hidden), Err(404), "{hidden}");
        }
        for broken in ["/%", "/%2", "/%zz", "/%+1", "/%ff%fe", "*", "http://127.0.0.1:8080/", "records.csv"] {
            assert_eq!(asked(broken), Err(400), "{broken}");
        }
    }

    #[test]
    fn only_this_machine_by_its_own_name_is_meant() {
        let answers = |host: &str, port| {
            let bytes = format!("GET / HTTP/1.1\r\n{host}\r\n");
            parse(bytes.as_bytes(), port).map(|request| request.is_some()).map_err(|refusal| refusal.code)
        };
        for good in ["Host: 127.0.0.1:8080\r\n", "hOST:localhost:8080\r\n", "Host: LOCALHOST:8080 \r\n"] {
            assert_eq!(answers(good, 8080), Ok(true), "{good}");
        }
        assert_eq!(answers("Host: localhost\r\n", 80), Ok(true));
        for other in [
            "evil.example:8080",
            "127.0.0.1",
            "127.0.0.1:8081",
            "127.0.0.1:+8080",
            "127.0.0.1:",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "[::1]:8080",
            "0.0.0.0:8080",
            "127.0.0.2:8080",
            "",
            "localhost:8080:8080",
            "a@127.0.0.1:8080",
        ] {
            assert_eq!(answers(&format!("Host: {other}\r\n"), 8080), Err(421), "{other}");
        }
        assert_eq!(answers("", 8080), Err(400));
        assert_eq!(answers("Host: localhost:8080\r\nHost: localhost:8080\r\n", 8080), Err(400));
    }

    #[test]
    fn methods_that_change_something_are_refused() {
        let answers = |method: &str| {
            let bytes = format!("{method} / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
            parse(bytes.as_bytes(), 8080).map(|request| request.unwrap().head).map_err(|refusal| refusal.code)
        };
        assert_eq!((answers("GET"), answers("HEAD")), (Ok(false), Ok(true)));
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "get"] {
            assert_eq!(answers(method), Err(405), "{method}");
        }
    }

    #[test]
    fn long_heads_are_refused_and_short_ones_waited_for() {
        assert_eq!(parse(b"GET / HT", 80), Ok(None));
        let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(LONGEST));
        assert_eq!(parse(long.as_bytes(), 80).unwrap_err().code, 431);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MOST_FIELDS + 1));
        assert_eq!(parse(many.as_bytes(), 80).unwrap_err().code, 431);
        assert_eq!(parse(b"\x16\x03\x01\x02", 80).unwrap_err().code, 400);
    }

    #[test]
    fn tags_are_recognised() {
        let knows = |field: &str, tag: &str| {
            let bytes = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{field}\r\n");
            parse(bytes.as_bytes(), 80).unwrap().unwrap().knows(tag)
        };
        assert!(knows("If-None-Match: \"a-1\"\r\n", "\"a-1\""));
        assert!(knows("If-None-Match: \"b\", W/\"a-1\"\r\n", "\"a-1\""));
        assert!(knows("If-None-Match: *\r\n", "\"a-1\""));
        assert!(!knows("If-None-Match: \"a\"\r\n", "\"a-1\"") && !knows("", "\"a-1\""));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        /// Whatever is asked for, its names joined to a folder stay in the folder.
        #[test]
        fn no_target_leads_out(target in "/([./%\\\\]|%2[eEfF]|%5c|%00|[a-z]|\\PC){0,24}") {
            if let Ok(names) = asked(&target) {
                let path: std::path::PathBuf = names.iter().collect();
                prop_assert!(path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
                prop_assert_eq!(path.components().count(), names.len());
            }
        }

        #[test]
        fn any_bytes_are_a_request_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, 80);
            let _ = parse(&[b"GET / HTTP/1.1\r\nHost: localhost\r\n", &bytes[..], b"\r\n\r\n"].concat(), 80);
        }

        #[test]
        fn a_name_comes_back_from_its_encoding(name in "[^./\\\\\\p{C}][^/\\\\\\p{C}]{0,12}") {
            let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(asked(&format!("/{encoded}")), Ok(vec![name]));
        }
    }
}
