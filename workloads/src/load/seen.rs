//! Which endpoints have answered, how often, and from when to when.

use std::net::SocketAddr;

use super::destination::Destination;

/// One endpoint of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answers {
    /// Requests that it has answered.
    pub count: u64,
    /// When the first of them began that had a flow of its own, nanoseconds since the start.
    pub first_ns: u64,
    /// When the last of them began that had a flow of its own.
    pub last_ns: u64,
}

const NONE: Answers = Answers { count: 0, first_ns: u64::MAX, last_ns: 0 };

/// All endpoints of all targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Those of all targets in a row; target *t* has those from `starts[t]` to `starts[t + 1]`.
    answers: Box<[Answers]>,
    starts: Box<[usize]>,
}

impl Seen {
    /// None seen yet. Allocates everything that counting needs.
    pub(super) fn new(destinations: &[Destination]) -> Seen {
        let mut starts = vec![0];
        starts.extend(destinations.iter().scan(0, |end, destination| {
            *end += destination.endpoints().len();
            Some(*end)
        }));
        Seen { answers: vec![NONE; starts.last().copied().unwrap_or(0)].into(), starts: starts.into() }
    }

    /// Those of one target, in the order of its endpoints.
    pub fn of(&self, destination: usize) -> &[Answers] {
        let Some(&[start, end]) = self.starts.get(destination..).and_then(|rest| rest.first_chunk()) else {
            return &[];
        };
        &self.answers[start..end]
    }

    /// One endpoint of one target, if it has answered.
    pub fn endpoint(
        &self,
        destinations: &[Destination],
        destination: usize,
        endpoint: SocketAddr,
    ) -> Option<Answers> {
        let at = destinations.get(destination)?.endpoints().binary_search(&endpoint).ok()?;
        self.of(destination).get(at).copied().filter(|answers| answers.count > 0)
    }

    /// Counts an answer to a request that began at `began_ns`; `new`: with a flow of its own, so that rules have chosen the
    /// endpoint then, and not before.
    pub(super) fn count(&mut self, destination: usize, endpoint: usize, began_ns: u64, new: bool) {
        let start = self.starts.get(destination).copied();
        if let Some(answers) = start.and_then(|start| self.answers.get_mut(start + endpoint)) {
            answers.count += 1;
            if new {
                answers.first_ns = answers.first_ns.min(began_ns);
                answers.last_ns = answers.last_ns.max(began_ns);
            }
        }
    }

    /// Adds what another thread has seen of the same targets.
    pub(super) fn merge(&mut self, other: &Seen) {
        for (ours, theirs) in self.answers.iter_mut().zip(&other.answers) {
            ours.count += theirs.count;
            ours.first_ns = ours.first_ns.min(theirs.first_ns);
            ours.last_ns = ours.last_ns.max(theirs.last_ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_seen_per_target() {
        let at = |last: u8| SocketAddr::from(([10, 0, 0, last], 80));
        let destinations = [
            Destination::new(at(1), [at(11), at(12)]),
            Destination::new(at(2), []),
            Destination::new(at(3), [at(11)]),
        ];
        let mut seen = Seen::new(&destinations);
        seen.count(0, 1, 50, true);
        seen.count(0, 1, 20, true);
        seen.count(0, 1, 70, false);
        seen.count(2, 0, 5, false);
        let mut other = Seen::new(&destinations);
        other.count(0, 1, 10, true);
        seen.merge(&other);
        let twelve = Answers { count: 4, first_ns: 10, last_ns: 50 };
        assert_eq!(seen.endpoint(&destinations, 0, at(12)), Some(twelve));
        assert_eq!(seen.endpoint(&destinations, 0, at(11)), None);
        assert_eq!((seen.of(1), seen.of(9)), (&[][..], &[][..]));
        assert_eq!(seen.of(2)[0].count, 1);
    }
}
