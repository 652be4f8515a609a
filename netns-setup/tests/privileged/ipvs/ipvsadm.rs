//! `ipvsadm` and this crate's netlink, each against the other.

use std::io::Write;
use std::process::{Command, Stdio};

use netns_setup::ipvs::{Cause, Request};
use netns_setup::{Namespace, find_program};

use super::{key, lines, open, state_of, varied};

fn ipvsadm(world: &Namespace, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(find_program("ipvsadm").unwrap());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = world.spawn(&mut command).unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "ipvsadm {arguments:?}: {} {errors}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

/// `ipvsadm` makes the same state of our lines as we do, and prints that state as we do.
pub(crate) fn as_ipvsadm() {
    let (ours, theirs) = (Namespace::create("ours").unwrap(), Namespace::create("theirs").unwrap());
    let (mut mine, mut yours) = (open(&ours), open(&theirs));
    let requests = [
        varied(&mut mine),
        lines(
            "-E -t 10.97.0.1:443 -s wrr -b flag-2\n\
             -e -t 10.97.0.3:80 -r 10.244.0.12:80 -m -w 5\n\
             -d -u 10.97.0.1:53 -r 10.244.0.11:5353\n\
             -D -t 10.97.0.4:0\n\
             -L -n -t 10.97.0.1:443\n\
             -l -n -t 10.97.0.1:443",
        ),
    ]
    .concat();
    for request in &requests {
        mine.one(request).unwrap();
    }
    let text = requests.iter().map(|request| format!("{request}\n")).collect::<String>();
    ipvsadm(&theirs, &["-R"], &text);
    let state = mine.state().unwrap();
    assert_eq!(state, yours.state().unwrap());
    assert!(state.len() > 15 && state.real_servers() > 25, "not an empty comparison");

    let print = |world| {
        let text = ipvsadm(world, &["-S", "-n"], "");
        let mut lines = text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        lines.sort();
        lines
    };
    let printed = print(&ours);
    assert_eq!(printed, print(&theirs));
    let mut expected = state.requests().map(|request| request.to_string()).collect::<Vec<_>>();
    expected.sort();
    assert_eq!(printed, expected, "the same text");
    assert_eq!(state_of(&lines(&ipvsadm(&ours, &["-S", "-n"], ""))), state, "and it is read back");

    mine.flush().unwrap();
    ipvsadm(&theirs, &["-R"], &format!("{}\n", Request::Flush));
    assert!(yours.state().unwrap().is_empty());
}

/// What other programs set up and this one does not know is an error that names it.
pub(crate) fn foreign() {
    let world = Namespace::create("ipvs").unwrap();
    let mut ipvs = open(&world);
    for (line, what) in [
        ("-A -f 7 -s rr", "a virtual server by firewall mark 7"),
        ("-A -t 10.0.0.1:80 -s rr -p 60 -M 255.255.255.0", "persistence netmask 255.255.255.0"),
    ] {
        ipvsadm(&world, &["-R"], &format!("{line}\n"));
        let failed = ipvs.state().unwrap_err();
        assert!(matches!(&failed.cause, Cause::Foreign(found) if found.contains(what)), "{failed}");
        ipvs.flush().unwrap();
        assert!(ipvs.state().unwrap().is_empty(), "the next list is not disturbed");
    }
    ipvsadm(&world, &["-R"], "-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m -w 1 -x 9 -y 3\n");
    let failed = ipvs.dests(&key("10.0.0.1:80")).unwrap_err();
    assert!(
        failed.to_string().contains("real server 10.0.0.2:80 with connection thresholds 9 and 3"),
        "{failed}"
    );
}
