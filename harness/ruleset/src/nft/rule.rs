//! What a rule asks of a packet and does with it, as far as the search for Services needs it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::lexer::{Kind, Token, tokens, unquoted};
use crate::iptables::network;

/// Where a rule sends a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// On to the next rule.
    #[default]
    Next,
    /// Through one of these chains, and back.
    Jump(Vec<&'a str>),
    /// Into one of these chains, and not back into this one.
    Goto(Vec<&'a str>),
    /// To one of these addresses; `None`: with the port that it has.
    Dnat(Vec<(IpAddr, Option<u16>)>),
    /// Back to the chain before.
    Return,
    /// Out of the table, in whichever way.
    End,
}

/// A rule, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Statement<'a> {
    /// `ip saddr`: whether negated, and the networks, of which one is to hold it.
    pub source: Option<(bool, Vec<IpNet>)>,
    /// `ip daddr`.
    pub destination: Option<(bool, IpNet)>,
    /// `meta l4proto`, or what a port belongs to.
    pub protocol: Option<&'a str>,
    /// `tcp dport`.
    pub ports: Option<(bool, RangeInclusive<u16>)>,
    /// `fib saddr type`.
    pub source_type: Option<&'a str>,
    /// Whether it asks for anything else.
    pub unknown: bool,
    /// What it does.
    pub verdict: Verdict<'a>,
}

/// Takes a rule apart.
pub fn parse_statement(text: &str) -> Statement<'_> {
    let all: Vec<Token<'_>> =
        tokens(text).filter(|token| !matches!(token.kind, Kind::Comment | Kind::Newline)).collect();
    let mut reader = Reader { tokens: &all };
    let mut statement = Statement::default();
    while let Some(word) = reader.next() {
        statement.take(word.text, &mut reader);
    }
    statement
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
}

impl<'a> Reader<'_, 'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(*first)
    }

    fn peek(&self) -> &'a str {
        self.tokens.first().map_or("", |token| token.text)
    }

    /// Passes words over if they come next.
    fn skip(&mut self, words: &[&str]) -> bool {
        let comes = self.tokens.len() >= words.len()
            && self.tokens.iter().zip(words).all(|(token, word)| token.text == *word);
        if comes {
            self.tokens = &self.tokens[words.len()..];
        }
        comes
    }

    /// `!=` or `==`.
    fn negation(&mut self) -> bool {
        if self.skip(&["!="]) {
            return true;
        }
        self.skip(&["=="]);
        false
    }

    /// A network, or several between braces; none: something else.
    fn networks(&mut self) -> Vec<IpNet> {
        if self.peek() == "{" {
            let words = self.braces().iter().filter(|token| token.kind != Kind::Comma);
            return words.map(|token| network(token.text)).collect::<Option<_>>().unwrap_or_default();
        }
        let found = network(self.peek()).into_iter().collect();
        self.next();
        found
    }

    /// What stands between braces, which come next.
    fn braces(&mut self) -> &[Token<'a>] {
        if !self.skip(&["{"]) {
            return &[];
        }
        let end = self.tokens.iter().position(|token| token.kind == Kind::Close);
        let (inner, rest) = self.tokens.split_at(end.unwrap_or(self.tokens.len()));
        self.tokens = rest.get(1..).unwrap_or_default();
        inner
    }
}

