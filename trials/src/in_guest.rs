//! Tests in a guest: booted once, they run one after another, and tell their outcome line by line.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use netns_setup::check;
use netns_setup::guest::{self, Accelerator, Clock, Guest, GuestError, Kernel, Port, Spec};
use serde::{Deserialize, Serialize};

use crate::{MakeImage, Test};

/// The longest test under emulation, on a machine that runs other tests beside it.
const PATIENCE: Duration = Duration::from_secs(300);
const MEMORY_MIB: u32 = 2048;

/// What the guest says of one test.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    name: String,
    /// Why it failed; none: it passed.
    failure: Option<String>,
}

/// In a guest: runs the tests that the job names, and does not return. Elsewhere: nothing.
pub fn serve(tests: &mut Vec<Test>) {
    guest::inside(|job, port| match run(job, std::mem::take(tests), port) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("trials: {error}");
            1
        }
    });
}

fn run(job: &[u8], tests: Vec<Test>, port: &mut Port) -> std::io::Result<()> {
    let names: Vec<String> = serde_json::from_slice(job)?;
    let told = Arc::new(Mutex::new(String::new()));
    let panics = Arc::clone(&told);
    // Panics of threads that a test has started are part of why it failed.
    set_hook(Box::new(move |panic| {
        let mut told = lock(&panics);
        told.push_str(&panic.to_string());
        told.push('\n');
    }));
    for test in tests.into_iter().filter(|test| names.contains(&test.name)) {
        lock(&told).clear();
        let missing = test.needs.iter().find_map(|&need| check(need).err());
        let failure = match missing {
            Some(missing) => Some(format!("in the guest too: {missing}")),
            None => {
                let passed = catch_unwind(AssertUnwindSafe(test.body)).is_ok();
                (!passed).then(|| lock(&told).clone())
            }
        };
        port.line(&serde_json::to_vec(&Outcome { name: test.name, failure })?)?;
    }
    Ok(())
}

/// The host's side: boots the guest, and keeps what it says until somebody asks.
pub struct Relay {
    names: Vec<String>,
    image: MakeImage,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    outcomes: BTreeMap<String, Option<String>>,
    /// Set when no more is to come: why.
    ended: Option<String>,
}

impl Relay {
    pub fn new(names: Vec<String>, image: MakeImage) -> Self {
        Self { names, image, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Boots the guest, if any test is to run in it, and returns at once.
    pub fn start(self: &Arc<Self>) {
        if self.names.is_empty() {
            return;
        }
        let relay = Arc::clone(self);
        // Nobody waits for it: results are asked for one by one, and a guest dies with this process.
        thread::spawn(move || {
            let why = match relay.listen() {
                Ok(()) => "the guest ended without a word about it".to_owned(),
                Err(error) => error.to_string(),
            };
            lock(&relay.state).ended = Some(why);
            relay.changed.notify_all();
        });
    }

    fn listen(&self) -> Result<(), GuestError> {
        let kernel = Kernel::stock(&mut |step| eprintln!("{step}"))?;
        let broken = |error: serde_json::Error| GuestError::Host {
            action: "talk with the guest".into(),
            cause: error.into(),
        };
        let image = (self.image)(&kernel, serde_json::to_vec(&self.names).map_err(broken)?)?;
        let spec = Spec {
            kernel: &kernel,
            image: &image,
            memory_mib: MEMORY_MIB,
            clock: Clock::Instructions,
            accelerator: Accelerator::Emulation,
            append: Vec::new(),
            boot_timeout: PATIENCE,
            silence_timeout: PATIENCE,
        };
        let mut guest = Guest::start(&spec, &|| false)?;
        while let Some(line) = guest.next(&|| false)? {
            let outcome: Outcome = serde_json::from_slice(&line).map_err(broken)?;
            lock(&self.state).outcomes.insert(outcome.name, outcome.failure);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Waits for the outcome of one test.
    ///
    /// # Errors
    /// Why it failed, or why the guest did not get as far.
    pub fn result(&self, name: &str) -> Result<(), String> {
        let mut state = lock(&self.state);
        loop {
            match (state.outcomes.get(name), &state.ended) {
                (Some(None), _) => return Ok(()),
                (Some(Some(failure)), _) => return Err(failure.clone()),
                (None, Some(why)) => return Err(why.clone()),
                (None, None) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
