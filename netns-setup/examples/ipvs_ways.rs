//! What ways to program IPVS cost, for one and the same table: `ipvs_ways [SERVICES [REAL_SERVERS_EACH]]`, as root, on a
//! kernel with IPVS. Prints microseconds per object (in a guest with an instruction clock: thousands of instructions).

#![expect(clippy::print_stdout, reason = "examples talk to whoever runs them")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, process};

use netns_setup::ipvs::{
    Forwarding, Ipvs, IpvsProtocol, Key, RealServer, Request, Scheduler, State, VirtualServer,
};
use netns_setup::{Namespace, find_program};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut argument = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u32>());
    let (services, dests) = (argument(1000)?, argument(10)?);
    let requests = table(services, dests);
    println!("{services} virtual servers with {dests} real servers each: {} objects", requests.len());
    let show = |what: &str, took: Duration| {
        let each = took.as_secs_f64() * 1e6 / requests.len() as f64;
        println!("{what:32} {each:9.3} us per object {:9.1} ms in all", took.as_secs_f64() * 1e3);
    };
    let mut expected = State::default();
    for request in &requests {
        expected.apply(request).map_err(|errno| format!("{request}: errno {errno}"))?;
    }
    let check = |ipvs: &mut Ipvs| match ipvs.state()? == expected {
        true => Ok::<_, Box<dyn Error>>(()),
        false => Err("the kernel holds another table".into()),
    };

    // A namespace for each, as what is removed slows down what is added; kept, as they are taken down in the background.
    let mut namespaces = Vec::new();
    let mut fresh = || {
        let namespace = Namespace::create("ways")?;
        let ipvs = namespace.run(Ipvs::open)?;
        namespaces.push(namespace);
        Ok::<_, Box<dyn Error>>(ipvs)
    };
    for window in [1, 4, 16, 64, 256, usize::MAX] {
        let mut ipvs = fresh()?.with_window(window);
        let start = Instant::now();
        ipvs.batch(&requests)?;
        let name = if window == usize::MAX { "batch".into() } else { format!("batch, windows of {window}") };
        show(&name, start.elapsed());
        check(&mut ipvs)?;
    }
    let mut ipvs = fresh()?;
    let start = Instant::now();
    for request in &requests {
        ipvs.one(request)?;
    }
    show("one by one", start.elapsed());
    check(&mut ipvs)?;
    let start = Instant::now();
    ipvs.state()?;
    show("read back", start.elapsed());
    let start = Instant::now();
    ipvs.flush()?;
    show("flush", start.elapsed());
    let start = Instant::now();
    ipvs.batch(&requests)?;
    show("batch, after a flush", start.elapsed());

    let Some(program) = find_program("ipvsadm") else { return Ok(()) };
    let namespace = Namespace::create("ipvsadm")?;
    let text = requests.iter().map(|request| format!("{request}\n")).collect::<String>();
    let path = env::temp_dir().join(format!("ipvs_ways.{}", process::id()));
    fs::write(&path, text)?;
    let mut command = Command::new(program);
    let start = Instant::now();
    let status = namespace.spawn(command.arg("-R").stdin(Stdio::from(fs::File::open(&path)?)))?.wait()?;
    show("ipvsadm -R", start.elapsed());
    fs::remove_file(&path)?;
    if !status.success() {
        return Err(format!("ipvsadm -R: {status}").into());
    }
    check(&mut namespace.run(Ipvs::open)?)
}

fn table(services: u32, dests: u32) -> Vec<Request> {
    let address =
        |base: Ipv4Addr, index, port| SocketAddr::from((Ipv4Addr::from(u32::from(base) + index), port));
    (0..services)
        .flat_map(|service| {
            let key = Key {
                address: address(Ipv4Addr::new(10, 96, 0, 1), service, 80),
                protocol: IpvsProtocol::Tcp,
            };
            let server = VirtualServer { key, scheduler: Scheduler::Rr, persistence: None, flags: 0 };
            let dests = (0..dests).map(move |dest| {
                let address = address(Ipv4Addr::new(10, 128, 0, 1), service * dests + dest, 8080);
                Request::NewDest(key, RealServer { address, weight: 1, forwarding: Forwarding::Masquerade })
            });
            std::iter::once(Request::NewService(server)).chain(dests)
        })
        .collect()
}
