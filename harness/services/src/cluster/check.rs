//! What the API server would not have let in is refused: names become part of rules, and so do ports.

use std::net::IpAddr;

use crate::service::Protocol;

/// Names become part of rules: what Kubernetes would not let in (RFC 1123 labels) could change their meaning.
pub(super) fn label(name: &str, what: &str) -> Result<(), String> {
    if is_label(name) {
        return Ok(());
    }
    Err(format!(
        "{what} {} is no DNS label; expected 1 to 63 lower-case letters, digits and dashes, no dash at the ends",
        quoted(name)
    ))
}

/// The same, with dots between labels (RFC 1123 subdomains): names of pods, nodes and slices.
pub(super) fn subdomain(name: &str, what: &str) -> Result<(), String> {
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{what} {} is no DNS subdomain; expected at most 253 lower-case letters, digits, dashes and dots",
        quoted(name)
    ))
}

fn is_label(name: &str) -> bool {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    plain && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

/// The beginning of a text, without what a terminal would obey.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}

/// A protocol; the API server fills in TCP.
pub(super) fn protocol(name: Option<&str>) -> Result<Protocol, String> {
    match name.unwrap_or("TCP") {
        "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "SCTP" => Ok(Protocol::Sctp),
        other => Err(format!("unknown protocol {}; expected TCP, UDP or SCTP", quoted(other))),
    }
}

/// A port.
pub(super) fn port(number: i32) -> Result<u16, String> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{number} is not a port; expected 1 to 65535")),
    }
}

/// That an address can be that of a Service or an endpoint.
pub(super) fn unicast(address: IpAddr) -> Result<IpAddr, String> {
    let special = match address {
        IpAddr::V4(v4) if v4.is_link_local() => "link-local",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => "link-local",
        _ if address.is_unspecified() => "unspecified",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        _ => return Ok(address),
    };
    Err(format!("{address} is {special}; expected an address that can be reached from other nodes"))
}

/// What is shown of a text from a file: its beginning, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    const SHOWN: usize = 300;
    let shown: String =
        text.chars().take(SHOWN).map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect();
    if text.chars().nth(SHOWN).is_some() { shown + "..." } else { shown }
}
