//! A flow, as connection tracking has it.

use std::net::SocketAddrV4;

/// A UDP flow that has been answered, as connection tracking has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpFlow {
    /// Who has sent the first packet.
    pub client: SocketAddrV4,
    /// To whom.
    pub to: SocketAddrV4,
    /// Who answers: another than `to`, if the destination is translated. The translation itself is not part of the entry.
    pub answered_by: SocketAddrV4,
}
