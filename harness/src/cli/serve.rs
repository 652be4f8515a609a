//! `svcbench serve`: a run in the browser.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use lab::stop::Stop;
use netns_setup::find_program;
use svcbench::serve::Server;

use super::exit::Exit;
use super::output::Output;
use super::streams;

/// Flags of `svcbench serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Folder of a run
    dir: PathBuf,
    /// Port of 127.0.0.1 [default: one that is free]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
}

/// Serves until somebody presses Ctrl-C.
///
/// # Errors
/// If the folder holds no run, or the port cannot be had.
pub(crate) fn run(output: &Output, args: &ServeArgs) -> anyhow::Result<Exit> {
    let stop = Stop::on_signals()?;
    let server = Server::bind(&args.dir, args.port)?;
    let url = server.url();
    match output.json {
        true => streams::result(serde_json::json!({ "url": url, "dir": args.dir })),
        false => streams::result(&url),
    }
    if !output.quiet {
        let dir = args.dir.display();
        streams::tell(format_args!("serving {dir} to this machine only; Ctrl-C ends"));
    }
    if !args.no_open {
        open(&url);
    }
    server.run(&stop, &|message| {
        if !output.quiet {
            streams::tell(format_args!("svcbench: {message}"));
        }
    })?;
    Ok(Exit::Ok)
}

/// Opens a browser, if there is a screen and a way. Nobody needs it: the address is printed.
fn open(url: &str) {
    let screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let Some(program) = find_program("xdg-open").filter(|_| screen) else { return };
    let quiet = || Stdio::null();
    let child = Command::new(program).arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    if let Ok(mut child) = child {
        std::thread::spawn(move || child.wait());
    }
}
