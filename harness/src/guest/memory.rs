//! How much memory a guest needs, from what it is to hold.

use dataplane::Mode;
use services::service_set::Scale;

use crate::sweep::cell::{Cell, Workload};

/// The kernel, an empty lab, and this program.
const BASE: u64 = 400 << 20;
/// Room for what was not foreseen: a quarter more.
const SPARE: (u64, u64) = (5, 4);

/// Bytes that a mode's rules take in the kernel, per endpoint; bytes that its largest program takes for a listing or
/// a transaction, per endpoint. Measured with 10 endpoints per Service in guests of Debian 12 (METHODOLOGY.md).
const fn bytes(mode: Mode) -> (u64, u64) {
    match mode {
        Mode::Direct | Mode::Conntrack | Mode::Dnat | Mode::BackgroundLegacy | Mode::BackgroundNft => (0, 0),
        Mode::IptablesLegacy => (1_500, 3_000),
        Mode::Replay | Mode::IptablesNft => (4_000, 8_000),
        Mode::Nftables => (4_000, 20_000),
        Mode::Ipvs | Mode::IpvsBatched => (1_000, 1_000),
    }
}

/// Bytes that a real kube-proxy and the API server have for themselves, and per endpoint:
/// objects, caches and what garbage collection leaves until its next turn. An estimate, on the safe side.
const SYSTEM: (u64, u64) = (200 << 20, 10_000);

/// Bytes that an entry of connection tracking takes in the kernel and in a kube-proxy that lists it. An estimate, on the safe
/// side.
const ENTRY: u64 = 4_000;

/// Memory in MiB for a guest that measures `cells`, booted from an image of so many bytes: labs for lookups live side
/// by side, syncs have one at a time; systems have so many entries of connection tracking.
pub(super) fn mebibytes(cells: &[Cell], image: u64, entries: u32) -> u32 {
    let size = |scale: Scale| u64::from(scale.services) * u64::from(scale.endpoints);
    let mut labs: Vec<(Mode, Scale)> = cells
        .iter()
        .filter(|cell| cell.workload.is_of_lookups())
        .map(|cell| (cell.mode, cell.scale))
        .collect();
    labs.sort_unstable();
    labs.dedup();
    let living: u64 = labs.iter().map(|&(mode, scale)| size(scale) * bytes(mode).0).sum();
    let syncs = cells.iter().map(|cell| (cell.mode, cell.scale));
    let working = syncs.map(|(mode, scale)| size(scale) * (bytes(mode).0 + bytes(mode).1)).max().unwrap_or(0);
    let systems = cells.iter().filter(|cell| matches!(cell.workload, Workload::System(_)));
    let system = |cell: &Cell| SYSTEM.0 + size(cell.scale) * SYSTEM.1 + u64::from(entries) * ENTRY;
    let systems = systems.map(system).max().unwrap_or(0);
    // Services, plans and their texts in this program.
    let model = cells.iter().map(|cell| size(cell.scale) * 2_500).max().unwrap_or(0);
    // An image lies in memory twice until it is unpacked.
    let total = (BASE + 2 * image + living + working + systems + model) * SPARE.0 / SPARE.1;
    u32::try_from(total >> 20).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use services::service_set::Position;

    fn cell(mode: Mode, services: u32, workload: Workload) -> Cell {
        Cell { order: 0, block: 1, mode, scale: Scale { services, endpoints: 10 }, workload, again: false }
    }

    #[test]
    fn memory_grows_with_what_lives_side_by_side() {
        let lookup = |mode, services| cell(mode, services, Workload::Lookup(Position::Last));
        let small = mebibytes(&[lookup(Mode::Direct, 10)], 60 << 20, 0);
        let one = mebibytes(&[lookup(Mode::Nftables, 5_000)], 60 << 20, 0);
        let same = mebibytes(&[lookup(Mode::Nftables, 5_000); 7], 60 << 20, 0);
        let two = mebibytes(
            &[lookup(Mode::Nftables, 5_000), lookup(Mode::IptablesNft, 5_000)],
            60 << 20,
            1_000_000,
        );
        assert!(small < one && one < two, "{small} {one} {two}");
        assert_eq!(one, same, "a lab is visited often and lives once");
        assert!((500..900).contains(&small), "{small} MiB");
        assert!(mebibytes(&[cell(Mode::Nftables, 10_000, Workload::Sync)], 60 << 20, 0) > 2_000);
        let system = |entries| mebibytes(&[cell(Mode::Ipvs, 10, Workload::System(0))], 60 << 20, entries);
        assert!(system(0) > small && system(1_000_000) > system(0) + 2_000);
    }
}
