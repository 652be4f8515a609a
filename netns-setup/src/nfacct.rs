//! Counters of nfacct, which rules of iptables refer to.

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use nix::errno::Errno;

use crate::error::SetupError;
use crate::netlink::Requester;
use crate::netlink::message::{Content, Writer};

/// `NFNL_SUBSYS_ACCT << 8 | NFNL_MSG_ACCT_NEW` (include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_acct.h).
const NEW: u16 = 7 << 8;
/// `NFACCT_NAME`.
const NAME: u16 = 1;

/// Sees that there is a counter of this name in the *calling thread's* network namespace.
///
/// # Errors
/// If the kernel has no nfnetlink_acct.
pub fn ensure(name: &str) -> Result<(), SetupError> {
    let failed = |cause: std::io::Error| SetupError::kernel(format!("make the nfacct counter {name}"), cause);
    match make(name) {
        // It is there.
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => Ok(()),
        outcome => outcome.map_err(failed),
    }
}

fn make(name: &str) -> std::io::Result<()> {
    let mut requester = Requester::open(NETLINK_NETFILTER)?;
    let sequence = requester.sequence(1);
    let mut request = Vec::new();
    let mut writer = Writer::start(&mut request, NEW, NLM_F_REQUEST | NLM_F_ACK, sequence);
    // `struct nfgenmsg`: `AF_UNSPEC`, `NFNETLINK_V0`, resource 0.
    writer.raw(&[0; 4]);
    writer.attribute(NAME, &[name.as_bytes(), &[0]].concat());
    writer.finish();
    requester.send(&request)?;
    requester.read_answer(sequence, |message| match message.content()? {
        Content::Acknowledged => Ok::<_, std::io::Error>(true),
        Content::Refused { errno, .. } => Err(std::io::Error::from_raw_os_error(errno)),
        Content::Data { .. } | Content::Done | Content::Nothing => Ok(false),
    })
}
