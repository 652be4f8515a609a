//! A comparison as JUnit XML, which every CI server reads.

use super::comparison::{Compared, Comparison, Judgement};
use super::sections::difference;
use crate::text::escape_html;

/// One test case for each figure, of a test suite for each lane: worse is a failure, a deciding figure that NEW has lost
/// is an error, what could have gone unseen or cannot be compared is skipped, and says why. Figures that do not decide
/// pass. A lane that is refused is an error by itself.
pub fn junit(comparison: &Comparison) -> String {
    let mut suites = String::new();
    let mut totals = [0; 4];
    for (index, lane) in comparison.lanes.iter().enumerate() {
        let figures = comparison.figures.iter().filter(|compared| compared.figure.lane == index);
        let mut cases = String::new();
        let mut counts = [0; 4];
        if let Some(refusal) = lane.refusal() {
            let problem = format!("<error type=\"refused\" message=\"{}\"/>", escape_html(&refusal));
            cases += &case("lane", "measured alike", &problem);
            counts = [1, 0, 1, 0];
        }
        for compared in figures {
            let (kind, problem) = problem(compared);
            counts[0] += 1;
            if let Some(kind) = kind {
                counts[kind] += 1;
            }
            cases += &case(&compared.figure.workload, &compared.figure.name(), &problem);
        }
        let [tests, failures, errors, skipped] = counts;
        suites += &format!(
            "  <testsuite name=\"{}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" \
             skipped=\"{skipped}\">\n{cases}  </testsuite>\n",
            escape_html(&lane.label)
        );
        totals = std::array::from_fn(|at| totals[at] + counts[at]);
    }
    let [tests, failures, errors, skipped] = totals;
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"svcbench compare\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">\n{suites}</testsuites>\n"
    )
}

fn case(class: &str, name: &str, inside: &str) -> String {
    let (class, name) = (escape_html(class), escape_html(name));
    if inside.is_empty() {
        return format!("    <testcase classname=\"{class}\" name=\"{name}\"/>\n");
    }
    format!("    <testcase classname=\"{class}\" name=\"{name}\">{inside}</testcase>\n")
}

/// What is wrong: its place in the counts (failures 1, errors 2, skipped 3), and its element.
fn problem(compared: &Compared) -> (Option<usize>, String) {
    let why = escape_html(&compared.why);
    match compared.verdict {
        Judgement::Worse if compared.decisive => {
            let quantity = compared.figure.quantity();
            let sides = [compared.base, compared.new].map(|side| side.map_or(0.0, |side| side.median));
            let [base, new] = sides.map(|median| quantity.show(median));
            let message = format!("{base} in BASE, {new} in NEW: {}", difference(compared));
            let details = compared.difference.map_or_else(String::new, |shown| {
                format!(
                    "p {:.2e}, corrected {:.2e}; threshold {}%",
                    shown.p, shown.p_corrected, compared.threshold_percent
                )
            });
            let message = escape_html(&message);
            (
                Some(1),
                format!("<failure type=\"worse\" message=\"{message}\">{}</failure>", escape_html(&details)),
            )
        }
        Judgement::NotComparable
            if compared.inconclusive && compared.base.is_some() && compared.new.is_none() =>
        {
            (Some(2), format!("<error type=\"lost\" message=\"{why}\"/>"))
        }
        _ if compared.inconclusive => (Some(3), format!("<skipped message=\"inconclusive: {why}\"/>")),
        Judgement::NotComparable => (Some(3), format!("<skipped message=\"not comparable: {why}\"/>")),
        _ => (None, String::new()),
    }
}