impl<'a> Statement<'a> {
    fn take(&mut self, word: &'a str, reader: &mut Reader<'_, 'a>) {
        match (word, reader.peek()) {
            ("ip" | "ip6", "saddr" | "daddr") => {
                let is_source = reader.next().is_some_and(|token| token.text == "saddr");
                let negated = reader.negation();
                let networks = reader.networks();
                self.unknown |= networks.is_empty() || (!is_source && networks.len() > 1);
                if is_source && !networks.is_empty() {
                    self.source = Some((negated, networks));
                } else if let (false, [network]) = (is_source, &networks[..]) {
                    self.destination = Some((negated, *network));
                }
            }
            ("meta", "l4proto") => {
                reader.next();
                self.protocol = reader.next().map(|token| token.text);
            }
            ("tcp" | "udp" | "sctp" | "th", "dport") => {
                if word != "th" {
                    self.protocol = Some(word);
                }
                reader.next();
                let negated = reader.negation();
                let range = ports(reader.peek());
                reader.next();
                self.unknown |= range.is_none();
                self.ports = range.map(|range| (negated, range));
            }
            ("fib", "saddr") if reader.skip(&["saddr", "type"]) => {
                self.source_type = reader.next().map(|token| token.text);
            }
            ("ct", "state") if reader.skip(&["state", "new"]) => {}
            ("meta", "mark") if reader.skip(&["mark", "set"]) => {
                // The value is an expression up to the next statement, of which kube-proxy has none.
                while !matches!(reader.peek(), "" | "jump" | "goto" | "return" | "accept" | "comment") {
                    reader.next();
                }
            }
            ("counter", _) => {
                for name in ["packets", "bytes"] {
                    if reader.skip(&[name]) {
                        reader.next();
                    }
                }
            }
            ("comment", _) => drop(reader.next()),
            ("add" | "update", set) if set.starts_with('@') => {
                reader.next();
                reader.braces();
            }
            ("numgen", _) => self.numgen(reader),
            ("vmap", _) => {
                self.unknown = true;
                let chains = chains(reader.braces());
                if !chains.is_empty() {
                    self.verdict = Verdict::Jump(chains);
                }
            }
            ("goto", _) => self.verdict = Verdict::Goto(reader.next().map(name).into_iter().collect()),
            ("jump", _) => self.verdict = Verdict::Jump(reader.next().map(name).into_iter().collect()),
            ("dnat", _) => self.dnat(reader),
            ("return", _) => self.verdict = Verdict::Return,
            ("accept" | "drop" | "reject" | "masquerade" | "snat" | "redirect" | "queue", _) => {
                self.verdict = Verdict::End;
                reader.tokens = &[];
            }
            _ => self.unknown = true,
        }
    }

    /// `numgen random mod 2 vmap { 0 : goto a, 1 : goto b }`: one of them, whichever the number.
    fn numgen(&mut self, reader: &mut Reader<'_, 'a>) {
        reader.next();
        let modulus = reader.skip(&["mod"]).then(|| reader.next()).flatten();
        let modulus = modulus.and_then(|token| token.text.parse::<usize>().ok());
        if !reader.skip(&["vmap"]) {
            self.unknown = true;
            return;
        }
        let chains = chains(reader.braces());
        self.unknown |= modulus != Some(chains.len());
        self.verdict = Verdict::Goto(chains);
    }

    fn dnat(&mut self, reader: &mut Reader<'_, 'a>) {
        if matches!(reader.peek(), "ip" | "ip6") {
            reader.next();
        }
        reader.skip(&["addr", ".", "port"]);
        reader.skip(&["to"]);
        let to = match reader.skip(&["numgen", "random", "mod"]) {
            true => addresses(reader),
            false => address(reader.peek()).into_iter().collect(),
        };
        self.verdict = if to.is_empty() { Verdict::End } else { Verdict::Dnat(to) };
        reader.tokens = &[];
    }
}

/// `10.0.0.1:80`, `[fd00::1]:80`, or an address alone.
fn address(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match text.parse::<SocketAddr>() {
        Ok(address) => Some((address.ip(), Some(address.port()))),
        Err(_) => Some((inner.parse().ok()?, None)),
    }
}

/// `2 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 80 }`: one of them, whichever the number. None if one cannot be read, or there
/// are not as many as numbers.
fn addresses(reader: &mut Reader<'_, '_>) -> Vec<(IpAddr, Option<u16>)> {
    let modulus = reader.next().and_then(|token| token.text.parse::<usize>().ok());
    if !reader.skip(&["map"]) {
        return Vec::new();
    }
    let elements = reader.braces().split(|token| token.kind == Kind::Comma);
    let pair = |element: &[Token<'_>]| match element {
        [_, colon, address, dot, port] if (colon.text, dot.text) == (":", ".") => {
            Some((address.text.parse().ok()?, Some(port.text.parse().ok()?)))
        }
        _ => None,
    };
    let found: Option<Vec<_>> = elements.map(pair).collect();
    found.filter(|found| modulus == Some(found.len())).unwrap_or_default()
}

fn name(token: Token<'_>) -> &str {
    unquoted(token.text)
}

