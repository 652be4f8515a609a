use std::net::Ipv4Addr;

use proptest::prelude::*;
use services::service::{Condition, Hints, Protocol};

use super::super::slice::SlicePort;
use super::*;

fn endpoint(number: u16, local: bool) -> SliceEndpoint {
    let ip = Ipv4Addr::from(0x0a00_0000 + u32::from(number)).into();
    SliceEndpoint { ip, local, condition: Condition::Ready, hints: Hints::NONE }
}

fn group(port: u16) -> Group {
    let port = SlicePort { name: "p".into(), protocol: Protocol::Tcp, number: port };
    Group { family: Family::Ipv4, ports: vec![port] }
}

type Wanted = BTreeMap<Group, Vec<SliceEndpoint>>;

fn held(slices: &[Slice]) -> BTreeMap<Group, Vec<String>> {
    let mut held: BTreeMap<Group, Vec<String>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| !slice.endpoints.is_empty()) {
        let shown = slice.endpoints.iter().map(|endpoint| format!("{endpoint:?}"));
        held.entry(slice.group.clone()).or_default().extend(shown);
    }
    held.values_mut().for_each(|list| list.sort());
    held
}

fn shown(wanted: &Wanted) -> BTreeMap<Group, Vec<String>> {
    let mut shown: BTreeMap<Group, Vec<String>> = wanted
        .iter()
        .filter(|(_, endpoints)| !endpoints.is_empty())
        .map(|(group, list)| (group.clone(), list.iter().map(|endpoint| format!("{endpoint:?}")).collect()))
        .collect();
    shown.values_mut().for_each(|list| list.sort());
    shown
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let endpoints = prop::collection::btree_map(0_u16..500, any::<bool>(), 0..350)
        .prop_map(|all| all.into_iter().map(|(number, local)| endpoint(number, local)).collect::<Vec<_>>());
    prop::collection::btree_map((80_u16..83).prop_map(group), endpoints, 0..3)
        .prop_map(|all| all.into_iter().filter(|(_, list)| !list.is_empty()).collect())
}

fn exchange(count: u16, at: u16) -> (Vec<Slice>, Vec<Slice>) {
    let mut last = 0;
    let all = |skip: Option<u16>| -> Wanted {
        let old = (0..count).filter(|number| Some(*number) != skip).map(|number| endpoint(number, false));
        let new = skip.map(|_| endpoint(60_000, false));
        [(group(80), old.chain(new).collect())].into()
    };
    let before = pack(&[], all(None), &[Family::Ipv4], &mut last);
    let after = pack(&before, all(Some(at)), &[Family::Ipv4], &mut last);
    (before, after)
}

proptest! {
    #[test]
    fn slices_hold_what_is_wanted(sequence in prop::collection::vec(wanted(), 1..5)) {
        let (mut slices, mut last): (Vec<Slice>, u32) = (Vec::new(), 0);
        for wanted in sequence {
            slices = pack(&slices, wanted.clone(), &[Family::Ipv4], &mut last);
            prop_assert_eq!(held(&slices), shown(&wanted));
            prop_assert!(slices.iter().all(|slice| slice.endpoints.len() <= MOST));
            let empty = slices.iter().filter(|slice| slice.endpoints.is_empty()).count();
            prop_assert_eq!(empty, usize::from(wanted.is_empty()), "one says that there is none");
            let mut numbers: Vec<u32> = slices.iter().map(|slice| slice.number).collect();
            prop_assert!(numbers.iter().all(|number| (1..=last).contains(number)));
            numbers.sort_unstable();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), slices.len());
            let again = pack(&slices, wanted, &[Family::Ipv4], &mut last);
            prop_assert_eq!(&again, &slices, "nothing changes without a change");
        }
    }

    #[test]
    fn an_endpoint_that_is_exchanged_changes_one_slice(count in 1_u16..450, at in 0_u16..450) {
        let (before, after) = exchange(count, at % count);
        prop_assert_eq!(before.len(), usize::from(count.div_ceil(100)));
        prop_assert_eq!(after.len(), before.len());
        let changed = before.iter().zip(&after).filter(|(one, other)| one != other).count();
        prop_assert_eq!(changed, 1);
    }
}
