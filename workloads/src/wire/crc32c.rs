//! The checksum of SCTP (RFC 9260, appendix A): CRC-32C, Castagnoli's polynomial, least significant bit first.

const REFLECTED: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 1 == 1 { rest >> 1 ^ REFLECTED } else { rest >> 1 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

/// Of these pieces, one after the other, as it stands in an SCTP header.
pub(super) fn crc32c(pieces: [&[u8]; 3]) -> [u8; 4] {
    let step = |sum: u32, byte: &u8| sum >> 8 ^ TABLE[usize::from(sum as u8 ^ byte)];
    let sum = pieces.into_iter().flatten().fold(u32::MAX, step);
    (!sum).to_le_bytes()
}
