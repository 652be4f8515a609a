//! Names that rules give to things: chains, sets, tables, interfaces.

use super::super::known;
use super::{BASE32, BASE64, HEX, Kind, Names};

/// Signs between the parts of a name.
const SIGNS: [char; 4] = ['-', '_', '.', ':'];
/// Fewer letters of an alphabet of hashes are words.
const HASH: usize = 8;

/// What a part of a name is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Known,
    Hash(Kind),
    Name,
}

fn part(text: &str) -> Part {
    let all = |alphabet: &[u8]| text.len() >= HASH && text.bytes().all(|byte| alphabet.contains(&byte));
    match text {
        _ if known::is_part(text) => Part::Known,
        _ if all(BASE32) => Part::Hash(Kind::Base32),
        _ if all(HEX) => Part::Hash(Kind::Hex),
        _ => Part::Name,
    }
}

impl Names {
    /// The name of a chain, set, map or table. Parts that everybody has stay: `KUBE-SVC-XRY76EGRC3BSCIIJ` becomes another
    /// chain of a Service.
    pub(crate) fn identifier(&mut self, name: &str) -> String {
        if name.contains('/') {
            return self.of_service(name);
        }
        if let Some((start, rest)) = calico(name) {
            return format!("{start}{}", self.of_calico(rest));
        }
        let mut text = String::with_capacity(name.len());
        for piece in name.split_inclusive(SIGNS) {
            let (inner, sign) = match piece.strip_suffix(SIGNS) {
                Some(inner) => (inner, &piece[inner.len()..]),
                None => (piece, ""),
            };
            text.push_str(&self.part(inner));
            text.push_str(sign);
        }
        text
    }

    fn part(&mut self, text: &str) -> String {
        match part(text) {
            Part::Known => text.to_owned(),
            Part::Hash(kind) => self.replace(kind, text, |mapped| part(mapped) == Part::Hash(kind)),
            Part::Name => self.replace(Kind::Name, text, |mapped| part(mapped) == Part::Name),
        }
    }

    /// `service-HASH-namespace/name/protocol/port`, and of endpoints `...port__10.0.0.1/80`.
    fn of_service(&mut self, name: &str) -> String {
        let (start, names) = match name.splitn(3, '-').collect::<Vec<_>>()[..] {
            [kind, hash, names] if matches!(part(hash), Part::Hash(Kind::Base32)) => {
                (format!("{}-{}-", self.part(kind), self.part(hash)), names)
            }
            _ => (String::new(), name),
        };
        let names: Vec<String> = names.split('/').map(|name| self.piece(name)).collect();
        start + &names.join("/")
    }

    /// One of the names between strokes.
    fn piece(&mut self, name: &str) -> String {
        if matches!(name, "tcp" | "udp" | "sctp") || name.bytes().all(|byte| byte.is_ascii_digit()) {
            return name.to_owned();
        }
        let Some((port, address)) = name.split_once("__") else { return self.label(name) };
        // Colons of IPv6 are written as dots.
        let mapped = match (self.address_word(address), self.address_word(&address.replace('.', ":"))) {
            (Some(v4), _) => v4,
            (None, Some(v6)) => v6.replace(':', "."),
            (None, None) => self.label(address),
        };
        format!("{}__{mapped}", self.label(port))
    }

    /// What Calico appends to its names: the name of an interface, or a hash.
    fn of_calico(&mut self, rest: &str) -> String {
        if is_interface_of_calico(rest) {
            return self.interface(rest);
        }
        if rest.bytes().all(|byte| BASE64.contains(&byte)) {
            return self.replace(Kind::Base64, rest, |mapped| !is_interface_of_calico(mapped));
        }
        self.label(rest)
    }

    /// The name of an interface, with `+` or `*` at its end for all that begin so. How it begins stays, if many begin so.
    pub(crate) fn interface(&mut self, name: &str) -> String {
        let bare = name.trim_end_matches(['+', '*']);
        if known::is_interface(bare) {
            return name.to_owned();
        }
        let prefix = known::interface_prefix(bare);
        let rest = &bare[prefix.len()..];
        let kind = kind_of_interface(rest);
        let is_same_sort = |mapped: &str| {
            let whole = format!("{prefix}{mapped}");
            !known::is_interface(&whole)
                && known::interface_prefix(&whole) == prefix
                && kind_of_interface(mapped) == kind
        };
        let mapped = self.replace(kind, rest, is_same_sort);
        format!("{prefix}{mapped}{}", &name[bare.len()..])
    }
}

fn kind_of_interface(rest: &str) -> Kind {
    let is_hex = rest.len() >= HASH && rest.bytes().all(|byte| HEX.contains(&byte));
    if is_hex { Kind::Hex } else { Kind::Numbered }
}

fn is_interface_of_calico(text: &str) -> bool {
    text.len() == 15
        && text.strip_prefix("cali").is_some_and(|rest| rest.bytes().all(|byte| HEX.contains(&byte)))
}

/// Calico's names with what varies: `cali-tw-...`, `cali40s:...`.
fn calico(name: &str) -> Option<(&str, &str)> {
    const STARTS: [&str; 16] = [
        "cali-fw-",
        "cali-tw-",
        "cali-pi-",
        "cali-po-",
        "cali-pri-",
        "cali-pro-",
        "cali-sm-",
        "cali-fh-",
        "cali-th-",
        "cali-fhfw-",
        "cali-thfw-",
        "cali-pt-",
        "cali40s:",
        "cali60s:",
        "cali40t:",
        "cali60t:",
    ];
    let start = STARTS.into_iter().find(|start| name.starts_with(start))?;
    let rest = &name[start.len()..];
    (!known::is_part(rest)).then_some((&name[..start.len()], rest))
}
