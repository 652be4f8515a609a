//! The archive a kernel unpacks as its first file system: cpio, "newc" form, not compressed
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::io::{self, Write};

/// One member. Owner and group are root, times are zero, so that the same members give the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member<'m> {
    /// Path without a leading slash.
    pub(crate) path: &'m str,
    /// File type and permissions (`st_mode` of inode(7)).
    pub(crate) mode: u32,
    /// Major and minor number of a device node.
    pub(crate) device: (u32, u32),
    /// Contents of a file, target of a symbolic link.
    pub(crate) contents: &'m [u8],
}

const TRAILER: Member<'static> = Member { path: "TRAILER!!!", mode: 0, device: (0, 0), contents: &[] };

/// Writes all members and the trailer.
pub(crate) fn write<'m>(out: &mut impl Write, members: impl Iterator<Item = Member<'m>>) -> io::Result<()> {
    for (index, member) in members.chain([TRAILER]).enumerate() {
        let too_long = |_| io::Error::new(io::ErrorKind::FileTooLarge, "cpio holds files of less than 4 GiB");
        let length = u32::try_from(member.contents.len()).map_err(too_long)?;
        let name_length = u32::try_from(member.path.len() + 1).map_err(too_long)?;
        // Distinct inode numbers and one link each: nothing is taken for a hard link.
        let inode = u32::try_from(index + 1).map_err(too_long)?;
        let links = u32::from(member.mode != 0);
        let (major, minor) = member.device;
        let fields = [inode, member.mode, 0, 0, links, 0, length, 0, 0, major, minor, name_length, 0];
        out.write_all(b"070701")?;
        for field in fields {
            write!(out, "{field:08X}")?;
        }
        out.write_all(member.path.as_bytes())?;
        out.write_all(&[0])?;
        pad(out, 6 + 8 * fields.len() + member.path.len() + 1)?;
        out.write_all(member.contents)?;
        pad(out, member.contents.len())?;
    }
    out.flush()
}

/// Names and contents end at multiples of four.
fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = (String, u32, (u32, u32), Vec<u8>);

    /// Reads an archive back, as init/initramfs.c does.
    pub(crate) fn read(archive: &[u8]) -> Vec<Read> {
        let (mut at, mut members) = (0, Vec::new());
        loop {
            assert_eq!(at % 4, 0);
            assert_eq!(&archive[at..at + 6], b"070701");
            let field = |index: usize| {
                let from = at + 6 + 8 * index;
                u32::from_str_radix(std::str::from_utf8(&archive[from..from + 8]).unwrap(), 16).unwrap()
            };
            let (mode, length, device, name_length) = (field(1), field(6), (field(9), field(10)), field(11));
            let (mtime, name_at) = (field(5), at + 110);
            let name_end = name_at + name_length as usize;
            assert_eq!((mtime, archive[name_end - 1]), (0, 0));
            let name = String::from_utf8(archive[name_at..name_end - 1].to_vec()).unwrap();
            let from = name_end.next_multiple_of(4);
            let end = from + length as usize;
            if name == "TRAILER!!!" {
                assert_eq!(end, archive.len());
                return members;
            }
            members.push((name, mode, device, archive[from..end].to_vec()));
            at = end.next_multiple_of(4);
        }
    }

    #[test]
    #[ignore = "needs cpio; scripts/test installs it and runs this"]
    fn cpio_lists_what_was_written() {
        let cpio = crate::find_program("cpio").expect("cpio");
        let member = |path, mode, contents| Member { path, mode, device: (0, 0), contents };
        let members = [
            member("etc", 0o040755, &b""[..]),
            member("etc/x", 0o100644, b"text"),
            member("l", 0o120777, b"etc/x"),
        ];
        let mut archive = tempfile::tempfile().unwrap();
        write(&mut archive, members.into_iter()).unwrap();
        std::io::Seek::rewind(&mut archive).unwrap();
        let listed = std::process::Command::new(cpio).arg("-tv").stdin(archive).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let lines: Vec<_> = listed.lines().collect();
        assert_eq!(lines.len(), 3, "{listed}");
        assert!(lines[0].starts_with("drwxr-xr-x") && lines[1].starts_with("-rw-r--r--"), "{listed}");
        assert!(lines[2].ends_with("l -> etc/x"), "{listed}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            given in proptest::collection::vec(("[a-z/]{1,20}", any::<u32>(), any::<(u32, u32)>(),
                proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        ) {
            let member = |(path, mode, device, contents): &'_ (String, u32, (u32, u32), Vec<u8>)| {
                (path.clone(), *mode, *device, contents.clone())
            };
            let members = given.iter().map(|(path, mode, device, contents)| Member {
                path, mode: *mode, device: *device, contents,
            });
            let mut archive = Vec::new();
            write(&mut archive, members).unwrap();
            prop_assert_eq!(read(&archive), given.iter().map(member).collect::<Vec<_>>());
        }
    }
}
