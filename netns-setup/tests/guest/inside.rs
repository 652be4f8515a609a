//! What the work finds inside.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use netns_setup::guest::{Accelerator, Clock, Facts, Guest, GuestError, Image, Kernel, Port, Spec};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::time::{ClockId, clock_gettime};

use crate::{kernel, lines, spec};

/// All bytes but the end of a line; it must not begin with the guest's own mark.
fn all_bytes() -> Vec<u8> {
    (2..=255).chain([0, 1]).filter(|&byte| byte != b'\n').collect()
}

/// In the guest: reports its devices, its mounts and its clock, and tries the port.
pub(crate) fn report(port: &mut Port) -> u8 {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_else(|error| format!("{path}: {error}"));
    let mut say = |key: &str, value: &str| port.line(format!("{key}={}", value.trim()).as_bytes()).unwrap();
    let before = now();
    let mut sum = 0u64;
    for index in 0..1_000_000u64 {
        sum = std::hint::black_box(sum ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    let after = now();
    say("work ns", &(after - before).to_string());
    // A timer has to wake it.
    thread::sleep(Duration::from_millis(50));
    say("slept ns", &(now() - after).to_string());
    say("monotonic", &after.to_string());
    say("realtime", &clock_gettime(ClockId::CLOCK_REALTIME).unwrap().tv_sec().to_string());
    say("random", &read("/proc/sys/kernel/random/boot_id"));
    say("address", &format!("{:p}", &raw const sum));
    say("name", &read("/proc/sys/kernel/hostname"));
    say("path", &std::env::var("PATH").unwrap());
    let modules: Vec<_> =
        read("/proc/modules").lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    say("modules", &modules.join(" "));
    let mounted: Vec<_> =
        read("/proc/mounts").lines().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
    say("mounts", &mounted.join(" "));
    say("tun", &Path::new("/dev/net/tun").exists().to_string());
    let shell = Command::new("sh").args(["-c", "echo $0 $((6 * 7))"]).output().unwrap();
    say("shell", &String::from_utf8_lossy(&shell.stdout));
    // A protocol that no module was loaded for: the kernel asks for one.
    let x25 = socket(AddressFamily::X25, SockType::SeqPacket, SockFlag::empty(), None);
    say("x25", &x25.unwrap_err().to_string());

    assert!(port.line(b"two\nlines").is_err() && port.line(b"\x01end 0 well").is_err());
    port.line(&all_bytes()).unwrap();
    port.line(&vec![b'x'; 1 << 20]).unwrap();
    port.line(b"").unwrap();
    println!("words for the console");
    0
}

fn now() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

fn image(kernel: &Kernel) -> Image {
    let mut image = Image::of_this_program("facts").unwrap();
    image.program(Path::new("/bin/sh")).unwrap();
    image.modules(kernel, &["tun", "ip-vs-wrr"], &["no_such_module"]).unwrap();
    image
}

pub(crate) fn same_twice() {
    let image = image(kernel());
    let run = || {
        let mut guest = Guest::start(&spec(&image), &|| false).unwrap();
        let (lines, outcome) = lines(&mut guest);
        outcome.unwrap();
        (lines, guest.report())
    };
    let (first, facts) = run();
    assert_eq!(facts.accelerator, "tcg");
    assert_eq!(facts.kernel_release, kernel().release);
    assert!(facts.emulator.starts_with("QEMU emulator version "), "{}", facts.emulator);
    assert_eq!(facts.modules_asked, ["net-pf-9"], "and nothing while it booted");
    assert!(facts.console.iter().any(|line| line == "words for the console"), "{:?}", facts.console);

    assert_eq!(first[first.len() - 3..], [all_bytes(), vec![b'x'; 1 << 20], vec![]]);
    let text = String::from_utf8(first[..first.len() - 3].join(&b'\n')).unwrap();
    let found: BTreeMap<_, _> = text.lines().map(|line| line.split_once('=').unwrap()).collect();
    // Five instructions a round or so; a clock of the host would say anything.
    let work: u64 = found["work ns"].parse().unwrap();
    assert!((2_000_000..100_000_000).contains(&work), "{work}");
    let slept: u64 = found["slept ns"].parse().unwrap();
    assert!((50_000_000..55_000_000).contains(&slept), "{slept}");
    assert_eq!(found["realtime"].parse::<u64>().unwrap() / 1000, 1_767_225, "2026-01-01");
    assert_eq!(found["name"], "guest");
    assert!(found["path"].contains("/usr/sbin:/usr/bin"));
    let loaded: Vec<_> = found["modules"].split(' ').collect();
    assert!(
        ["tun", "ip_vs_wrr", "ip_vs", "nf_conntrack"].iter().all(|name| loaded.contains(name)),
        "{loaded:?}"
    );
    assert!(
        ["/proc", "/sys", "/dev", "/run", "/tmp"]
            .iter()
            .all(|at| found["mounts"].split(' ').any(|m| m == *at))
    );
    assert_eq!((found["tun"], found["shell"]), ("true", "sh 42"));
    assert!(found["x25"].contains("EAFNOSUPPORT"), "{}", found["x25"]);

    let (second, facts_again) = run();
    let first_line = |facts: &Facts| facts.boot + facts.setup;
    println!(
        "start to the first line of the work: {:.2?}, {:.2?}",
        first_line(&facts),
        first_line(&facts_again)
    );
    let text_again = String::from_utf8(second[..second.len() - 3].join(&b'\n')).unwrap();
    assert_eq!(text, text_again, "times, random numbers and addresses");
}

pub(crate) fn wall_clock() {
    let image = image(kernel());
    let mut guest = Guest::start(&Spec { clock: Clock::Wall, ..spec(&image) }, &|| false).unwrap();
    let (_, outcome) = lines(&mut guest);
    outcome.unwrap();
    let facts = guest.report();
    match facts.accelerator {
        "kvm" => assert_eq!(facts.why_not_kvm, None),
        _ => println!("emulated: {}", facts.why_not_kvm.clone().expect("a reason")),
    }
    // The second time it is known.
    if facts.why_not_kvm.is_some() {
        let wanted = Spec { clock: Clock::Wall, accelerator: Accelerator::Kvm, ..spec(&image) };
        let start = std::time::Instant::now();
        let error = Guest::start(&wanted, &|| false).unwrap_err();
        assert!(matches!(error, GuestError::Kvm { .. }), "{error}");
        // Less than KVM is given to boot a guest: it was not tried again.
        assert!(start.elapsed().as_secs() < 8, "{:?}", start.elapsed());
    }
}

/// A module for the right kernel whose contents do not match its signature, or that is a program (e_type), where the
/// kernel does not look at signatures.
pub(crate) fn refused_module() {
    let folder = tempfile::tempdir().unwrap();
    let modules = folder.path().join(&kernel().release);
    fs::create_dir_all(modules.join("kernel")).unwrap();
    let real = find(kernel().modules.as_ref().unwrap(), "tun.ko").expect("tun.ko");
    let mut contents = fs::read(real).unwrap();
    contents[16] = 2;
    fs::write(modules.join("kernel/tun.ko"), contents).unwrap();
    let broken = Kernel::open(&kernel().image, Some(folder.path())).unwrap();
    let mut image = Image::of_this_program("facts").unwrap();
    image.modules(&broken, &["tun"], &[]).unwrap();
    let error = Guest::start(&spec(&image), &|| false).unwrap_err();
    assert!(matches!(error, GuestError::Setup { .. }), "{error}");
    let answers = ["load module tun: Key was rejected by service;", "load module tun: Exec format error;"];
    assert!(answers.iter().any(|answer| error.to_string().contains(answer)), "{error}");
}

fn find(folder: &Path, name: &str) -> Option<std::path::PathBuf> {
    let entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => Some(path).filter(|path| path.ends_with(name)),
    })
}
