//! Numbers of the IPVS generic netlink family (include/uapi/linux/ip_vs.h).

pub const FAMILY: &str = "IPVS";
pub const VERSION: u8 = 1;

/// `IPVS_CMD_*`.
pub mod command {
    pub const NEW_SERVICE: u8 = 1;
    pub const SET_SERVICE: u8 = 2;
    pub const DEL_SERVICE: u8 = 3;
    pub const GET_SERVICE: u8 = 4;
    pub const NEW_DEST: u8 = 5;
    pub const SET_DEST: u8 = 6;
    pub const DEL_DEST: u8 = 7;
    pub const GET_DEST: u8 = 8;
    pub const FLUSH: u8 = 17;
}

/// `IPVS_CMD_ATTR_SERVICE`.
pub const SERVICE: u16 = 1;
/// `IPVS_CMD_ATTR_DEST`.
pub const DEST: u16 = 2;

/// `IPVS_SVC_ATTR_*`.
pub mod service {
    pub const AF: u16 = 1;
    pub const PROTOCOL: u16 = 2;
    pub const ADDR: u16 = 3;
    pub const PORT: u16 = 4;
    pub const FWMARK: u16 = 5;
    pub const SCHED_NAME: u16 = 6;
    pub const FLAGS: u16 = 7;
    pub const TIMEOUT: u16 = 8;
    pub const NETMASK: u16 = 9;
    pub const STATS: u16 = 10;
    pub const PE_NAME: u16 = 11;
    pub const STATS64: u16 = 12;
}

/// `IPVS_DEST_ATTR_*`.
pub mod dest {
    pub const ADDR: u16 = 1;
    pub const PORT: u16 = 2;
    pub const FWD_METHOD: u16 = 3;
    pub const WEIGHT: u16 = 4;
    pub const U_THRESH: u16 = 5;
    pub const L_THRESH: u16 = 6;
    pub const ACTIVE_CONNS: u16 = 7;
    pub const INACT_CONNS: u16 = 8;
    pub const PERSIST_CONNS: u16 = 9;
    pub const STATS: u16 = 10;
    pub const ADDR_FAMILY: u16 = 11;
    pub const STATS64: u16 = 12;
    pub const TUN_TYPE: u16 = 13;
}

/// `IPVS_STATS_ATTR_*`.
pub mod stats {
    pub const CONNS: u16 = 1;
    pub const INPKTS: u16 = 2;
    pub const OUTPKTS: u16 = 3;
    pub const INBYTES: u16 = 4;
    pub const OUTBYTES: u16 = 5;
}

/// `IP_VS_SVC_F_PERSISTENT`.
pub const PERSISTENT: u32 = 0x1;
/// `IP_VS_SVC_F_HASHED`: the kernel's own, set on every service.
pub const HASHED: u32 = 0x2;

/// Persistence of a single client address: the mask for IPv4, in network order, and the prefix length for IPv6, in host
/// order (ip_vs_add_service in net/netfilter/ipvs/ip_vs_ctl.c).
pub fn netmask(ipv6: bool) -> u32 {
    if ipv6 { 128 } else { u32::MAX }
}

/// `union nf_inet_addr`: room for either family (include/uapi/linux/netfilter.h).
pub const ADDRESS: usize = 16;
