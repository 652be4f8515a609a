//! What a rule asks of a packet and does with it, as far as the search for Services needs it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::words::{Word, Words};

/// A rule, taken apart. What it asks beyond these is in [`Options::unknown`].
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// `-s`: whether negated, and the addresses.
    pub source: Option<(bool, IpNet)>,
    /// `-d`.
    pub destination: Option<(bool, IpNet)>,
    /// `-p`.
    pub protocol: Option<(bool, Cow<'a, str>)>,
    /// `--dport`.
    pub ports: Option<(bool, RangeInclusive<u16>)>,
    /// `-i` or `-o`: negated, and the name with its `+`.
    pub interfaces: Vec<(bool, Cow<'a, str>)>,
    /// `--src-type` and `--dst-type`: negated, and the type.
    pub source_type: Option<(bool, Cow<'a, str>)>,
    /// The same of the destination.
    pub destination_type: Option<(bool, Cow<'a, str>)>,
    /// `--ctstate`: negated, and the states.
    pub states: Option<(bool, Cow<'a, str>)>,
    /// `--physdev-is-in`, without negation: whether only packets from a port of a bridge are meant.
    pub is_bridged: bool,
    /// `--comment`.
    pub comment: Option<Cow<'a, str>>,
    /// `-j`.
    pub jump: Option<Cow<'a, str>>,
    /// `-g`: as a jump, but the way back passes this chain over.
    pub goto: Option<Cow<'a, str>>,
    /// `--to-destination`, with the packet's own port where it names none.
    pub destinations: Vec<(IpAddr, Option<u16>)>,
    /// Whether it asks for anything else.
    pub unknown: bool,
}

/// Takes a rule apart. One that says what it should not, such as a port without a number, asks for something unknown.
pub fn parse_rule(text: &str) -> Options<'_> {
    let mut options = Options::default();
    let mut words = Words::new(text).map_while(Result::ok).peekable();
    let mut negated = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().map(|word| word.text).unwrap_or_default();
        let mut known = true;
        match &*word.text {
            "!" => {
                negated = true;
                continue;
            }
            "-s" | "--source" => known = set(&mut options.source, negated, network(&value())),
            "-d" | "--destination" => known = set(&mut options.destination, negated, network(&value())),
            "-p" | "--protocol" => options.protocol = Some((negated, value())),
            "--dport" | "--destination-port" => known = set(&mut options.ports, negated, ports(&value())),
            "-i" | "-o" => options.interfaces.push((negated, value())),
            "--src-type" => options.source_type = Some((negated, value())),
            "--dst-type" => options.destination_type = Some((negated, value())),
            "--ctstate" => options.states = Some((negated, value())),
            "--comment" => options.comment = Some(value()),
            "-m" => {
                // Those that ask for nothing by themselves.
                let name = value();
                known = matches!(
                    &*name,
                    "tcp" | "udp" | "sctp" | "comment" | "addrtype" | "conntrack" | "recent" | "physdev"
                );
            }
            // A packet of a lab comes from no port of a bridge.
            "--physdev-is-in" => options.is_bridged = !negated,
            // `-m recent --set` notes the packet's source, and always holds.
            "--set" | "--rsource" => known = !negated,
            "--name" | "--mask" => drop(value()),
            "-j" | "--jump" => {
                options.jump = Some(value());
                known = target(&mut options, words);
                options.unknown |= !known;
                return options;
            }
            "-g" | "--goto" => options.goto = Some(value()),
            _ => known = false,
        }
        options.unknown |= !known;
        negated = false;
    }
    options
}

/// The words behind a target. Returns whether they leave no doubt where a packet goes.
fn target<'a>(options: &mut Options<'_>, mut words: impl Iterator<Item = Word<'a>>) -> bool {
    let mut known = true;
    while let Some(word) = words.next() {
        if word.text == "--to-destination" {
            match words.next().as_ref().and_then(|word| destination(&word.text)) {
                Some(destination) => options.destinations.push(destination),
                None => known = false,
            }
        }
    }
    known
}

fn set<T>(slot: &mut Option<(bool, T)>, negated: bool, value: Option<T>) -> bool {
    *slot = value.map(|value| (negated, value));
    slot.is_some()
}

/// `10.0.0.1`, `10.0.0.0/8`, `10.0.0.0/255.0.0.0`. Masks with holes are none.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    let (address, length) = match text.split_once('/') {
        None => (text, None),
        Some((address, length)) => (address, Some(length)),
    };
    let address: IpAddr = address.parse().ok()?;
    let Some(length) = length else { return Some(address.into()) };
    match length.parse::<u8>() {
        Ok(length) => IpNet::new(address, length).ok(),
        Err(_) => IpNet::with_netmask(address, length.parse().ok()?).ok(),
    }
}

/// `80` or `80:90`.
fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    match text.split_once(':') {
        None => text.parse().ok().map(|port| port..=port),
        Some((first, last)) => Some(first.parse().ok()?..=last.parse().ok()?),
    }
}

/// `10.0.0.1:80`, `[fd00::1]:80` or an address alone. Ranges are none.
fn destination(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    inner.parse().ok().map(|address| (address, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_kube_proxy_is_taken_apart() {
        let rule = parse_rule(
            "! -s 10.244.0.0/16 -d 10.96.0.10/32 -p tcp -m comment --comment \"demo/web:http cluster IP\" -m tcp \
             --dport 80 -j KUBE-MARK-MASQ",
        );
        assert_eq!(rule.source, Some((true, "10.244.0.0/16".parse().unwrap())));
        assert_eq!(rule.destination, Some((false, "10.96.0.10/32".parse().unwrap())));
        assert_eq!(rule.protocol, Some((false, "tcp".into())));
        assert_eq!(rule.ports, Some((false, 80..=80)));
        assert_eq!(rule.comment.as_deref(), Some("demo/web:http cluster IP"));
        assert_eq!(rule.jump.as_deref(), Some("KUBE-MARK-MASQ"));
        assert!(!rule.unknown);
    }

    #[test]
    fn targets_of_translation_are_read_in_both_families() {
        let of = |text: &str| parse_rule(text).destinations;
        assert_eq!(of("-j DNAT --to-destination 10.0.0.1:80"), [("10.0.0.1".parse().unwrap(), Some(80))]);
        assert_eq!(
            of("-j DNAT --to-destination [fd00::1]:80 --random"),
            [("fd00::1".parse().unwrap(), Some(80))]
        );
        assert_eq!(of("-j DNAT --to-destination fd00::1"), [("fd00::1".parse().unwrap(), None)]);
        let range = parse_rule("-j DNAT --to-destination 10.0.0.1-10.0.0.9:80");
        assert!(range.destinations.is_empty() && range.unknown);
    }

    #[test]
    fn what_is_not_understood_is_said_to_be_unknown() {
        for text in [
            "-m statistic --mode random",
            "-d 10.0.0.1/255.0.255.0",
            "--dport x",
            "-m mark ! --mark 0x4000/0x4000",
        ] {
            assert!(parse_rule(text).unknown, "{text}");
        }
        assert!(!parse_rule("-s 10.0.0.0/255.0.0.0 -p udp -m udp --dport 1:5 -g X").unknown);
    }
}
