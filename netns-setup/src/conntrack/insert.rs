//! Entries that no packet has made: how a table comes to hold a million of them within seconds.

use std::fs;
use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST};

use super::Conntrack;
use super::flow::UdpFlow;
use crate::error::SetupError;
use crate::netlink::Requester;
use crate::netlink::message::{Content, Writer, add_flags, messages};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW` (include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h).
const CT_NEW: u16 = 1 << 8;
/// `struct nfgenmsg`: `AF_INET`, `NFNETLINK_V0`, resource 0.
const IPV4: [u8; 4] = [2, 0, 0, 0];
// enum ctattr_type, ctattr_tuple, ctattr_ip and ctattr_l4proto.
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_TIMEOUT: u16 = 7;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;
const UDP: u8 = 17;
/// `IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED`: one that is not assured may be dropped when the table is full
/// (early_drop in net/netfilter/nf_conntrack_core.c), and a new one cannot be without the last.
const STATUS: u32 = 1 << 1 | 1 << 2 | 1 << 3;
/// Seconds until an entry ends by itself: longer than any experiment.
const TIMEOUT: u32 = 86_400;
/// No message is longer.
const LONGEST: usize = 160;
/// Bytes of one batch. The kernel copies each into one piece of memory.
const BATCH: usize = 128 << 10;

/// The limit of each namespace's table, for all of them; the initial network namespace may change it.
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";
/// Buckets of the hash table that all namespaces share.
const BUCKETS: &str = "/proc/sys/net/netfilter/nf_conntrack_buckets";

impl Conntrack {
    /// Adds entries to the table of the namespace in which this was opened, in batches, and says how many.
    ///
    /// # Errors
    /// `EEXIST` if there is one already, `ENOMEM` if the table is full; what else is in its batch stays, and what comes before.
    pub fn insert(&mut self, flows: impl IntoIterator<Item = UdpFlow>) -> Result<u64, SetupError> {
        let refused = |cause| SetupError::kernel("add entries to the conntrack table", cause);
        let room = self.requester.largest_send().map_err(refused)?.min(BATCH);
        let (mut batch, mut last, mut count) = (Vec::with_capacity(room), (0, 0), 0);
        for flow in flows {
            if batch.len() + LONGEST > room {
                send(&mut self.requester, &mut batch, last).map_err(refused)?;
            }
            last = (batch.len(), self.requester.sequence(1));
            write(&mut batch, &flow, last.1);
            count += 1;
        }
        send(&mut self.requester, &mut batch, last).map_err(refused)?;
        Ok(count)
    }

    /// How many entries the table of each network namespace may hold.
    ///
    /// # Errors
    /// If connection tracking is not in this kernel, or its module is not loaded.
    pub fn limit() -> Result<u64, SetupError> {
        let parse = |text: String| text.trim().parse().map_err(io::Error::other);
        fs::read_to_string(LIMIT)
            .and_then(parse)
            .map_err(|cause| SetupError::kernel(format!("read {LIMIT} (module nf_conntrack)"), cause))
    }

    /// Lets the table of every network namespace of this machine hold so many entries, with as many buckets: it is for
    /// machines that are ours, as a guest is. Call it in the initial network namespace.
    ///
    /// # Errors
    /// In another namespace, and without privilege.
    pub fn set_limit(entries: u64) -> Result<(), SetupError> {
        [(LIMIT, entries), (BUCKETS, entries.next_power_of_two())].into_iter().try_for_each(
            |(path, value)| {
                fs::write(path, value.to_string())
                    .map_err(|cause| SetupError::kernel(format!("write {value} to {path}"), cause))
            },
        )
    }
}

/// One message that asks for an entry.
fn write(batch: &mut Vec<u8>, flow: &UdpFlow, sequence: u32) {
    let mut message = Writer::start(batch, CT_NEW, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL, sequence);
    message.raw(&IPV4);
    for (kind, from, to) in
        [(CTA_TUPLE_ORIG, flow.client, flow.to), (CTA_TUPLE_REPLY, flow.answered_by, flow.client)]
    {
        message.nest(kind, |tuple| {
            tuple.nest(CTA_TUPLE_IP, |addresses| {
                addresses.attribute(CTA_IP_V4_SRC, &from.ip().octets());
                addresses.attribute(CTA_IP_V4_DST, &to.ip().octets());
            });
            tuple.nest(CTA_TUPLE_PROTO, |ports| {
                ports.attribute(CTA_PROTO_NUM, &[UDP]);
                ports.attribute(CTA_PROTO_SRC_PORT, &from.port().to_be_bytes());
                ports.attribute(CTA_PROTO_DST_PORT, &to.port().to_be_bytes());
            });
        });
    }
    message.attribute(CTA_STATUS, &STATUS.to_be_bytes());
    message.attribute(CTA_TIMEOUT, &TIMEOUT.to_be_bytes());
    message.finish();
}

/// Sends a batch and empties it. `last`: where its last message begins, and its number; the kernel answers that one, and each
/// that it refuses (netlink_rcv_skb in net/netlink/af_netlink.c).
fn send(requester: &mut Requester, batch: &mut Vec<u8>, last: (usize, u32)) -> io::Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    add_flags(batch, last.0, NLM_F_ACK);
    let sent = requester.send(batch);
    batch.clear();
    sent?;
    loop {
        let mut refused = None;
        for message in messages(requester.receive()?) {
            let message = message?;
            match message.content()? {
                Content::Refused { errno, .. } => refused = Some(errno),
                Content::Acknowledged if message.sequence == last.1 => return Ok(()),
                _ => {}
            }
        }
        if let Some(errno) = refused {
            requester.drain();
            return Err(io::Error::from_raw_os_error(errno));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `conntrack -I -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 53 -r 10.0.0.3 ...` sends, by the kernel's headers.
    #[test]
    fn an_entry_is_the_message_that_the_headers_say() {
        let flow = UdpFlow {
            client: "10.0.0.1:1".parse().unwrap(),
            to: "10.0.0.2:53".parse().unwrap(),
            answered_by: "10.0.0.3:5353".parse().unwrap(),
        };
        let mut batch = Vec::new();
        write(&mut batch, &flow, 7);
        assert!(batch.len() <= LONGEST, "{}", batch.len());
        let [message] = messages(&batch).collect::<Result<Vec<_>, _>>().unwrap().try_into().unwrap();
        assert_eq!((message.kind, message.sequence), (0x100, 7));
        assert_eq!(message.flags, NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL);
        let tuple = |kind: u8, from: [u8; 6], to: [u8; 6]| {
            let mut bytes = vec![52, 0, kind, 0x80, 20, 0, 1, 0x80, 8, 0, 1, 0];
            bytes.extend(&from[..4]);
            bytes.extend([8, 0, 2, 0]);
            bytes.extend(&to[..4]);
            bytes.extend([28, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0]);
            bytes.extend([6, 0, 2, 0, from[4], from[5], 0, 0, 6, 0, 3, 0, to[4], to[5], 0, 0]);
            bytes
        };
        let mut expected = vec![2, 0, 0, 0];
        expected.extend(tuple(1, [10, 0, 0, 1, 0, 1], [10, 0, 0, 2, 0, 53]));
        expected.extend(tuple(2, [10, 0, 0, 3, 0x14, 0xe9], [10, 0, 0, 1, 0, 1]));
        expected.extend([8, 0, 3, 0, 0, 0, 0, 0xe, 8, 0, 7, 0, 0, 1, 0x51, 0x80]);
        assert_eq!(message.body, expected);
    }
}
