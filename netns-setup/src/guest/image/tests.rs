use super::*;
use crate::guest::cpio::tests::read;
use std::io::{Read, Seek};
use std::os::unix::fs::symlink;

fn archive(image: &Image) -> Vec<u8> {
    let mut file = fs::File::from(image.archive().unwrap());
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Path, mode and contents of what is at `path` in the guest, links followed.
fn lookup(image: &Image, path: &str) -> Option<Entry> {
    let mut image = image.clone();
    let mut path = image.resolve(path).unwrap();
    while let Some(Entry::Link { target }) = image.entries.get(&path).cloned() {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        path = image
            .resolve(&if target.starts_with('/') { target } else { format!("{parent}/{target}") })
            .unwrap();
    }
    image.entries.get(&path).cloned()
}

#[test]
fn this_program_becomes_init_with_its_loader_and_libraries() {
    let image = Image::of_this_program("the job").unwrap();
    let Some(Entry::File { mode: 0o755, contents }) = lookup(&image, "/init") else { panic!() };
    assert!((contents.len() as u64) < fs::metadata("/proc/self/exe").unwrap().len());
    let elf = Elf::parse(&contents).unwrap();
    assert!(matches!(lookup(&image, elf.interpreter().unwrap().unwrap()), Some(Entry::File { .. })));
    for library in elf.dynamic().unwrap().needed {
        let found = image.libraries.find(&library, Path::new("/init"), &[]).unwrap();
        let Some(Entry::File { contents, .. }) = lookup(&image, found.to_str().unwrap()) else {
            panic!("{library}")
        };
        assert!(elf::is_elf(&contents));
    }
    let Some(Entry::File { contents, .. }) = lookup(&image, inside::JOB) else { panic!() };
    assert_eq!(&contents[..], b"the job");
    assert!(matches!(lookup(&image, "/dev/ttyS1"), Some(Entry::Device { major: 4, minor: 65, .. })));
}

#[test]
fn the_same_files_give_the_same_bytes_and_folders_come_first() {
    let image = || {
        let mut image = Image::of_this_program("").unwrap();
        image.program(Path::new("/bin/sh")).unwrap();
        image.bytes("/some/where/new", "text", 0o600).unwrap();
        archive(&image)
    };
    let (one, two) = (image(), image());
    assert!(one == two);
    let members = read(&one);
    for (index, (path, ..)) in members.iter().enumerate() {
        let Some((parent, _)) = path.rsplit_once('/') else { continue };
        let before = members[..index].iter().find(|(other, ..)| other == parent);
        assert_eq!(before.map(|(_, mode, ..)| mode & 0o170000), Some(0o040000), "{parent} before {path}");
    }
    assert!(
        members
            .iter()
            .any(|member| member.0 == "some/where/new" && member.1 == 0o100600 && member.3 == b"text")
    );
}

#[test]
fn links_are_kept_and_their_targets_come_along() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("real/bin")).unwrap();
    fs::write(at("real/bin/tool-1"), "#!/bin/sh -e\n").unwrap();
    symlink("real", at("usr")).unwrap();
    symlink("../bin/tool-1", at("real/bin/tool")).unwrap();
    symlink(at("usr/bin/tool"), at("tool")).unwrap();
    symlink("circle", at("circle")).unwrap();

    let mut image = Image::of_this_program("").unwrap();
    image.program(&at("tool")).unwrap();
    let name = |name: &str| image_path(&at(name)).unwrap();
    assert_eq!(image.entries[&name("usr")], Entry::Link { target: "real".into() });
    assert_eq!(image.entries[&name("real/bin/tool")], Entry::Link { target: "../bin/tool-1".into() });
    assert!(matches!(image.entries[&name("real/bin/tool-1")], Entry::File { .. }));
    assert!(matches!(lookup(&image, "/bin/sh"), Some(Entry::File { .. })), "the interpreter");
    // New files go where the guest's links lead.
    image.bytes(&format!("{}/new", at("usr").display()), "", 0o644).unwrap();
    assert!(image.entries.contains_key(&name("real/new")));

    let error = image.program(&at("circle")).unwrap_err().to_string();
    assert!(error.contains("circle: Too many symbolic links encountered"), "{error}");
    let error = image.program(&at("none")).unwrap_err().to_string();
    assert!(error.contains("none: No such file"), "{error}");
    let error = image.bytes(&format!("{}/x", at("real/bin/tool").display()), "", 0o644);
    assert!(matches!(error, Err(GuestError::Clash { .. })), "a file is no folder");
}

#[test]
fn folders_are_copied_whole_and_plugins_bring_their_libraries() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/b")).unwrap();
    fs::write(root.path().join("a/b/file"), "text").unwrap();
    fs::copy("/proc/self/exe", root.path().join("a/plug.so")).unwrap();
    fs::write(root.path().join("a/notes.txt"), "").unwrap();
    let mut image = Image::of_this_program("").unwrap();
    let before = image.entries.len();
    image.plugins(&root.path().join("a")).unwrap();
    let name = |name: &str| image_path(&root.path().join(name)).unwrap();
    assert!(image.entries.len() > before && image.entries.contains_key(&name("a/plug.so")));
    assert!(!image.entries.contains_key(&name("a/notes.txt")));
    image.copy(&root.path().join("a")).unwrap();
    assert!(
        image.entries.contains_key(&name("a/b/file")) && image.entries.contains_key(&name("a/notes.txt"))
    );

    fs::write(root.path().join("a/bad.so"), b"\x7fELF").unwrap();
    let error = image.plugins(&root.path().join("a")).unwrap_err().to_string();
    assert!(error.contains("bad.so is not usable in a guest"), "{error}");
}

#[test]
fn modules_need_a_folder() {
    let kernel = Kernel { image: "/boot/vmlinuz".into(), modules: None, release: "6.1.0".into() };
    let mut image = Image::of_this_program("").unwrap();
    image.modules(&kernel, &[], &["tun"]).unwrap();
    let error = image.modules(&kernel, &["tun", "dummy"], &[]).unwrap_err().to_string();
    assert!(error.contains("kernel 6.1.0 needs the modules tun dummy, and no folder"), "{error}");
}
