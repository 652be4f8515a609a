//! From packets to the moment since when they obey a change. Pure.

use std::net::SocketAddrV4;
use std::time::Instant;

/// What shows that a change is obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// A packet arrives at one of these.
    Arrives(Vec<SocketAddrV4>),
    /// No packet arrives at one of these any more.
    ArrivesNoMore {
        /// Where packets arrived before.
        at: Vec<SocketAddrV4>,
        /// So many packets in a row that do not make it sure.
        sure: usize,
    },
}

/// Since when packets obey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Obeyed {
    /// When the first that did was sent.
    pub at: Instant,
    /// When the last before it was sent that did not, or could not tell: the change came between the two.
    pub before: Option<Instant>,
}

/// Follows the packets to one Service.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    sign: Sign,
    before: Option<Instant>,
    first: Option<Instant>,
    since: usize,
    /// Packets that did not arrive anywhere.
    pub lost: u64,
}

impl Tracker {
    /// No packet so far.
    pub(super) const fn new(sign: Sign) -> Self {
        Self { sign, before: None, first: None, since: 0, lost: 0 }
    }

    /// A packet was sent, and arrived somewhere or nowhere. `Some` with the packet that makes it sure.
    pub(super) fn see(&mut self, sent: Instant, arrived: Option<SocketAddrV4>) -> Option<Obeyed> {
        self.lost += u64::from(arrived.is_none());
        match &self.sign {
            Sign::Arrives(at) => {
                if arrived.is_some_and(|arrived| at.contains(&arrived)) {
                    return Some(Obeyed { at: sent, before: self.before });
                }
                self.before = Some(sent);
                None
            }
            Sign::ArrivesNoMore { at, sure } => {
                if arrived.is_some_and(|arrived| at.contains(&arrived)) {
                    (self.before, self.first, self.since) = (Some(sent), None, 0);
                    return None;
                }
                let first = *self.first.get_or_insert(sent);
                self.since += 1;
                (self.since >= *sure).then_some(Obeyed { at: first, before: self.before })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(number: u16) -> SocketAddrV4 {
        SocketAddrV4::new([10, 192, 0, 1].into(), number)
    }

    #[test]
    fn a_new_endpoint_is_obeyed_when_it_is_reached() {
        let begun = Instant::now();
        let ms = |ms| begun + Duration::from_millis(ms);
        let mut tracker = Tracker::new(Sign::Arrives(vec![at(9)]));
        assert_eq!(tracker.see(ms(1), Some(at(1))), None);
        assert_eq!(tracker.see(ms(2), None), None);
        assert_eq!(tracker.see(ms(3), Some(at(9))), Some(Obeyed { at: ms(3), before: Some(ms(2)) }));
        assert_eq!(tracker.lost, 1);
        let mut at_once = Tracker::new(Sign::Arrives(vec![at(9)]));
        assert_eq!(at_once.see(ms(3), Some(at(9))), Some(Obeyed { at: ms(3), before: None }));
    }

    #[test]
    fn an_old_endpoint_is_gone_after_its_last_packet() {
        let begun = Instant::now();
        let ms = |ms| begun + Duration::from_millis(ms);
        let mut tracker = Tracker::new(Sign::ArrivesNoMore { at: vec![at(1)], sure: 3 });
        let seen: Vec<_> = [2, 1, 2, 3, 1, 2, 3, 2]
            .iter()
            .enumerate()
            .map(|(index, &to)| tracker.see(ms(index as u64), Some(at(to))))
            .collect();
        assert!(seen[..7].iter().all(Option::is_none));
        assert_eq!(seen[7], Some(Obeyed { at: ms(5), before: Some(ms(4)) }));
    }

    proptest! {
        /// The true moment lies between `before` and what is found, if the sign is certain for each packet.
        #[test]
        fn the_true_moment_is_enclosed(change in 1_u64..50, gone: bool) {
            let begun = Instant::now();
            let sign = if gone {
                Sign::ArrivesNoMore { at: vec![at(1)], sure: 2 }
            } else {
                Sign::Arrives(vec![at(2)])
            };
            let mut tracker = Tracker::new(sign);
            let found = (0..60).find_map(|ms| {
                let arrived = at(if ms < change { 1 } else { 2 });
                tracker.see(begun + Duration::from_millis(ms), Some(arrived))
            }).unwrap();
            let true_moment = begun + Duration::from_millis(change);
            prop_assert!(found.before.unwrap() < true_moment && true_moment <= found.at);
        }
    }
}
