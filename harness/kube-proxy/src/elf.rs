//! Whether a file is a program for this machine, by the first bytes of it (elf(5)).

/// Bytes that are looked at.
pub(crate) const LOOKED_AT: usize = 20;

/// `EM_*` of the machines that Kubernetes is built for, and of those that it was.
const MACHINES: &[(u16, &str)] = &[
    (3, "x86"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

/// What a file is instead of a program for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Something else: in words.
    NoProgram(&'static str),
    /// A program for another machine, of this name.
    OtherMachine(String),
}

/// Whether a file that begins like this can be run here.
pub(crate) fn check(begins: &[u8]) -> Result<(), Unfit> {
    check_for(begins, std::env::consts::ARCH, cfg!(target_endian = "little"))
}

fn check_for(begins: &[u8], ours: &str, little_endian: bool) -> Result<(), Unfit> {
    if begins.is_empty() {
        return Err(Unfit::NoProgram("an empty file"));
    }
    if begins.starts_with(b"#!") {
        return Err(Unfit::NoProgram("a script"));
    }
    let Some(header) = begins.strip_prefix(b"\x7fELF").filter(|rest| rest.len() >= LOOKED_AT - 4) else {
        return Err(Unfit::NoProgram("no ELF file"));
    };
    let is_little = match header[1] {
        1 => true,
        2 => false,
        _ => return Err(Unfit::NoProgram("a damaged ELF file")),
    };
    let field = |at: usize| {
        let bytes = [header[at - 4], header[at - 3]];
        if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    };
    // ET_EXEC, ET_DYN.
    if !matches!(field(16), 2 | 3) {
        return Err(Unfit::NoProgram("an ELF file that is no program (an object or a core dump)"));
    }
    let machine = field(18);
    let name = match MACHINES.iter().find(|(number, _)| *number == machine) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("machine {machine} of elf(5)"),
    };
    let name = if is_little || machine != 21 { name } else { format!("{name} (big-endian)") };
    if name == ours && is_little == little_endian {
        return Ok(());
    }
    Err(Unfit::OtherMachine(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(endian: u8, kind: u16, machine: u16) -> Vec<u8> {
        let mut header = b"\x7fELF\x02".to_vec();
        header.push(endian);
        header.resize(16, 0);
        let bytes = |value: u16| if endian == 2 { value.to_be_bytes() } else { value.to_le_bytes() };
        header.extend(bytes(kind));
        header.extend(bytes(machine));
        header
    }

    fn on_x86(begins: &[u8]) -> Result<(), Unfit> {
        check_for(begins, "x86_64", true)
    }

    #[test]
    fn only_programs_for_this_machine_pass() {
        assert_eq!(on_x86(&header(1, 2, 62)), Ok(()));
        assert_eq!(on_x86(&header(1, 3, 62)), Ok(()));
        assert_eq!(check_for(&header(2, 2, 22), "s390x", false), Ok(()));
        for (begins, what) in [
            (&b""[..], "an empty file"),
            (b"#!/bin/sh\nexec kube-proxy\n", "a script"),
            (b"PK\x03\x04", "no ELF file"),
            (b"\x7fELF\x02\x01", "no ELF file"),
            (&header(3, 2, 62), "a damaged ELF file"),
            (&header(1, 1, 62), "an ELF file that is no program (an object or a core dump)"),
        ] {
            assert_eq!(on_x86(begins), Err(Unfit::NoProgram(what)));
        }
        for (begins, name) in [
            (header(1, 2, 183), "aarch64"),
            (header(2, 2, 22), "s390x"),
            (header(2, 2, 21), "powerpc64 (big-endian)"),
            (header(1, 2, 999), "machine 999 of elf(5)"),
        ] {
            assert_eq!(on_x86(&begins), Err(Unfit::OtherMachine(name.into())));
        }
    }

    #[test]
    fn this_test_is_a_program_for_this_machine() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(check(&program[..LOOKED_AT]), Ok(()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..40), rest: Vec<u8>) {
            let _ = check(&bytes);
            let _ = check(&[&b"\x7fELF"[..], &rest].concat());
        }
    }
}
