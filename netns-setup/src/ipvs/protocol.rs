//! Numbers of the IPVS generic netlink family (include/uapi/linux/ip_vs.h).

pub(super) const FAMILY: &str = "IPVS";
pub(super) const VERSION: u8 = 1;

/// `IPVS_CMD_*`.
pub(super) mod command {
    pub(crate) const NEW_SERVICE: u8 = 1;
    pub(crate) const SET_SERVICE: u8 = 2;
    pub(crate) const DEL_SERVICE: u8 = 3;
    pub(crate) const GET_SERVICE: u8 = 4;
    pub(crate) const NEW_DEST: u8 = 5;
    pub(crate) const SET_DEST: u8 = 6;
    pub(crate) const DEL_DEST: u8 = 7;
    pub(crate) const GET_DEST: u8 = 8;
    pub(crate) const FLUSH: u8 = 17;
}

/// `IPVS_CMD_ATTR_SERVICE`.
pub(super) const SERVICE: u16 = 1;
/// `IPVS_CMD_ATTR_DEST`.
pub(super) const DEST: u16 = 2;

/// `IPVS_SVC_ATTR_*`.
pub(super) mod service {
    pub(crate) const AF: u16 = 1;
    pub(crate) const PROTOCOL: u16 = 2;
    pub(crate) const ADDR: u16 = 3;
    pub(crate) const PORT: u16 = 4;
    pub(crate) const FWMARK: u16 = 5;
    pub(crate) const SCHED_NAME: u16 = 6;
    pub(crate) const FLAGS: u16 = 7;
    pub(crate) const TIMEOUT: u16 = 8;
    pub(crate) const NETMASK: u16 = 9;
    pub(crate) const STATS: u16 = 10;
    pub(crate) const PE_NAME: u16 = 11;
    pub(crate) const STATS64: u16 = 12;
}

/// `IPVS_DEST_ATTR_*`.
pub(super) mod dest {
    pub(crate) const ADDR: u16 = 1;
    pub(crate) const PORT: u16 = 2;
    pub(crate) const FWD_METHOD: u16 = 3;
    pub(crate) const WEIGHT: u16 = 4;
    pub(crate) const U_THRESH: u16 = 5;
    pub(crate) const L_THRESH: u16 = 6;
    pub(crate) const ACTIVE_CONNS: u16 = 7;
    pub(crate) const INACT_CONNS: u16 = 8;
    pub(crate) const PERSIST_CONNS: u16 = 9;
    pub(crate) const STATS: u16 = 10;
    pub(crate) const ADDR_FAMILY: u16 = 11;
    pub(crate) const STATS64: u16 = 12;
    pub(crate) const TUN_TYPE: u16 = 13;
}

/// `IPVS_STATS_ATTR_*`.
pub(super) mod stats {
    pub(crate) const CONNS: u16 = 1;
    pub(crate) const INPKTS: u16 = 2;
    pub(crate) const OUTPKTS: u16 = 3;
    pub(crate) const INBYTES: u16 = 4;
    pub(crate) const OUTBYTES: u16 = 5;
}

/// `IP_VS_SVC_F_PERSISTENT`.
pub(super) const PERSISTENT: u32 = 0x1;
/// `IP_VS_SVC_F_HASHED`: the kernel's own, set on every service.
pub(super) const HASHED: u32 = 0x2;

/// Persistence of a single client address: the mask for IPv4, in network order, and the prefix length for IPv6, in host
/// order (ip_vs_add_service in net/netfilter/ipvs/ip_vs_ctl.c).
pub(super) fn netmask(ipv6: bool) -> u32 {
    if ipv6 { 128 } else { u32::MAX }
}

/// `union nf_inet_addr`: room for either family (include/uapi/linux/netfilter.h).
pub(super) const ADDRESS: usize = 16;
