//! Which sync held the lock, and which one a contender waited for.
//!
//! Syncs run one after another, and contenders are known by number. What is no contender's is of the sync that was begun last.

use lab::xtables_lock::Acquisition;

use super::Kind;

/// Syncs in the order in which they began: when, in nanoseconds since the watch began, and which.
pub type Begun = Vec<(u64, Kind)>;

/// What kind of sync an acquisition is of, if it is none of a contender; `None`: it was before them.
pub fn kind_of(begun: &[(u64, Kind)], acquisition: &Acquisition) -> Option<Kind> {
    let count = begun.partition_point(|(at, _)| *at <= acquisition.began);
    begun.get(count.checked_sub(1)?).map(|(_, kind)| *kind)
}

/// Holds of syncs, in order: from, until, of which kind.
#[derive(Clone, Debug, Default)]
pub struct Holds(Vec<(u64, u64, Kind)>);

impl Holds {
    /// Of acquisitions in the order of release, each with its kind.
    pub fn of<'a>(acquisitions: impl IntoIterator<Item = (&'a Acquisition, Kind)>) -> Self {
        let hold = |(acquisition, kind): (&Acquisition, Kind)| {
            let from = acquisition.began + acquisition.wait;
            Some((from, from + acquisition.hold?, kind))
        };
        Self(acquisitions.into_iter().filter_map(hold).collect())
    }

    /// The kind of sync that held the lock longest while somebody waited; a full one on a tie. `None`: no sync held it meanwhile.
    pub fn during(&self, waited: &Acquisition) -> Option<Kind> {
        let (from, until) = (waited.began, waited.began + waited.wait);
        let first = self.0.partition_point(|(_, end, _)| *end <= from);
        let mut held = [0; 2];
        for (begin, end, kind) in self.0[first..].iter().take_while(|(begin, ..)| *begin < until) {
            held[usize::from(*kind == Kind::Full)] += (*end).min(until) - (*begin).max(from);
        }
        match held {
            [0, 0] => None,
            [partial, full] if partial > full => Some(Kind::Partial),
            _ => Some(Kind::Full),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(began: u64, wait: u64, hold: u64) -> Acquisition {
        Acquisition { pid: 1, began, wait, hold: Some(hold) }
    }

    #[test]
    fn an_acquisition_is_of_the_sync_that_was_begun_last() {
        let begun = [(10, Kind::Partial), (20, Kind::Full), (30, Kind::Partial)];
        let of = |began| kind_of(&begun, &held(began, 100, 1));
        assert_eq!(of(9), None, "a chain of a contender, made before");
        assert_eq!(
            [10, 19, 20, 29, 30, 99].map(|at| of(at).unwrap().name().split(' ').next().unwrap()),
            ["partial", "partial", "full", "full", "partial", "partial"]
        );
        assert_eq!(kind_of(&[], &held(5, 0, 1)), None);
    }

    #[test]
    fn a_wait_is_for_the_sync_that_held_longest_meanwhile() {
        // Partial from 10 to 20, full from 30 to 40 and 50 to 60.
        let syncs = [held(5, 5, 10), held(25, 5, 10), held(45, 5, 10)];
        let holds = Holds::of(syncs.iter().zip([Kind::Partial, Kind::Full, Kind::Full]));
        let during = |from: u64, until| holds.during(&held(from, until - from, 1));
        assert_eq!(during(0, 10), None, "it got the lock before them");
        assert_eq!(during(20, 30), None, "between them other contenders held it");
        assert_eq!(during(15, 15), None, "it did not wait");
        assert_eq!(during(0, 31), Some(Kind::Partial));
        assert_eq!(during(15, 35), Some(Kind::Full), "5 each");
        assert_eq!(during(0, 100), Some(Kind::Full), "10 against 20");
        assert_eq!(during(59, 70), Some(Kind::Full));
        assert_eq!(during(60, 70), None);
        assert_eq!(Holds::default().during(&held(0, 9, 1)), None);
        let gave_up = Acquisition { hold: None, ..held(0, 50, 0) };
        assert_eq!(Holds::of([(&gave_up, Kind::Full)]).during(&held(0, 9, 1)), None, "it held nothing");
    }

    proptest! {
        /// Moment by moment, the kind that held at most of them.
        #[test]
        fn it_is_what_a_look_at_every_moment_finds(
            spans in prop::collection::vec((0..10_u64, 1..10_u64, any::<bool>()), 0..12),
            from in 0..150_u64,
            wait in 0..80_u64,
        ) {
            let mut now = 0;
            let mut syncs = Vec::new();
            for (gap, hold, full) in spans {
                syncs.push((held(now, gap, hold), if full { Kind::Full } else { Kind::Partial }));
                now += gap + hold;
            }
            let holds = Holds::of(syncs.iter().map(|(acquisition, kind)| (acquisition, *kind)));
            let mut moments = [0, 0];
            for at in from..from + wait {
                let holder = syncs.iter().find(|(a, _)| (a.began + a.wait..a.began + a.wait + a.hold.unwrap()).contains(&at));
                if let Some((_, kind)) = holder {
                    moments[usize::from(*kind == Kind::Full)] += 1;
                }
            }
            let truth = match moments {
                [0, 0] => None,
                [partial, full] if partial > full => Some(Kind::Partial),
                _ => Some(Kind::Full),
            };
            prop_assert_eq!(holds.during(&held(from, wait, 1)), truth);
        }
    }
}
