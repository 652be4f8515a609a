//! The normal form of what `nft -f -` reads: commands, one on each line.

use super::nft::of_element;
use super::normal::{Normal, Object};
use crate::search::name_of_chain;

/// Takes an input apart: every line of it is in the place of the table, chain or set (maps among them) that it is about.
///
/// The order of places is left out: an input is one transaction. That of commands for one chain is kept, and that of commands
/// for one element; elements themselves have none.
pub fn normal(text: &str) -> Normal {
    let mut normal = Normal::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (_, kind) = (words.next(), words.next().unwrap_or_default());
        let [family, table, name] = [(); 3].map(|()| words.next().unwrap_or_default());
        let (place, service) = match kind {
            "chain" | "rule" => (format!("{family} {table}, chain {name}"), name_of_chain(name)),
            "set" | "map" | "element" => (format!("{family} {table}, set {name}"), None),
            _ => (format!("{family} {table}"), None),
        };
        let own = if kind == "element" { of_element(line) } else { None };
        let object = normal.entry(place).or_insert_with(|| Object { service, lines: Vec::new() });
        object.lines.push((own, line.to_owned()));
    }
    for object in normal.values_mut() {
        object.lines.sort_by(|(_, one), (_, other)| key(one).cmp(key(other)));
    }
    normal
}

/// What elements are sorted by: what is between the brace and the value. Of all else it is nothing, and stays in front.
fn key(line: &str) -> &str {
    let is_element = line.split(' ').nth(1) == Some("element");
    let inner = line.split_once('{').map_or("", |(_, inner)| inner).trim();
    let end = [" : ", " comment ", " }"].iter().filter_map(|end| inner.find(end)).min();
    if is_element { end.map_or(inner, |end| &inner[..end]) } else { "" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compare::{Difference, Side, differences};

    fn between(one: &str, other: &str) -> Vec<Difference> {
        differences(&normal(one), &normal(other))
    }

    const INPUT: &str = "\
add chain ip kube-proxy service-AXK6CI2C-demo/web/tcp/http
flush chain ip kube-proxy service-AXK6CI2C-demo/web/tcp/http
add rule ip kube-proxy service-AXK6CI2C-demo/web/tcp/http jump mark-for-masquerade
add rule ip kube-proxy service-AXK6CI2C-demo/web/tcp/http meta l4proto tcp dnat to 10.244.0.11:8080
delete element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 }
add element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 : goto service-AXK6CI2C-demo/web/tcp/http }
add element ip kube-proxy no-endpoint-services { 10.96.0.7 . tcp . 80 comment \"demo/none:http\" : goto reject-chain }
";

    #[test]
    fn commands_are_told_by_place_and_service() {
        let normal = normal(INPUT);
        let places: Vec<&str> = normal.keys().map(String::as_str).collect();
        assert_eq!(
            places,
            [
                "ip kube-proxy, chain service-AXK6CI2C-demo/web/tcp/http",
                "ip kube-proxy, set no-endpoint-services",
                "ip kube-proxy, set service-ips"
            ]
        );
        let found = between(INPUT, &INPUT.replace("demo/none", "demo/nobody"));
        let services: Vec<_> = found.iter().map(|difference| difference.service.as_deref()).collect();
        assert_eq!(services, [Some("demo/nobody:http"), Some("demo/none:http")]);
    }

    #[test]
    fn commands_for_one_chain_or_element_have_an_order() {
        let lines: Vec<&str> = INPUT.lines().collect();
        for (at, has_order) in [(0, true), (2, true), (3, false), (4, true), (5, false)] {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            let found = between(INPUT, &swapped.join("\n"));
            assert_eq!(
                found.iter().map(|found| found.side).collect::<Vec<_>>(),
                vec![Side::Order; has_order.into()]
            );
        }
    }

    proptest! {
        #[test]
        fn every_line_is_kept_and_found_again(text in "((add|delete|flush) (table|chain|rule|element|set)?[ a-c{}:]{0,16}\n){0,20}") {
            let of = normal(&text);
            let mut found: Vec<&str> = of.values().flat_map(|object| object.lines.iter().map(|(_, line)| line.as_str())).collect();
            let mut wanted: Vec<&str> = text.lines().collect();
            found.sort_unstable();
            wanted.sort_unstable();
            prop_assert_eq!(found, wanted);
            let more = format!("{text}add chain ip x\n");
            prop_assert!(!between(&text, &more).is_empty());
        }

        #[test]
        fn any_text_has_a_form(text in "[ -~\n]{0,120}") {
            let _ = normal(&text);
        }
    }
}
