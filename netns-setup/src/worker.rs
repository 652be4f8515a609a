//! One thread that runs borrowed closures for other threads, one after another.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread::{self, JoinHandle, ThreadId};

type Work<'scope> = Box<dyn FnOnce() + Send + 'scope>;

/// Fields drop in this order: `done` is never sent nor closed while `work` exists.
struct Job {
    work: Work<'static>,
    done: SyncSender<()>,
}

pub(crate) struct Worker {
    id: ThreadId,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread, runs `setup` on it, and keeps the thread for [`run`](Worker::run) if that was `Ok`.
    pub(crate) fn start<T, E>(
        name: &str,
        setup: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> io::Result<Result<(Worker, T), E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (report, outcome) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let set_up = setup();
            let usable = set_up.is_ok();
            // The starter waits for this, so that it cannot have gone.
            let _ = report.send(set_up);
            if usable {
                for Job { work, done } in inbox {
                    work();
                    let _ = done.send(());
                }
            }
        })?;
        let id = thread.thread().id();
        match outcome.recv() {
            Ok(Ok(value)) => Ok(Ok((Worker { id, jobs: Some(jobs), thread: Some(thread) }, value))),
            Ok(Err(error)) => {
                let _ = thread.join();
                Ok(Err(error))
            }
            // `setup` panicked: so do we.
            Err(_) => resume_unwind(thread.join().err().unwrap_or_else(lost)),
        }
    }

    /// Runs `f` on the thread and waits for its value; a panic in `f` goes on in the caller.
    ///
    /// From the worker's own thread `f` is simply called.
    pub(crate) fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        if thread::current().id() == self.id {
            return f();
        }
        let mut result = None;
        let slot = &mut result;
        self.run_to_completion(Box::new(move || *slot = Some(catch_unwind(AssertUnwindSafe(f)))));
        match result {
            Some(Ok(value)) => value,
            Some(Err(panic)) => resume_unwind(panic),
            None => resume_unwind(lost()),
        }
    }

    /// Returns when `work` has run, or can no longer run; either way it has been dropped.
    fn run_to_completion(&self, work: Work<'_>) {
        let (done, finished) = mpsc::sync_channel(1);
        // SAFETY: only the lifetime changes. `work` is consumed by the call in the thread's loop, or dropped unrun
        // with its `Job`; `done` is sent on, or closed, strictly afterwards (see the order of fields in `Job`). This
        // function cannot return or unwind before `recv` has seen one of the two, so that no borrow in `work` is used
        // after it. `std::thread::scope` rests on the same argument.
        #[expect(unsafe_code, reason = "lets a closure borrow from the caller, who waits for it")]
        let work = unsafe { std::mem::transmute::<Work<'_>, Work<'static>>(work) };
        if let Some(jobs) = &self.jobs
            && jobs.send(Job { work, done }).is_ok()
        {
            let _ = finished.recv();
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // Its panics have been handed to the callers of `run`.
            let _ = thread.join();
        }
    }
}

fn lost() -> Box<dyn Any + Send> {
    Box::new("the worker thread is gone")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn worker() -> Worker {
        Worker::start("worker", || Ok::<_, ()>(())).unwrap().unwrap().0
    }

    #[test]
    fn closures_borrow_and_return() {
        let worker = worker();
        let mut seen = vec![1, 2];
        let id = worker.run(|| {
            seen.push(3);
            thread::current().id()
        });
        assert_eq!(seen, [1, 2, 3]);
        assert_eq!(id, worker.id);
        assert_eq!(worker.run(|| worker.run(|| 7)), 7, "from its own thread");
    }

    #[test]
    fn panics_reach_the_caller_and_the_worker_lives_on() {
        let worker = worker();
        let panic = catch_unwind(AssertUnwindSafe(|| worker.run(|| panic!("boom")))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"boom"));
        assert_eq!(worker.run(|| 1), 1);
    }

    #[test]
    fn many_callers_are_served() {
        let (worker, sum) = (worker(), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        worker.run(|| sum.fetch_add(1, Ordering::Relaxed));
                    }
                });
            }
        });
        assert_eq!(sum.into_inner(), 1600);
    }

    #[test]
    fn a_failed_setup_leaves_no_thread() {
        let held = Arc::new(());
        let theirs = Arc::clone(&held);
        let failed = Worker::start("fails", move || {
            let _theirs = theirs;
            Err::<(), _>("no")
        });
        assert_eq!(failed.unwrap().err(), Some("no"));
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn dropping_joins_the_thread() {
        struct Flag(Arc<AtomicUsize>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(1, Ordering::SeqCst);
            }
        }
        thread_local! { static HELD: std::cell::RefCell<Option<Flag>> = const { std::cell::RefCell::new(None) } }
        let gone = Arc::new(AtomicUsize::new(0));
        let (worker, flag) = (worker(), Flag(Arc::clone(&gone)));
        worker.run(|| HELD.set(Some(flag)));
        drop(worker);
        assert_eq!(gone.load(Ordering::SeqCst), 1, "thread-locals are dropped when the thread ends");
    }
}
