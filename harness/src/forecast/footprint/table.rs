//! How large the kernel's table of iptables-legacy becomes, from what `iptables-restore` reads: to the byte, as
//! IPT_SO_GET_INFO tells it, for the matches and targets that kube-proxy uses.
//!
//! Sizes are those of the structures in include/uapi/linux/netfilter*, on a machine of 64 bits, where each is rounded up
//! to 8 (XT_ALIGN). Checked against Linux 6.18 on 2026-11-25.

use services::service::Family;

/// A table must be smaller than this, bytes, with its head (XT_MAX_TABLE_SIZE, net/netfilter/x_tables.c). Tried: Linux 6.18 takes one of
/// 532,401,112 bytes and refuses one of 539,001,112.
pub const LARGEST: u64 = 512 << 20;

/// What is in the nat table already: policies of four built-in chains, the end of the table, and the jumps to kube-proxy's chains;
/// the head of the table (struct xt_table_info). Generous.
const BASE: u64 = 8 << 10;
/// struct xt_entry_match and struct xt_entry_target.
const HEAD: u64 = 32;

/// Bytes of a rule without matches and target: struct ipt_entry, struct ip6t_entry.
const fn entry(family: Family) -> u64 {
    match family {
        Family::Ipv4 => 112,
        Family::Ipv6 => 168,
    }
}

/// Bytes of a chain: a rule with an error target that has its name, and one that returns.
const fn chain(family: Family) -> u64 {
    2 * entry(family) + aligned(HEAD + 30) + aligned(HEAD + 4)
}

const fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(8)
}

/// Bytes of a match, head included; of one that kube-proxy does not use, a guess.
fn a_match(name: &str) -> u64 {
    let info = match name {
        "comment" => 256,
        "tcp" => 12,
        "udp" => 10,
        "sctp" => 64,
        "statistic" => 24,
        "mark" => 12,
        "addrtype" => 8,
        "conntrack" => 164,
        "recent" => 228,
        _ => 64,
    };
    aligned(HEAD + info)
}

/// Bytes of a target, head included. Whatever has no structure of its own is a chain or a verdict.
fn a_target(name: &str) -> u64 {
    let info = match name {
        "DNAT" => 44,
        "MASQUERADE" => 20,
        "MARK" => 8,
        _ => 4,
    };
    aligned(HEAD + info)
}

/// Bytes of a rule, from its line.
fn rule(line: &str, family: Family) -> u64 {
    let mut bytes = entry(family);
    // What is in quotes is a comment or a prefix.
    let mut words = line.split('"').step_by(2).flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "-m" => bytes += words.next().map_or(0, a_match),
            "-j" | "-g" => bytes += words.next().map_or(0, a_target),
            _ => {}
        }
    }
    bytes
}

/// Bytes of the table `nat` once `input` is installed in an empty one.
pub fn nat(input: &[u8], family: Family) -> u64 {
    // What is not UTF-8 stands in a comment, whose size does not depend on it.
    let text = String::from_utf8_lossy(input);
    let mut in_nat = false;
    let mut bytes = BASE;
    for line in text.lines() {
        match line.as_bytes().first() {
            Some(b'*') => in_nat = line == "*nat",
            Some(b':') if in_nat => bytes += chain(family),
            Some(b'-') if in_nat && line.starts_with("-A") => bytes += rule(line, family),
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_the_sizes_of_the_kernels_structures() {
        let of = |line| rule(line, Family::Ipv4);
        assert_eq!(of("-A A -j B"), 152);
        assert_eq!(of("-A A -s 10.0.0.1 -j KUBE-MARK-MASQ"), 152);
        assert_eq!(of("-A A -m comment --comment \"-m tcp -j DNAT\" -j B"), 440);
        assert_eq!(of("-A A -m comment --comment word -m tcp -p tcp -d 10.0.0.1 --dport 80 -j B"), 488);
        assert_eq!(of("-A A -m statistic --mode random --probability 0.5000000000 -j B"), 208);
        assert_eq!(of("-A A -m udp -p udp -j DNAT --to-destination 10.0.0.1:53"), 240);
        assert_eq!(rule("-A A -j B", Family::Ipv6), 208);
        assert_eq!(chain(Family::Ipv4), 328);
    }

    #[test]
    fn only_one_table_counts() {
        let input = b"*filter\n:F - [0:0]\n-A F -j G\nCOMMIT\n*nat\n:N - [0:0]\n-A N -j G\n-X O\nCOMMIT\n";
        assert_eq!(nat(input, Family::Ipv4), BASE + 328 + 152);
    }
}
