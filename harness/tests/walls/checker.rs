//! The checker finds what it is for, in small sources that were made up.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Sources};
use crate::rules::{CRATES, circle_faults, crate_faults, room_faults};

/// A crate called `house` with these files: path and text.
fn graph(files: &[(&str, &str)]) -> Graph {
    let sources: Sources =
        files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    Graph::new("house", &sources)
}

/// Each edge, as `from -> to: names`.
fn edges(files: &[(&str, &str)]) -> Vec<String> {
    let graph = graph(files);
    let shown = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    graph.edges().map(|(from, to, names)| format!("{from} -> {to}: {}", shown(names))).collect()
}

fn circles_of(graph: &Graph) -> Vec<Vec<&str>> {
    graph.circles().into_iter().map(|circle| circle.shortest).collect()
}

/// The edges of `a.rs` with this text, beside `b.rs` that has an item `B` and a child with an item `C`.
fn edges_of(text: &str) -> Vec<String> {
    edges(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", text),
        ("b.rs", "pub struct B; pub mod child;"),
        ("b/child.rs", "pub struct C; pub fn run() {}"),
    ])
}

#[test]
fn circle_is_found_and_named() {
    let circle = graph(&[
        ("lib.rs", "mod one; mod two; mod three; mod four;"),
        ("one.rs", "use crate::two::Two; pub struct One;"),
        ("two.rs", "use crate::three::{Three, Other}; use crate::four::Four; pub struct Two;"),
        ("three.rs", "pub struct Three; pub struct Other(crate::one::One);"),
        ("four.rs", "pub struct Four;"),
    ]);
    let faults = circle_faults("house/src", &circle);
    assert_eq!(
        faults,
        ["3 files lead to each other. The shortest circle:\n  \
          house/src/one.rs -> house/src/two.rs: Two\n  \
          house/src/two.rs -> house/src/three.rs: Other, Three\n  \
          house/src/three.rs -> house/src/one.rs: One\n  \
          Move what both ends of an edge need into a file that both import."]
    );
}

#[test]
fn shortest_circle_of_each_group_is_found() {
    let circles = graph(&[
        ("lib.rs", "mod a; mod b; mod c; mod d; mod e; mod f;"),
        ("a.rs", "use crate::b;"),
        ("b.rs", "use crate::a; use crate::c;"),
        ("c.rs", "use crate::d;"),
        ("d.rs", "use crate::e; use crate::f;"),
        ("e.rs", "use crate::d;"),
        ("f.rs", "use crate::c;"),
    ]);
    assert_eq!(circles_of(&circles), [vec!["a.rs", "b.rs"], vec!["d.rs", "e.rs"]]);
    assert_eq!(circles.circles()[1].group, 4);
}

#[test]
fn circle_of_parent_and_child_is_found() {
    let circle = graph(&[
        ("lib.rs", "mod parent;"),
        ("parent.rs", "mod child; pub struct P; fn f() { child::run() }"),
        ("parent/child.rs", "use super::P; pub fn run() {}"),
    ]);
    assert_eq!(circles_of(&circle), [["parent.rs", "parent/child.rs"]]);
    let none = graph(&[
        ("lib.rs", "mod parent;"),
        ("parent.rs", "mod child; pub struct P;"),
        ("parent/child.rs", "use super::P;"),
    ]);
    assert_eq!(circles_of(&none), Vec::<Vec<&str>>::new(), "`mod child;` is no import");
}

#[test]
fn re_export_leads_to_what_defines_it() {
    let files = [
        ("lib.rs", "mod room; mod user; pub use self::room::Thing as Renamed; pub use serde::Serialize;"),
        ("room.rs", "mod thing; mod other; pub use self::thing::Thing; pub use self::other::*;"),
        ("room/thing.rs", "use crate::Renamed; pub struct Thing;"),
        ("room/other.rs", "use super::Thing; pub struct Other;"),
        ("user.rs", "use crate::{Renamed, Serialize}; use crate::room::Other;"),
    ];
    assert_eq!(
        edges(&files),
        [
            "lib.rs -> room/thing.rs: Thing",
            "room.rs -> room/other.rs: *",
            "room.rs -> room/thing.rs: Thing",
            "room/other.rs -> room/thing.rs: Thing",
            "user.rs -> lib.rs: Serialize",
            "user.rs -> room/other.rs: Other",
            "user.rs -> room/thing.rs: Thing",
        ]
    );
}

#[test]
fn super_leads_upwards() {
    let files = [
        ("lib.rs", "mod a; pub struct Root;"),
        ("a.rs", "mod b; pub struct A;"),
        ("a/b.rs", "mod c;"),
        (
            "a/b/c.rs",
            "use super::super::A; mod inner { use super::super::super::super::Root; use super::*; }",
        ),
    ];
    assert_eq!(edges(&files), ["a/b/c.rs -> a.rs: A", "a/b/c.rs -> lib.rs: Root"]);
}

