//! Packets, and looking for what is left of a namespace.

use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netns_setup::{Lab, Topology, Tun};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::support::TIMEOUT;

pub(crate) fn topology() -> Topology {
    Topology {
        label: "test".into(),
        probe_prefix: "100.64.0.0/12".parse().unwrap(),
        client_prefix: "172.16.0.0/16".parse().unwrap(),
        service_prefix: "10.96.0.0/12".parse().unwrap(),
        endpoint_prefix: "10.128.0.0/9".parse().unwrap(),
        node_address: "192.0.2.1".parse().unwrap(),
    }
}

pub(crate) fn lab() -> Lab {
    Lab::build(&topology()).unwrap()
}

pub(crate) const PROBE: Ipv4Addr = Ipv4Addr::new(100, 64, 1, 2);
pub(crate) const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 200, 3, 4);

/// The next packet on the TUN, if one comes in time.
pub(crate) fn next_packet(tun: &Tun, timeout: Duration) -> Option<Vec<u8>> {
    let mut ready = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(timeout).unwrap();
    if poll(&mut ready, timeout).unwrap() == 0 {
        return None;
    }
    let mut buffer = [0; 2048];
    let length = tun.receive(&mut buffer).unwrap();
    Some(buffer[..length].to_vec())
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn pseudo_header(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, length: u16) -> Vec<u8> {
    [&source.octets()[..], &target.octets(), &[0, protocol], &length.to_be_bytes()].concat()
}

/// Prepends an IPv4 header.
fn ip(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    header[2..4].copy_from_slice(&(20 + body.len() as u16).to_be_bytes());
    header.extend(source.octets());
    header.extend(target.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header, body].concat()
}

/// An IPv4 UDP packet with both checksums.
pub(crate) fn udp(source: (Ipv4Addr, u16), target: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let mut datagram =
        [&source.1.to_be_bytes()[..], &target.1.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload]
            .concat();
    let sum = checksum(&[pseudo_header(source.0, target.0, 17, length), datagram.clone()].concat());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(source.0, target.0, 17, &datagram)
}

/// An IPv4 TCP segment without options and payload.
pub(crate) fn tcp(source: (Ipv4Addr, u16), target: (Ipv4Addr, u16), flags: u8) -> Vec<u8> {
    let mut segment = [&source.1.to_be_bytes()[..], &target.1.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let sum = checksum(&[pseudo_header(source.0, target.0, 6, 20), segment.clone()].concat());
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ip(source.0, target.0, 6, &segment)
}

/// Carries out commands of nftables in the node.
pub(crate) fn nft(lab: &Lab, commands: &str) {
    let mut command = Command::new(netns_setup::find_program("nft").unwrap());
    let mut child = lab.node.spawn(command.args(["-f", "-"]).stdin(Stdio::piped())).unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Udp {
    pub ttl: u8,
    pub source: (Ipv4Addr, u16),
    pub target: (Ipv4Addr, u16),
    pub payload: Vec<u8>,
}

/// Panics if a checksum is wrong or it is no UDP packet without IP options.
pub(crate) fn parse(packet: &[u8]) -> Udp {
    assert_eq!(packet[0], 0x45, "IPv4 without options: {packet:?}");
    assert_eq!(packet[9], 17, "UDP: {packet:?}");
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (source, target, datagram) = (address(12), address(16), &packet[20..]);
    assert_eq!(checksum(&packet[..20]), 0, "IP checksum");
    let pseudo = pseudo_header(source, target, 17, datagram.len() as u16);
    assert_eq!(checksum(&[&pseudo, datagram].concat()), 0, "UDP checksum");
    Udp {
        ttl: packet[8],
        source: (source, port(20)),
        target: (target, port(22)),
        payload: datagram[8..].to_vec(),
    }
}

/// The network or mount namespace of each thread of any process.
fn inhabited() -> impl Iterator<Item = PathBuf> {
    let directories = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let processes = directories(Path::new("/proc")).into_iter();
    let tasks = processes.flat_map(move |process| directories(&process.join("task")));
    tasks.flat_map(|task| ["ns/net", "ns/mnt"].map(|name| task.join(name)))
}

/// Threads of any process that are in the network or mount namespace with this inode.
pub(crate) fn holders(inode: u64) -> usize {
    inhabited().filter(|path| fs::metadata(path).is_ok_and(|ns| ns.ino() == inode)).count()
}

/// Holds the namespace with this inode, in which there is a thread: else the next namespace that anybody makes might get the
/// number once this one has gone.
pub(crate) fn hold(inode: u64) -> File {
    let opened = inhabited().filter_map(|path| File::open(path).ok());
    let mut found = opened.filter(|file| file.metadata().is_ok_and(|ns| ns.ino() == inode));
    found.next().expect("a thread in the namespace")
}

/// How the child ended; if it does not end by itself in time, it is killed and the test fails.
pub(crate) fn ended(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(2)),
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("process {} lived on", child.id());
            }
        }
    }
}

/// Whether the process runs: neither gone nor waiting to be reaped.
pub(crate) fn alive(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("Z (") && !line.contains("X ("))
}