/// Chains that the elements of a verdict map lead to.
fn chains<'a>(elements: &[Token<'a>]) -> Vec<&'a str> {
    let pairs = elements.windows(2).filter(|pair| matches!(pair[0].text, "goto" | "jump"));
    pairs.map(|pair| name(pair[1])).collect()
}

/// `80` or `80-90`.
fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    match text.split_once('-') {
        None => text.parse().ok().map(|port| port..=port),
        Some((first, last)) => Some(first.parse().ok()?..=last.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_kube_proxy_are_taken_apart() {
        let masquerade = parse_statement(
            "ip daddr 10.96.0.10 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade",
        );
        assert_eq!(masquerade.source, Some((true, vec!["10.244.0.0/16".parse().unwrap()])));
        assert_eq!(masquerade.destination, Some((false, "10.96.0.10/32".parse().unwrap())));
        assert_eq!((masquerade.protocol, masquerade.ports), (Some("tcp"), Some((false, 80..=80))));
        assert_eq!(masquerade.verdict, Verdict::Jump(vec!["mark-for-masquerade"]));
        assert!(!masquerade.unknown);
        let dispatch =
            parse_statement("numgen random mod 2 vmap { 0 : goto endpoint-A-x/y,\n\t1 : goto endpoint-B }");
        assert_eq!(dispatch.verdict, Verdict::Goto(vec!["endpoint-A-x/y", "endpoint-B"]));
        assert!(!dispatch.unknown);
        let affinity = parse_statement("ip saddr @affinity-X goto endpoint-X");
        assert!(affinity.unknown && affinity.verdict == Verdict::Goto(vec!["endpoint-X"]));
        let update = parse_statement("update @affinity-X { ip saddr }");
        assert!(!update.unknown && update.verdict == Verdict::Next);
        let local =
            parse_statement("fib saddr type local goto service-X comment \"short-circuit local traffic\"");
        assert_eq!((local.source_type, local.unknown), (Some("local"), false));
        for text in ["meta mark set meta mark | 0x00004000", "ct state new counter packets 1 bytes 2"] {
            assert!(!parse_statement(text).unknown, "{text}");
        }
        for text in [
            "numgen random mod 3 vmap { 0 : goto a }",
            "ip saddr { 10.0.0.1-10.0.0.2 } drop",
            "ip daddr @x accept",
        ] {
            assert!(parse_statement(text).unknown, "{text}");
        }
    }

    #[test]
    fn firewalls_name_several_networks() {
        let firewall = parse_statement("ip saddr != { 10.0.0.0/8, 192.0.2.1 } drop");
        let networks = ["10.0.0.0/8", "192.0.2.1/32"].map(|network| network.parse().unwrap());
        assert_eq!(firewall.source, Some((true, networks.to_vec())));
        assert!(!firewall.unknown && firewall.verdict == Verdict::End);
    }

    #[test]
    fn translation_is_read_in_both_families() {
        let of = |text: &'static str| parse_statement(text).verdict;
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let to = |text: &str, port| Verdict::Dnat(vec![(address(text), port)]);
        assert_eq!(of("meta l4proto tcp dnat to 10.0.0.1:80"), to("10.0.0.1", Some(80)));
        assert_eq!(of("meta l4proto tcp dnat to [fd00::1]:80"), to("fd00::1", Some(80)));
        assert_eq!(of("dnat ip to 10.0.0.1"), to("10.0.0.1", None));
        let two = [("fd00::1", 80), ("fd00::2", 81)].map(|(ip, port)| (address(ip), Some(port)));
        for text in [
            "meta l4proto tcp dnat ip6 to numgen random mod 2 map { 0 : fd00::1 . 80, 1 : fd00::2 . 81 }",
            "dnat ip6 addr . port to numgen random mod 2 map { 0 : fd00::1 . 80 ,\n 1 : fd00::2 . 81 }",
        ] {
            assert_eq!(of(text), Verdict::Dnat(two.to_vec()), "{text}");
        }
        assert_eq!(of("dnat ip to numgen random mod 3 map { 0 : 10.0.0.1 . 80 }"), Verdict::End);
        assert_eq!(of("dnat to ip daddr map @x"), Verdict::End);
    }
}
