//! Names that nf_tables holds, read over netlink.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;
use nix::libc::{AF_INET, AF_INET6};

use crate::error::SetupError;
use crate::netlink::Requester;
use crate::netlink::message::{Content, Writer};

/// `NFNL_SUBSYS_NFTABLES << 8` (include/uapi/linux/netfilter/nfnetlink.h).
const SUBSYSTEM: u16 = 10 << 8;
/// `NFT_MSG_GETCHAIN` and `NFT_MSG_GETSET` (include/uapi/linux/netfilter/nf_tables.h).
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_SET: u16 = SUBSYSTEM | 10;
/// `NFTA_SET_TABLE`.
const SET_TABLE: u16 = 1;

/// A family of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFamily {
    /// `ip`.
    Ip,
    /// `ip6`.
    Ip6,
}

impl TableFamily {
    /// `struct nfgenmsg`: the family, `NFNETLINK_V0`, resource 0.
    const fn message(self) -> [u8; 4] {
        let family = match self {
            TableFamily::Ip => AF_INET,
            TableFamily::Ip6 => AF_INET6,
        };
        [family as u8, 0, 0, 0]
    }
}

/// How many chains there are in all tables of a family, in the *calling thread's* network namespace: one dump, on a socket
/// of its own.
///
/// # Errors
/// If the kernel has no nf_tables.
pub fn count_chains(family: TableFamily) -> Result<usize, SetupError> {
    dump(GET_CHAIN, family, None).map_err(|cause| SetupError::kernel("list the chains of nf_tables", cause))
}

/// How many sets and maps a table has, anonymous ones included; `None`: there is no such table. One dump, on a socket of
/// its own, in the *calling thread's* network namespace.
///
/// # Errors
/// If the kernel has no nf_tables.
pub fn count_sets(family: TableFamily, table: &str) -> Result<Option<usize>, SetupError> {
    let name = [table.as_bytes(), &[0]].concat();
    match dump(GET_SET, family, Some((SET_TABLE, &name))) {
        Err(error) if error.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(None),
        outcome => outcome.map(Some).map_err(|cause| SetupError::kernel("list the sets of nf_tables", cause)),
    }
}

/// Counts the messages of a dump, which an attribute may narrow.
fn dump(kind: u16, family: TableFamily, attribute: Option<(u16, &[u8])>) -> io::Result<usize> {
    let mut requester = Requester::open(NETLINK_NETFILTER)?;
    let sequence = requester.sequence(1);
    let mut request = Vec::new();
    let mut writer = Writer::start(&mut request, kind, NLM_F_REQUEST | NLM_F_DUMP, sequence);
    writer.raw(&family.message());
    if let Some((kind, value)) = attribute {
        writer.attribute(kind, value);
    }
    writer.finish();
    requester.send(&request)?;
    let mut count = 0;
    requester.read_answer(sequence, |message| match message.content()? {
        Content::Data { .. } => {
            count += 1;
            Ok::<_, io::Error>(false)
        }
        Content::Refused { errno, .. } => Err(io::Error::from_raw_os_error(errno)),
        Content::Done => Ok(true),
        Content::Acknowledged | Content::Nothing => Ok(false),
    })?;
    Ok(count)
}