#[test]
fn paths_are_found_wherever_they_are() {
    for (text, edge) in [
        ("fn f(b: crate::b::B) {}", "b.rs: B"),
        ("fn f() { let x = Vec::<super::b::B>::new(); }", "b.rs: B"),
        ("fn f() { use crate::b::B; }", "b.rs: B"),
        ("impl crate::b::B { fn f() {} }", "b.rs: B"),
        ("use crate::b as other; fn f() { other::B; }", "b.rs: B b"),
        ("use super::{b::{self}};", "b.rs: b"),
        ("fn f() { println!(\"{:?}\", [crate::b::B]) }", "b.rs: B"),
        ("#[serde(with = \"crate::b::child\")] struct S;", "b/child.rs: child"),
        ("#[derive(crate::b::child::C)] struct S;", "b/child.rs: C"),
        ("struct S; impl S { #[cfg(feature = \"x\")] fn f() { crate::b::child::run() } }", "b/child.rs: run"),
        ("#[cfg(not(test))] use crate::b::B;", "b.rs: B"),
    ] {
        assert_eq!(edges_of(text), [format!("a.rs -> {edge}")], "{text}");
    }
}

#[test]
fn what_is_no_import_is_no_edge() {
    for text in [
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "mod tests { use crate::b::B; }",
        "#[cfg(test)] use crate::b::B;",
        "#[cfg(all(test, unix))] use crate::b::B;",
        "struct S; impl S { #[cfg(test)] fn f() { crate::b::child::run() } }",
        "pub(in crate::b) struct S;",
        "/// See crate::b::B.\n// crate::b::B\nstruct S(&'static str); const B: S = S(\"crate::b::B\");",
        "fn f(b: u8) -> u8 { b }",
        "use ::b::B; use b::child; fn f() { b::run() }",
        "use crate::a::S; struct S;",
    ] {
        assert_eq!(edges_of(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn program_imports_from_its_library() {
    let files = [
        ("lib.rs", "pub mod low;"),
        ("low.rs", "pub struct Low; mod house {}"),
        ("main.rs", "mod cli; fn main() { cli::run() }"),
        ("cli.rs", "use house::low::Low; pub fn run() {}"),
    ];
    assert_eq!(edges(&files), ["cli.rs -> low.rs: Low", "main.rs -> cli.rs: run"]);
}

#[test]
#[should_panic(expected = "no `mod` leads to src/lost.rs")]
fn file_that_nothing_leads_to_is_found() {
    graph(&[("lib.rs", "#[cfg(test)] mod tests;"), ("tests.rs", ""), ("tests/more.rs", ""), ("lost.rs", "")]);
}

#[test]
fn import_from_a_room_above_or_beside_is_found() {
    let house = [
        ("lib.rs", "mod low; mod left; mod right;"),
        ("low.rs", "mod part;"),
        ("low/part.rs", "use crate::left::{L, M};"),
        ("left.rs", "pub struct L; pub struct M;"),
        ("right.rs", "use crate::left::L; use crate::low::part;"),
    ];
    let house = graph(&house);
    assert_eq!(
        room_faults("src", &house, &[&["low"], &["left", "right"], &["lib"]]),
        [
            "src/low/part.rs -> src/left.rs: L, M\n  `left` is above `low`: move what both need into a room below both.",
            "src/right.rs -> src/left.rs: L\n  `left` is beside `right`: move what both need into a room below both.",
        ]
    );
    let faults = room_faults("src", &house, &[&["left"], &["low"], &["lib", "attic"]]);
    assert!(faults.iter().any(|fault| fault.starts_with("src/right.rs has no row yet")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.starts_with("src has no attic.rs")), "{faults:?}");
    assert_eq!(faults.len(), 2, "{faults:?}");
}

/// The faults of three crates, of which the middle one may depend on `low`.
fn faults_of(middle: &str) -> Vec<String> {
    let texts = [("low", ""), ("middle", middle), ("high", ""), ("conformance", "")];
    let manifests: BTreeMap<_, _> =
        texts.iter().map(|(name, text)| ((*name).to_owned(), text.parse().unwrap())).collect();
    crate_faults(&manifests, &[("low", &[]), ("middle", &["low"]), ("high", &[]), ("conformance", &[])])
}

#[test]
fn forbidden_dependency_is_found() {
    let low = "[dependencies]\nlow.workspace = true\n";
    assert_eq!(faults_of(&format!("{low}serde = \"1\"\n[dev-dependencies]\nhigh.workspace = true")), [""; 0]);
    for (more, fault) in [
        ("high.workspace = true", "middle must not depend on high"),
        ("[build-dependencies]\nhigh.workspace = true", "middle must not depend on high"),
        ("[target.'cfg(unix)'.dependencies]\nhigh = { path = \"x\" }", "middle must not depend on high"),
        ("other = { path = \"x\", package = \"high\" }", "middle must not depend on high"),
        ("conformance.workspace = true", "middle depends on conformance, which is for tests"),
    ] {
        let faults = faults_of(&format!("{low}{more}"));
        assert!(faults.len() == 1 && faults[0].starts_with(fault), "{more}: {faults:?}");
    }
    assert!(faults_of("")[0].starts_with("middle depends no longer on low"));
}

#[test]
fn new_and_impure_crates_are_found() {
    let nix = "[dependencies]\nnix.workspace = true\n".parse().unwrap();
    let manifests = BTreeMap::from([("services".to_owned(), nix), ("attic".to_owned(), toml::Table::new())]);
    let faults = crate_faults(&manifests, CRATES);
    for start in ["attic is a new crate", "services depends on nix", "no crate is called lab"] {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start}: {faults:?}");
    }
}
