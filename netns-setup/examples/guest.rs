//! Runs a program of the host inside a guest kernel, and shows what it prints.
//!
//! ```console
//! $ cargo run --example guest -- --module ip_vs_rr --file /usr/sbin/ipvsadm -- /bin/sh -c 'ipvsadm -A -t 10.0.0.1:80; ipvsadm -Ln'
//! ```
//!
//! The program's output arrives line by line over the data port; the guest's console, boot times and the modules that
//! its kernel asked for in vain go to standard error.

#![expect(clippy::disallowed_methods, clippy::print_stderr, reason = "examples talk to whoever runs them")]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use netns_setup::guest::{self, Accelerator, Clock, Guest, GuestError, Image, Kernel, Port, Spec};

const USAGE: &str = "usage: guest [--clock wall|instructions] [--accelerator auto|kvm|emulation] [--memory MIB] \
                     [--kernel IMAGE --modules FOLDER] [--module NAME]... [--optional NAME]... [--file PATH]... \
                     [--plugins FOLDER]... [--copy PATH]... [--append PARAMETER]... -- PROGRAM [ARGUMENT]...";

fn main() -> ExitCode {
    guest::inside(work);
    match host() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// In the guest: the job is the command, its words ended by NUL.
fn work(job: &[u8], port: &mut Port) -> u8 {
    let words: Vec<_> = job.split(|&byte| byte == 0).map(String::from_utf8_lossy).collect();
    let mut command = Command::new(words[0].as_ref());
    command.args(words[1..].iter().map(AsRef::as_ref)).stdout(Stdio::piped());
    let outcome = command.spawn().and_then(|mut child| {
        for line in BufReader::new(child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe)?).split(b'\n') {
            port.line(&line?)?;
        }
        child.wait()
    });
    match outcome {
        Ok(status) => status.code().map_or(u8::MAX, |code| code.clamp(0, 255) as u8),
        Err(error) => {
            eprintln!("{}: {error}", words[0]);
            u8::MAX
        }
    }
}

struct Options {
    clock: Clock,
    accelerator: Accelerator,
    memory_mib: u32,
    kernel: Option<PathBuf>,
    folder: Option<PathBuf>,
    required: Vec<String>,
    optional: Vec<String>,
    files: Vec<PathBuf>,
    plugins: Vec<PathBuf>,
    copies: Vec<PathBuf>,
    append: Vec<String>,
    command: Vec<String>,
}

fn host() -> Result<(), Box<dyn std::error::Error>> {
    let options = parse(std::env::args().skip(1))?;
    let kernel = match &options.kernel {
        Some(image) => Kernel::open(image, options.folder.as_deref())?,
        None => Kernel::stock(&mut |step| eprintln!("{step}"))?,
    };
    let start = Instant::now();
    let image = image(&options, &kernel)?;
    eprintln!(
        "file system: {:.1} MiB, assembled in {:.2?}",
        image.size() as f64 / 1048576.0,
        start.elapsed()
    );
    let spec = Spec {
        kernel: &kernel,
        image: &image,
        memory_mib: options.memory_mib,
        clock: options.clock,
        accelerator: options.accelerator,
        append: options.append,
        boot_timeout: Duration::from_secs(120),
        silence_timeout: Duration::from_secs(600),
    };
    let mut guest = Guest::start(&spec, &|| false)?;
    let facts = guest.report();
    if let Some(why) = &facts.why_not_kvm {
        eprintln!("not under KVM: {why}");
    }
    eprintln!(
        "{}, {}, kernel {}: booted in {:.2?}, set up in {:.2?}",
        facts.emulator, facts.accelerator, facts.kernel_release, facts.boot, facts.setup
    );
    let mut out = std::io::stdout().lock();
    while let Some(line) = guest.next(&|| false)? {
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    let facts = guest.report();
    facts.console.iter().for_each(|line| eprintln!("console: {line}"));
    if !facts.modules_asked.is_empty() {
        eprintln!("modules asked for in vain: {}", facts.modules_asked.join(" "));
    }
    eprintln!("{:.2?} in all", start.elapsed());
    Ok(())
}

fn image(options: &Options, kernel: &Kernel) -> Result<Image, GuestError> {
    let mut image = Image::of_this_program(options.command.join("\0"))?;
    let program = PathBuf::from(&options.command[0]);
    for path in [PathBuf::from("/bin/sh"), program].iter().chain(&options.files) {
        image.program(path)?;
    }
    options.plugins.iter().try_for_each(|folder| image.plugins(folder))?;
    options.copies.iter().try_for_each(|path| image.copy(path))?;
    let required: Vec<&str> = options.required.iter().map(String::as_str).collect();
    let optional: Vec<&str> = options.optional.iter().map(String::as_str).collect();
    image.modules(kernel, &required, &optional)?;
    Ok(image)
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        clock: Clock::Instructions,
        accelerator: Accelerator::Auto,
        memory_mib: 1024,
        kernel: None,
        folder: None,
        required: vec![],
        optional: vec![],
        files: vec![],
        plugins: vec![],
        copies: vec![],
        append: vec![],
        command: vec![],
    };
    while let Some(word) = words.next() {
        if word == "--" {
            options.command = words.by_ref().collect();
            break;
        }
        let value = words.next().ok_or(USAGE)?;
        match (word.as_str(), value.as_str()) {
            ("--clock", "wall") => options.clock = Clock::Wall,
            ("--clock", "instructions") => options.clock = Clock::Instructions,
            ("--accelerator", "auto") => options.accelerator = Accelerator::Auto,
            ("--accelerator", "kvm") => options.accelerator = Accelerator::Kvm,
            ("--accelerator", "emulation") => options.accelerator = Accelerator::Emulation,
            ("--memory", _) => options.memory_mib = value.parse().map_err(|_| USAGE)?,
            ("--kernel", _) => options.kernel = Some(value.into()),
            ("--modules", _) => options.folder = Some(value.into()),
            ("--module", _) => options.required.push(value),
            ("--optional", _) => options.optional.push(value),
            ("--file", _) => options.files.push(value.into()),
            ("--plugins", _) => options.plugins.push(value.into()),
            ("--copy", _) => options.copies.push(value.into()),
            ("--append", _) => options.append.push(value),
            _ => return Err(USAGE.into()),
        }
    }
    if options.command.is_empty() { Err(USAGE.into()) } else { Ok(options) }
}
