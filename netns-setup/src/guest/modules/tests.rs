use std::process::Command;

use proptest::prelude::*;

use super::file::{PACKED, modinfo};
use super::*;

/// A relocatable ELF file with one section, `.modinfo`.
fn module(modinfo: &str) -> Vec<u8> {
    let info = modinfo.replace('|', "\0");
    let names = b"\0.modinfo\0.shstrtab\0";
    let mut file = vec![0; 64];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16] = 1;
    file[18] = 62;
    let info_at = file.len();
    file.extend(info.as_bytes());
    let names_at = file.len();
    file.extend(names);
    let table = file.len();
    let mut header = |name: u32, kind: u32, offset: usize, length: usize| {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        file.extend(header);
    };
    header(0, 0, 0, 0);
    header(1, 1, info_at, info.len());
    header(10, 3, names_at, names.len());
    file[40..48].copy_from_slice(&(table as u64).to_le_bytes());
    file[58] = 64;
    file[60] = 3;
    file[62] = 2;
    file
}

/// A folder with `(file name, .modinfo)` in it.
fn folder(modules: &[(&str, &str)], builtin: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("kernel/net");
    fs::create_dir_all(&kernel).unwrap();
    for (name, info) in modules {
        fs::write(kernel.join(name), module(&format!("license=GPL|{info}|vermagic=6.1.0-x SMP |"))).unwrap();
    }
    fs::write(folder.path().join("modules.builtin"), builtin).unwrap();
    folder
}

const IMAGE: &str = "/boot/vmlinuz";

fn names(order: Vec<Module>) -> Vec<String> {
    order.into_iter().map(|module| module.name).collect()
}

#[test]
fn a_module_comes_after_all_that_it_depends_on() {
    let folder = folder(
        &[
            ("a.ko", "depends=b-one,c"),
            ("b_one.ko", "depends=d"),
            ("c.ko", "depends=d,tun"),
            ("d.ko", "depends=|softdep=pre: soft gone post: a"),
            ("soft.ko", "depends="),
            ("other.ko", "depends="),
        ],
        "kernel/drivers/net/tun.ko\n",
    );
    let modules = Modules::open(folder.path()).unwrap();
    assert_eq!(modules.release().unwrap().as_deref(), Some("6.1.0-x"));
    let order = modules.in_order(Path::new(IMAGE), "6.1.0-x", &["a", "b-one", "tun"], &["nowhere"]).unwrap();
    assert_eq!(names(order), ["soft", "d", "b_one", "c", "a"]);
}

/// libcrc32c asks for an algorithm, softly; in some kernels it is built in.
#[test]
fn soft_dependencies_may_name_what_modules_offer() {
    let folder = folder(&[("libcrc32c.ko", "depends=|softdep=pre: crc32c"), ("x.ko", "alias=crc32c")], "");
    let crypto = folder.path().join("kernel/crypto");
    fs::create_dir(&crypto).unwrap();
    for name in ["crc32c-intel", "crc32c_generic"] {
        let contents = module("alias=crc32c|alias=crypto-crc32c|vermagic=6.1.0-x SMP |");
        fs::write(crypto.join(format!("{name}.ko")), contents).unwrap();
    }
    let order = || {
        let order = Modules::open(folder.path())
            .unwrap()
            .in_order(Path::new(IMAGE), "6.1.0-x", &["libcrc32c"], &[])
            .unwrap();
        order.into_iter().map(|module| (module.name, module.required)).collect::<Vec<_>>()
    };
    let modules =
        |names: &[(&str, bool)]| names.iter().map(|(a, b)| ((*a).to_owned(), *b)).collect::<Vec<_>>();
    assert_eq!(order(), modules(&[("crc32c_generic", false), ("crc32c_intel", false), ("libcrc32c", true)]));
    fs::write(folder.path().join("modules.alias"), "# aliases\nalias crc32c crc32c-intel\n").unwrap();
    assert_eq!(order(), modules(&[("crc32c_intel", false), ("libcrc32c", true)]));
    let builtin = "libx.alias=x\0crc32c_generic.alias=crc32c\0";
    fs::write(folder.path().join("modules.builtin.modinfo"), builtin).unwrap();
    assert_eq!(order(), modules(&[("libcrc32c", true)]));
}

