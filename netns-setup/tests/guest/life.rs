//! No emulator outlives its guest.

use std::cell::Cell;
use std::fs;
use std::io::{BufRead, BufReader};
use std::thread;
use std::time::{Duration, Instant};

use netns_setup::guest::{Guest, GuestError, Image, Spec};

use crate::spec;
use crate::support::{in_role, role, wait_until};

/// Emulators of the process `owner` with so much memory: tests run side by side, and each here has a size of its own.
fn emulators(owner: u32, memory_mib: u32) -> Vec<u32> {
    let (initrd, memory) = (format!("/proc/{owner}/fd/"), format!("{memory_mib}M"));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours = |id: &u32| {
        // Empty once it is a zombie.
        let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
        words[0].contains("qemu-system")
            && words.iter().any(|word| word.starts_with(&initrd))
            && words.iter().any(|word| *word == memory)
    };
    ids.filter(ours).collect()
}

fn hanging() -> Image {
    Image::of_this_program("hang").unwrap()
}

pub(crate) fn dropped() {
    const SIZE: u32 = 301;
    let image = hanging();
    let guest = Guest::start(&Spec { memory_mib: SIZE, ..spec(&image) }, &|| false).unwrap();
    assert_eq!(emulators(std::process::id(), SIZE).len(), 1);
    drop(guest);
    assert_eq!(emulators(std::process::id(), SIZE), []);
}

/// Asked while the guest boots, and while it runs.
pub(crate) fn stopped() {
    const SIZE: u32 = 302;
    let image = hanging();
    let spec = Spec { memory_mib: SIZE, ..spec(&image) };
    let asked = Cell::new(0);
    let error = Guest::start(&spec, &|| {
        asked.set(asked.get() + 1);
        asked.get() == 3
    });
    assert!(matches!(error, Err(GuestError::Stopped)), "{error:?}");
    assert_eq!(emulators(std::process::id(), SIZE), []);

    let mut guest = Guest::start(&spec, &|| false).unwrap();
    assert_eq!(guest.next(&|| false).unwrap().as_deref(), Some(&b"so far so good"[..]));
    let start = Instant::now();
    let error = guest.next(&|| start.elapsed() > Duration::from_millis(200));
    assert!(matches!(error, Err(GuestError::Stopped)), "{error:?}");
    assert!(start.elapsed() < spec.silence_timeout);
    assert_eq!(emulators(std::process::id(), SIZE), [], "though the guest is still there");
    assert!(matches!(guest.next(&|| false), Ok(None)));
}

const OWNERS_SIZE: u32 = 303;

/// This binary started again by [`killed`]. Returns whether it was.
pub(crate) fn play_role() -> bool {
    if role().as_deref() != Some("owner") {
        return false;
    }
    let image = hanging();
    let guest = Guest::start(&Spec { memory_mib: OWNERS_SIZE, ..spec(&image) }, &|| false).unwrap();
    println!("running");
    thread::sleep(Duration::from_secs(100));
    drop(guest);
    true
}

pub(crate) fn killed() {
    let mut owner = in_role("owner").spawn().unwrap();
    let mut line = String::new();
    BufReader::new(owner.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "running\n");
    assert_eq!(emulators(owner.id(), OWNERS_SIZE).len(), 1);
    // SIGKILL.
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the emulator has ended", || emulators(owner.id(), OWNERS_SIZE).is_empty());
}
