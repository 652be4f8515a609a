//! Files and standard input, with limits that are said: what is too large is refused by its size, before it is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Fault, RulesetError};

/// Largest text that is read. iptables-save of 50,000 Services with 10 endpoints each prints some 180 MB.
pub const MAX_BYTES: u64 = 256 << 20;
/// Longest line. nft prints all endpoints of a Service in one, some 100 bytes each.
pub const MAX_LINE: usize = 4 << 20;

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// [`RulesetError::Read`], [`RulesetError::TooLarge`], and [`RulesetError::Content`] for what is no text.
pub fn read(path: &Path) -> Result<String, RulesetError> {
    let name = name(path);
    let failed = |source| RulesetError::Read { name: name.clone(), source };
    let bytes = if path.as_os_str() == "-" {
        read_from(io::stdin().lock(), &name, MAX_BYTES)?
    } else {
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        if metadata.len() > MAX_BYTES {
            let size = format!("{} bytes", metadata.len());
            return Err(RulesetError::TooLarge { name, size, limit: MAX_BYTES });
        }
        read_from(file, &name, MAX_BYTES)?
    };
    text(bytes).map_err(|fault| fault.of(name))
}

/// How a file is called in messages.
pub fn name(path: &Path) -> String {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() }
}

/// Reads to the end, or until there is more than allowed: devices and pipes tell no size.
fn read_from(mut source: impl Read, name: &str, limit: u64) -> Result<Vec<u8>, RulesetError> {
    let mut bytes = Vec::new();
    let read = source.by_ref().take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| RulesetError::Read { name: name.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        let size = format!("more than {limit} bytes");
        return Err(RulesetError::TooLarge { name: name.to_owned(), size, limit });
    }
    Ok(bytes)
}

/// That bytes are text as the tools print it: UTF-8 in lines that are not too long, without control characters.
///
/// # Errors
/// The first line that is not.
pub fn text(bytes: Vec<u8>) -> Result<String, Fault> {
    let mut start = 0;
    let mut number = 0_u32;
    while start < bytes.len() {
        number = number.saturating_add(1);
        let rest = &bytes[start..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        check_line(&rest[..length]).map_err(|problem| Fault::at(number, problem))?;
        start += length + 1;
    }
    // Each line is UTF-8 by now, so that all of it is.
    String::from_utf8(bytes).map_err(|_| Fault::whole("it is not UTF-8"))
}

fn check_line(line: &[u8]) -> Result<(), String> {
    if line.len() > MAX_LINE {
        return Err(format!("it has {} bytes; lines of up to {MAX_LINE} are read", line.len()));
    }
    let control = line.iter().position(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f);
    if let Some(at) = control {
        return Err(match line[at] {
            b'\r' if at + 1 == line.len() => {
                "it ends in a carriage return, as on Windows; take them out (tr -d '\\r')".to_owned()
            }
            byte => format!("byte {} is 0x{byte:02x}, which no tool prints: this is no text", at + 1),
        });
    }
    match std::str::from_utf8(line) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("byte {} begins no UTF-8 character", error.valid_up_to() + 1)),
    }
}

/// Lines with their numbers, from 1.
pub fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    (1..).zip(text.lines())
}

/// What a message quotes of a line or word: its beginning.
pub fn shown(line: &str) -> String {
    const KEPT: usize = 60;
    if let Some((first, _)) = line.split_once('\n') {
        return format!("`{}...`", first.chars().take(KEPT).collect::<String>());
    }
    match line.char_indices().nth(KEPT) {
        Some((end, _)) => format!("`{}...`", &line[..end]),
        None => format!("`{line}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_source_is_given_up() {
        let error = read_from(io::repeat(b'#'), "it", 1000).unwrap_err();
        assert!(matches!(&error, RulesetError::TooLarge { limit: 1000, .. }), "{error}");
        assert_eq!(read_from(io::repeat(b'#').take(1000), "it", 1000).unwrap().len(), 1000);
    }

    #[test]
    fn a_sparse_file_of_ten_gigabytes_is_refused_by_its_size() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(10_000_000_000).unwrap();
        let error = read(file.path()).unwrap_err().to_string();
        assert!(error.contains("10000000000 bytes") && error.contains(&MAX_BYTES.to_string()), "{error}");
    }

    #[test]
    fn a_folder_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(RulesetError::Read { .. })));
    }

    #[test]
    fn what_is_no_text_is_refused_with_its_place() {
        let fault = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err().to_string();
        assert!(fault(b"*nat\n\x7fELF").starts_with("line 2: byte 1 is 0x7f"));
        assert!(fault(b"a\nb\nc\xff\n").starts_with("line 3: byte 2 begins no UTF-8"));
        assert!(fault(b"*nat\r\n").contains("carriage return"));
        assert!(fault(b"a\0b").contains("0x00"));
        let long = [b"#\n".to_vec(), vec![b'x'; MAX_LINE + 1]].concat();
        assert!(fault(&long).starts_with("line 2: it has 4194305 bytes"));
        assert_eq!(text("# \u{e9}\tx\n".into()).unwrap(), "# \u{e9}\tx\n");
    }
}