#[test]
fn a_missing_module_is_named_with_the_one_that_needs_it() {
    let folder = folder(&[("a.ko", "depends=b"), ("b.ko", "depends=gone"), ("c.ko", "depends=")], "");
    let modules = Modules::open(folder.path()).unwrap();
    let error = modules.in_order(Path::new(IMAGE), "6.1.0-x", &["a"], &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("module gone is missing for kernel 6.1.0-x (needed by b): neither in "),
        "{error}"
    );
    let error = modules.in_order(Path::new(IMAGE), "6.1.0-x", &["xt_comment"], &[]).unwrap_err().to_string();
    assert!(error.starts_with("module xt_comment is missing for kernel 6.1.0-x: neither in "), "{error}");
    // Optional: all or nothing.
    assert_eq!(names(modules.in_order(Path::new(IMAGE), "6.1.0-x", &[], &["a", "c"]).unwrap()), ["c"]);
}

#[test]
fn modules_of_another_kernel_are_refused_and_both_are_named() {
    let folder = folder(&[("a.ko", "depends=")], "");
    let error = Modules::open(folder.path())
        .unwrap()
        .in_order(Path::new(IMAGE), "6.2.0-y", &["a"], &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("kernel /boot/vmlinuz is 6.2.0-y, but ")
            && error.contains("kernel/net/a.ko is for 6.1.0-x"),
        "{error}"
    );

    let image = folder.path().join("vmlinuz");
    fs::write(&image, crate::guest::kernel::tests::bzimage("6.2.0-y #1")).unwrap();
    let error = crate::guest::Kernel::open(&image, Some(folder.path())).unwrap_err().to_string();
    assert!(error.contains("vmlinuz is 6.2.0-y, but ") && error.contains(" is for 6.1.0-x"), "{error}");
}

#[test]
fn packed_modules_are_unpacked() {
    unpacked(&["gz", "xz"]);
}

#[test]
#[ignore = "needs zstd; scripts/test installs it and runs this"]
fn modules_packed_by_zstd_are_unpacked() {
    unpacked(&["zst"]);
}

fn unpacked(endings: &[&str]) {
    let folder = folder(&[("plain.ko", "depends=")], "");
    let inner = folder.path().join("kernel/net");
    let contents = module("depends=plain|vermagic=6.1.0-x SMP|");
    let packed = PACKED.into_iter().filter(|(ending, ..)| endings.contains(ending));
    assert_eq!(packed.clone().count(), endings.len());
    for (ending, program, _) in packed {
        let file = inner.join(format!("packed-{ending}.ko"));
        fs::write(&file, &contents).unwrap();
        let packed = Command::new(program).arg("-c").arg(&file).output().unwrap().stdout;
        fs::remove_file(&file).unwrap();
        fs::write(inner.join(format!("packed-{ending}.ko.{ending}")), packed).unwrap();
        let name = format!("packed_{ending}");
        let order = Modules::open(folder.path())
            .unwrap()
            .in_order(Path::new(IMAGE), "6.1.0-x", &[&name], &[])
            .unwrap();
        assert_eq!(order[1], Module { name, required: true, contents: contents.clone() });
    }
    fs::write(inner.join("broken.ko.xz"), "no archive").unwrap();
    let error = Modules::open(folder.path())
        .unwrap()
        .in_order(Path::new(IMAGE), "6.1.0-x", &["broken"], &[])
        .unwrap_err();
    assert!(matches!(error, GuestError::Unpack { program: "xz", .. }), "{error}");
}

#[test]
fn what_is_no_module_is_refused() {
    let folder = folder(&[], "");
    fs::write(folder.path().join("kernel/bad.ko"), "text").unwrap();
    let error = Modules::open(folder.path())
        .unwrap()
        .in_order(Path::new(IMAGE), "6.1.0-x", &["bad"], &[])
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("bad.ko is not usable in a guest: it is no ELF file"), "{error}");
}

proptest! {
    #[test]
    fn arbitrary_modinfo_never_panics(section in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = modinfo(&section);
    }

    #[test]
    fn every_dependency_comes_first(edges in proptest::collection::vec((0usize..12, 0usize..12), 0..30)) {
        // Edges lead from higher to lower numbers, as in a kernel: no circles.
        let depends = |from: usize| {
            let all = edges.iter().filter(|(a, b)| *a.max(b) == from && a != b);
            all.map(|(a, b)| format!("m{}", a.min(b))).collect::<Vec<_>>().join(",")
        };
        let files: Vec<_> = (0..12).map(|n| (format!("m{n}.ko"), format!("depends={}", depends(n)))).collect();
        let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let folder = folder(&files, "");
        let order = names(Modules::open(folder.path()).unwrap().in_order(Path::new(IMAGE), "6.1.0-x", &["m11"], &["m5"]).unwrap());
        let place = |name: &str| order.iter().position(|other| other == name);
        for (a, b) in edges.iter().filter(|(a, b)| a != b) {
            let (low, high) = (format!("m{}", a.min(b)), format!("m{}", a.max(b)));
            if let Some(user) = place(&high) {
                prop_assert!(place(&low).unwrap() < user);
            }
        }
    }
}
