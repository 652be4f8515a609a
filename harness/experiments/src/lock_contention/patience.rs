//! How long a sync is waited for while contenders are measured: to its end where that is near, else for a while.
//!
//! Where programs take the xtables lock, a sync gets its turn, and how long that takes grows with the number of
//! Services: it is predicted. Where they take none, a listing or a transaction starts over when another program has
//! changed the ruleset meanwhile. Whether it ever ends depends on how it compares with the pauses between changes, and
//! not on a power of the number of Services: that is tried at every scale and never predicted.

use std::time::Duration;

use super::section::Section;

/// Operations of contenders, all together, that a cell should have before its sync is ended.
pub const LEAST_OPERATIONS: u64 = 20;

/// What is known before a cell is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Known {
    /// Whether syncs and contenders take the xtables lock.
    pub has_lock: bool,
    /// Seconds for a partial and a full sync against these contenders, predicted from smaller scales.
    pub predicted: Option<f64>,
    /// Seconds for a partial sync at this scale without contenders.
    pub alone: Option<f64>,
}

/// How long each sync of a cell is waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    reason: Reason,
    /// After so long it is ended if contenders have done enough; `None`: never.
    enough: Option<Duration>,
    /// After so long it is ended in any case; `None`: never.
    most: Option<Duration>,
    alone: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reason {
    /// It should end in time.
    Expected,
    /// It is predicted to take too long.
    TooLong { predicted: f64, limit: f64 },
    /// There is no lock, so it may never end.
    NoLock,
}

impl Patience {
    /// Decides. `no_limit`: predictions do not matter; but a sync that may never end is still ended, at the limit.
    pub fn of(sweep: &Section, known: Known, no_limit: bool) -> Self {
        let (limit, patience) = (sweep.limit_seconds, sweep.patience());
        let (reason, enough, most) = match (known.has_lock, known.predicted) {
            (false, _) if no_limit => (Reason::NoLock, Some(limit), Some(limit)),
            (false, _) => (Reason::NoLock, Some(patience), Some(limit)),
            (true, _) if no_limit => (Reason::Expected, None, None),
            (true, Some(predicted)) if predicted > limit => {
                (Reason::TooLong { predicted, limit }, Some(patience), Some(limit))
            }
            (true, predicted) => {
                let most = limit.max(predicted.unwrap_or(0.0) * 1.5);
                (Reason::Expected, Some(most), Some(most))
            }
        };
        let duration = |seconds: Option<f64>| seconds.map(Duration::from_secs_f64);
        Self { reason, enough: duration(enough), most: duration(most), alone: known.alone }
    }

    /// Waits for every sync, however long it takes.
    pub const fn endless() -> Self {
        Self { reason: Reason::Expected, enough: None, most: None, alone: None }
    }

    /// Whether to end a sync that has run for so long, in a cell whose contenders have finished so many operations.
    pub fn is_over(&self, spent: Duration, operations: u64) -> bool {
        let after = |limit: Option<Duration>| limit.is_some_and(|limit| spent >= limit);
        after(self.most) || (after(self.enough) && operations >= LEAST_OPERATIONS)
    }

    /// Whether to begin no other sync for the sake of contenders that have not done enough.
    pub fn is_exhausted(&self, spent: Duration) -> bool {
        self.most.is_some_and(|most| spent >= most)
    }

    /// What to say of a sync that was ended: how long it ran, what that means, and where it was. The last comes last, as
    /// tables cut long reasons short.
    pub fn of_ended(&self, kind: Kind, ended: &Ended) -> String {
        let Ended { spent, command, contenders } = ended;
        let spent = spent.as_secs_f64();
        let ending = format!(
            "ended unfinished after {} against {contenders} contender{}",
            seconds(spent),
            if *contenders == 1 { "" } else { "s" }
        );
        let ending = match (self.reason, self.alone.filter(|_| kind == Kind::Partial)) {
            (Reason::Expected, _) => {
                format!("{ending}, the longest that a sync is waited for (--no-limit waits for its end)")
            }
            (Reason::TooLong { predicted, limit }, _) => format!(
                "{ending}: a partial and a full sync are predicted to take {}, from the smaller scales of this run, and the \
                 limit is {} (--no-limit waits for their end)",
                seconds(predicted),
                seconds(limit)
            ),
            (Reason::NoLock, None) => {
                format!(
                    "{ending}; whether it starved is not known, as its time without contenders was not measured"
                )
            }
            (Reason::NoLock, Some(alone)) => {
                let share = alone * f64::from(contenders + 1);
                let times = format!(
                    "without contenders it takes {}, with a fair share of one processor {}",
                    seconds(alone),
                    seconds(share)
                );
                if spent > share {
                    format!("starved: {ending}; {times}")
                } else {
                    format!("{ending}, too soon to tell whether it starves: {times}")
                }
            }
        };
        format!("{ending}; it was at `{command}`")
    }
}

