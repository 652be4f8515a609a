//! As much of ELF as a guest's file system needs: which libraries a program wants, and what a module says of itself.
//!
//! Layouts are those of elf(5), 64-bit little-endian. Files are read, never run (`ldd` runs the loader).

/// A parsed header. Every accessor checks bounds: a malformed file gives an error, never a panic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elf<'f> {
    file: &'f [u8],
}

type Result<T> = std::result::Result<T, &'static str>;

const BEYOND: &str = "a header points beyond the end of the file";

#[derive(Debug, Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    length: u64,
}

/// What the dynamic loader reads from a program or library.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Dynamic {
    /// DT_NEEDED, in order.
    pub(crate) needed: Vec<String>,
    /// DT_RUNPATH, or the older DT_RPATH, split at colons.
    pub(crate) runpath: Vec<String>,
}

impl<'f> Elf<'f> {
    /// Accepts 64-bit little-endian x86-64 files.
    pub(crate) fn parse(file: &'f [u8]) -> Result<Elf<'f>> {
        if !is_elf(file) {
            return Err("it is no ELF file");
        }
        let elf = Elf { file };
        if file.get(4..6) != Some(&[2, 1]) || elf.u16(18)? != 62 {
            return Err("it is not for x86-64 (EM_X86_64, 64-bit, little-endian)");
        }
        Ok(elf)
    }

    /// The path of the dynamic loader (PT_INTERP); none for static programs and for libraries.
    pub(crate) fn interpreter(&self) -> Result<Option<&'f str>> {
        for segment in self.segments()? {
            if segment.kind == 3 {
                let bytes = self.slice(segment.offset, segment.length)?;
                return until_nul(bytes).map(Some);
            }
        }
        Ok(None)
    }

    /// The dynamic section (PT_DYNAMIC); empty for static programs.
    pub(crate) fn dynamic(&self) -> Result<Dynamic> {
        let segments = self.segments()?;
        let Some(dynamic) = segments.iter().find(|segment| segment.kind == 2) else {
            return Ok(Dynamic::default());
        };
        let table = self.slice(dynamic.offset, dynamic.length)?;
        let (mut names, mut needed, mut rpath, mut runpath) = (None, Vec::new(), None, None);
        for entry in table.chunks_exact(16) {
            let (tag, value) = (le64(&entry[..8]), le64(&entry[8..]));
            match tag {
                0 => break,
                1 => needed.push(value),
                5 => names = Some(value),
                15 => rpath = Some(value),
                29 => runpath = Some(value),
                _ => {}
            }
        }
        if needed.is_empty() && rpath.is_none() && runpath.is_none() {
            return Ok(Dynamic::default());
        }
        let names = file_offset(&segments, names.ok_or("its dynamic section has no string table")?)?;
        let name = |at: u64| until_nul(self.file.get(usize_of(names.saturating_add(at))?..).ok_or(BEYOND)?);
        let needed = needed.into_iter().map(|at| name(at).map(str::to_owned)).collect::<Result<_>>()?;
        let runpath = match runpath.or(rpath) {
            Some(at) => name(at)?.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect(),
            None => Vec::new(),
        };
        Ok(Dynamic { needed, runpath })
    }

