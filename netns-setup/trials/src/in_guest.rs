//! Tests in a guest: booted once, they run one after another, and report their results line by line.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use netns_setup::check;
use netns_setup::guest::{self, Accelerator, Clock, Guest, GuestError, Kernel, Port, Spec};
use serde::{Deserialize, Serialize};

use crate::slowest::Durations;
use crate::test::{MakeImage, Test};

/// Far longer than the longest test under emulation, on a machine that is busy with other work. It is for guests that hang.
const TIMEOUT: Duration = Duration::from_secs(1_200);
const MEMORY_MIB: u32 = 2048;

/// What the guest says of one test.
#[derive(Debug, Serialize, Deserialize)]
struct TestResult {
    name: String,
    /// Why it failed; none: it passed.
    failure: Option<String>,
}

/// In a guest: runs the tests that the job names, and does not return. Elsewhere: nothing.
pub(crate) fn serve(tests: &mut Vec<Test>) {
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
    let messages = Arc::new(Mutex::new(String::new()));
    let panics = Arc::clone(&messages);
    // Panics of threads that a test has started are part of why it failed.
    set_hook(Box::new(move |panic| {
        let mut messages = lock(&panics);
        messages.push_str(&panic.to_string());
        messages.push('\n');
    }));
    for test in tests.into_iter().filter(|test| names.contains(&test.name)) {
        lock(&messages).clear();
        let missing = test.needs.iter().find_map(|&need| check(need).err());
        let failure = match missing {
            Some(missing) => Some(format!("in the guest too: {missing}")),
            None => {
                let passed = catch_unwind(AssertUnwindSafe(test.body)).is_ok();
                (!passed).then(|| lock(&messages).clone())
            }
        };
        port.line(&serde_json::to_vec(&TestResult { name: test.name, failure })?)?;
    }
    Ok(())
}

/// Side by side: a guest has one processor, and its tests take longer than all others.
const GUESTS: usize = 2;

/// The host's side: boots the guests, and keeps what they say until somebody asks.
pub(crate) struct Relay {
    /// The tests of each guest.
    jobs: Vec<Vec<String>>,
    image: MakeImage,
    durations: Arc<Durations>,
    /// By test: why it failed, or that it passed.
    outcomes: Mutex<BTreeMap<String, Option<String>>>,
    changed: Condvar,
}

impl Relay {
    pub(crate) fn new(names: Vec<String>, image: MakeImage, durations: Arc<Durations>) -> Self {
        // In turn, so that those that are alike, and equally long, are shared out.
        let mut jobs = vec![Vec::new(); GUESTS.min(names.len())];
        for (index, name) in names.into_iter().enumerate() {
            jobs[index % GUESTS].push(name);
        }
        Self { jobs, image, durations, outcomes: Mutex::default(), changed: Condvar::new() }
    }

    /// Boots the guests, as many as there are tests for, and returns at once.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.jobs.is_empty() {
            return;
        }
        let relay = Arc::clone(self);
        // Nobody waits for it: results are asked for one by one, and guests die with this process.
        thread::spawn(move || {
            let kernel = Kernel::stock(&mut |step| eprintln!("{step}"));
            thread::scope(|scope| {
                for job in &relay.jobs {
                    let (relay, kernel) = (&relay, &kernel);
                    scope.spawn(move || {
                        let ended = match kernel {
                            Ok(kernel) => relay.listen(kernel, job).map_err(|error| error.to_string()),
                            Err(error) => Err(error.to_string()),
                        };
                        let why = ended.err();
                        relay.give_up(
                            job,
                            why.as_deref().unwrap_or("the guest ended without a word about it"),
                        );
                    });
                }
            });
        });
    }

    fn listen(&self, kernel: &Kernel, job: &[String]) -> Result<(), GuestError> {
        let broken = |error: serde_json::Error| GuestError::Host {
            action: "talk with the guest".into(),
            cause: error.into(),
        };
        let image = (self.image)(kernel, serde_json::to_vec(job).map_err(broken)?)?;
        let spec = Spec {
            kernel,
            image: &image,
            memory_mib: MEMORY_MIB,
            clock: Clock::Instructions,
            accelerator: Accelerator::Emulation,
            append: Vec::new(),
            boot_timeout: TIMEOUT,
            silence_timeout: TIMEOUT,
        };
        // Booting is part of the first.
        let mut before = Instant::now();
        let mut guest = Guest::start(&spec, &|| false)?;
        while let Some(line) = guest.next(&|| false)? {
            let outcome: TestResult = serde_json::from_slice(&line).map_err(broken)?;
            let now = Instant::now();
            self.durations.note(&format!("{} (in a guest)", outcome.name), now - before);
            before = now;
            lock(&self.outcomes).insert(outcome.name, outcome.failure);
            self.changed.notify_all();
        }
        Ok(())
    }

    /// A test that a guest has not reported by its end has failed.
    fn give_up(&self, job: &[String], why: &str) {
        let mut outcomes = lock(&self.outcomes);
        for name in job {
            outcomes.entry(name.clone()).or_insert_with(|| Some(why.to_owned()));
        }
        self.changed.notify_all();
    }

    /// Waits for the outcome of one test.
    ///
    /// # Errors
    /// Why it failed, or why the guest did not get as far.
    pub(crate) fn result(&self, name: &str) -> Result<(), String> {
        if !self.jobs.iter().flatten().any(|test| test == name) {
            return Err("no guest was given this test".to_owned());
        }
        let mut outcomes = lock(&self.outcomes);
        loop {
            match outcomes.get(name) {
                Some(None) => return Ok(()),
                Some(Some(failure)) => return Err(failure.clone()),
                None => outcomes = self.changed.wait(outcomes).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