/// A sync that was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How long it ran.
    pub spent: Duration,
    /// What it was at.
    pub command: String,
    /// Against how many contenders.
    pub contenders: u32,
}

/// Kinds of syncs that hold against contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One endpoint is another.
    Partial,
    /// Everything is written again.
    Full,
}

impl Kind {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Partial => "partial sync",
            Kind::Full => "full sync",
        }
    }
}

fn seconds(seconds: f64) -> String {
    match seconds {
        ..0.9995 => format!("{:.0} ms", seconds * 1e3),
        ..9.95 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWEEP: Section = Section {
        contenders: Vec::new(),
        seconds: 1.0,
        limit_seconds: 60.0,
        patience_seconds: Some(10.0),
        most_services: 1,
    };
    const LOCK: Known = Known { has_lock: true, predicted: None, alone: Some(1.0) };
    const NO_LOCK: Known = Known { has_lock: false, predicted: None, alone: Some(1.0) };

    fn over(patience: &Patience, seconds: f64, operations: u64) -> bool {
        patience.is_over(Duration::from_secs_f64(seconds), operations)
    }

    #[test]
    fn a_sync_that_should_end_in_time_is_waited_for_whatever_contenders_have_done() {
        for predicted in [None, Some(59.0)] {
            let patience = Patience::of(&SWEEP, Known { predicted, ..LOCK }, false);
            assert!(!over(&patience, 59.9, 1_000_000));
            // Half more than predicted is no reason to throw it away.
            let most = predicted.map_or(60.0, |predicted: f64| predicted * 1.5);
            assert!(!over(&patience, most - 0.1, 1_000_000) && over(&patience, most, 0));
        }
    }

    #[test]
    fn a_sync_predicted_to_take_too_long_lasts_until_contenders_have_done_enough() {
        let patience = Patience::of(&SWEEP, Known { predicted: Some(61.0), ..LOCK }, false);
        assert!(!over(&patience, 9.9, 1_000_000));
        assert!(!over(&patience, 10.0, LEAST_OPERATIONS - 1) && over(&patience, 10.0, LEAST_OPERATIONS));
        assert!(!over(&patience, 59.9, 0) && over(&patience, 60.0, 0));
    }

    #[test]
    fn without_a_lock_no_prediction_counts() {
        let patience = Patience::of(&SWEEP, NO_LOCK, false);
        assert_eq!(Patience::of(&SWEEP, Known { predicted: Some(1e9), ..NO_LOCK }, false), patience);
        assert!(!over(&patience, 9.9, 1_000_000) && over(&patience, 10.0, LEAST_OPERATIONS));
        assert!(!over(&patience, 59.9, 0) && over(&patience, 60.0, 0));
    }

    #[test]
    fn without_limits_only_what_may_never_end_is_ended() {
        let patience = Patience::of(&SWEEP, Known { predicted: Some(1e9), ..LOCK }, true);
        assert_eq!(patience, Patience { alone: Some(1.0), ..Patience::endless() });
        assert!(!over(&patience, 1e9, u64::MAX) && !patience.is_exhausted(Duration::from_secs(1 << 40)));
        let patience = Patience::of(&SWEEP, NO_LOCK, true);
        assert!(!over(&patience, 59.9, u64::MAX) && over(&patience, 60.0, 0));
    }

    #[test]
    fn what_is_said_of_an_ended_sync_reads_like_this() {
        let ended = |spent| Ended {
            spent: Duration::from_secs_f64(spent),
            command: "nft -f -".into(),
            contenders: 4,
        };
        let of = |known| Patience::of(&SWEEP, known, false);
        let said = [
            of(LOCK).of_ended(Kind::Full, &ended(60.0)),
            of(Known { predicted: Some(116.4), ..LOCK }).of_ended(Kind::Partial, &ended(10.04)),
            of(NO_LOCK).of_ended(Kind::Partial, &ended(10.0)),
            of(NO_LOCK).of_ended(Kind::Full, &Ended { contenders: 1, ..ended(0.25) }),
            of(Known { alone: Some(51.7), ..NO_LOCK }).of_ended(Kind::Partial, &ended(10.0)),
        ];
        insta::assert_snapshot!(said.join("\n"));
    }
}