    /// The contents of the section called `name`.
    pub(crate) fn section(&self, name: &str) -> Result<Option<&'f [u8]>> {
        let (table, size, count) = (self.u64(40)?, u64::from(self.u16(58)?), u64::from(self.u16(60)?));
        if count == 0 {
            return Ok(None);
        }
        if size < 64 {
            return Err("its section headers are too short");
        }
        let header = |index: u64| {
            let at = index.checked_mul(size).and_then(|offset| offset.checked_add(table)).ok_or(BEYOND)?;
            self.slice(at, 64)
        };
        let contents = |header: &[u8]| match le32(&header[4..8]) {
            8 => Ok(&[][..]), // SHT_NOBITS occupies no space in the file
            _ => self.slice(le64(&header[24..32]), le64(&header[32..40])),
        };
        let names = contents(header(u64::from(self.u16(62)?))?)?;
        for index in 0..count {
            let header = header(index)?;
            let own = names.get(le32(&header[..4]) as usize..).ok_or(BEYOND)?;
            if own.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0)) {
                return contents(header).map(Some);
            }
        }
        Ok(None)
    }

    /// The file without what no loader maps (debug information, symbols, section headers).
    ///
    /// Sections that are not allocated lie behind the last PT_LOAD segment; so the file ends there, and its header says
    /// that there are no sections.
    pub(crate) fn mapped_part(&self) -> Result<Vec<u8>> {
        let mut end =
            usize_of(self.u64(32)?)?.saturating_add(self.u16(54)? as usize * self.u16(56)? as usize);
        for segment in self.segments()? {
            end = end.max(usize_of(segment.offset.checked_add(segment.length).ok_or(BEYOND)?)?);
        }
        let mut part = self.file.get(..end.max(64)).ok_or(BEYOND)?.to_vec();
        part[40..48].fill(0); // e_shoff
        part[60..64].fill(0); // e_shnum, e_shstrndx
        Ok(part)
    }

    fn segments(&self) -> Result<Vec<Segment>> {
        let (table, size, count) = (self.u64(32)?, self.u16(54)?, self.u16(56)?);
        if count > 0 && size < 56 {
            return Err("its program headers are too short");
        }
        (0..u64::from(count))
            .map(|index| {
                let header = self.slice(table.checked_add(index * u64::from(size)).ok_or(BEYOND)?, 56)?;
                Ok(Segment {
                    kind: le32(&header[..4]),
                    offset: le64(&header[8..16]),
                    address: le64(&header[16..24]),
                    length: le64(&header[32..40]),
                })
            })
            .collect()
    }

    fn slice(&self, offset: u64, length: u64) -> Result<&'f [u8]> {
        let end = offset.checked_add(length).ok_or(BEYOND)?;
        self.file.get(usize_of(offset)?..usize_of(end)?).ok_or(BEYOND)
    }

    fn u16(&self, at: u64) -> Result<u16> {
        let bytes = self.slice(at, 2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn u64(&self, at: u64) -> Result<u64> {
        self.slice(at, 8).map(le64)
    }
}

pub(crate) fn is_elf(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF")
}

/// Where in the file a loaded address comes from.
fn file_offset(segments: &[Segment], address: u64) -> Result<u64> {
    segments
        .iter()
        .filter(|segment| segment.kind == 1)
        .find_map(|segment| {
            let inside = address.checked_sub(segment.address).filter(|&inside| inside < segment.length)?;
            segment.offset.checked_add(inside)
        })
        .ok_or("its string table is not loaded")
}

fn until_nul(bytes: &[u8]) -> Result<&str> {
    let end = bytes.iter().position(|&byte| byte == 0).ok_or("a name without an end")?;
    std::str::from_utf8(&bytes[..end]).map_err(|_| "a name that is not UTF-8")
}

fn usize_of(value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| BEYOND)
}

fn le32(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |value, &byte| value << 8 | u32::from(byte))
}

fn le64(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    fn read_all(file: &[u8]) -> Result<()> {
        let elf = Elf::parse(file)?;
        elf.interpreter()?;
        elf.dynamic()?;
        elf.section(".modinfo")?;
        elf.section(".dynstr")?;
        elf.mapped_part()?;
        Ok(())
    }

    #[test]
    fn this_program_needs_its_loader_and_libc() {
        let file = own();
        let elf = Elf::parse(&file).unwrap();
        assert!(elf.interpreter().unwrap().unwrap().contains("ld-linux-x86-64"));
        let needed = elf.dynamic().unwrap().needed;
        assert!(needed.iter().any(|name| name == "libc.so.6"), "{needed:?}");
        assert!(elf.section(".dynstr").unwrap().unwrap().windows(10).any(|name| name == b"libc.so.6\0"));
        assert_eq!(elf.section(".no-such").unwrap(), None);
    }

    #[test]
    fn the_mapped_part_is_shorter_and_says_the_same_to_a_loader() {
        let file = own();
        let elf = Elf::parse(&file).unwrap();
        let part = elf.mapped_part().unwrap();
        assert!(part.len() < file.len(), "{} of {}", part.len(), file.len());
        let short = Elf::parse(&part).unwrap();
        assert_eq!(short.dynamic().unwrap(), elf.dynamic().unwrap());
        assert_eq!(short.interpreter().unwrap(), elf.interpreter().unwrap());
        assert_eq!(short.section(".dynstr").unwrap(), None);
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Elf::parse(b"#!/bin/sh\n").unwrap_err(), "it is no ELF file");
        let mut file = own();
        file[18] = 183;
        assert!(Elf::parse(&file).unwrap_err().contains("not for x86-64"));
        assert!(Elf::parse(&own()[..40]).and_then(|elf| elf.dynamic()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec();
            file.extend(tail);
            let _ = read_all(&file);
        }

        #[test]
        fn a_damaged_program_never_panics(damage in proptest::collection::vec((0usize..4096, any::<u8>()), 1..20)) {
            // Small, and on every system.
            let mut file = std::fs::read("/bin/sh").unwrap();
            for (at, byte) in damage {
                file[at] = byte;
            }
            let _ = read_all(&file);
        }
    }
}
