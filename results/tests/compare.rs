//! Two runs compared: what is claimed, what is not, and what readers see.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod fixtures;

use std::path::Path;

use fixtures::sides::{self, lookups, run_of};
use results::compare::{
    Better, Comparison, ComparisonOutcome, Judgement, Policy, Run, TestMethod, bencher, compare,
    github_action_benchmark, junit, markdown, read_side, text,
};
use results::names::{OLD_MODES, metric, workload};
use results::record::{Clock, Record, Status, Text, Unit};

/// Five blocks around `centre`, apart by a percent or so.
fn around(centre: f64, salt: usize) -> Vec<f64> {
    let offsets = [0.0, 0.4, -0.5, 0.9, -0.8, 0.2, -0.3];
    (0..5).map(|block| centre * (1.0 + offsets[(block + salt) % 7] / 100.0)).collect()
}

fn plain() -> Vec<Vec<f64>> {
    (0..27).map(|figure| around(1_000.0 + 100.0 * figure as f64, figure)).collect()
}

/// A run with what happens in runs: rates, counts, a failed cell, a skipped one, one of a single block, A/A pairs.
fn with_everything(values: &[Vec<f64>], rate: u64, rules: u64) -> Run {
    let mut run = lookups(values);
    for block in 0..5_u32 {
        let order = 1_000 + block * 10;
        let mut key = sides::key(0, block, order);
        let again = values[0][block as usize] * (1.0 + f64::from(block % 2) / 500.0);
        run.records.push(key.scalar(metric::LOOKUP_FIRST_PACKET, Unit::Ns, again.round() as u64));
        (key.order, key.workload) = (order + 1, workload::TCP_CRR.into());
        let wobble = u64::from(block) * 3;
        run.records.push(key.scalar(metric::RESPONSE_TIME, Unit::Ns, 60_000 + 50 * wobble));
        run.records.push(key.scalar(metric::TRANSACTIONS_PER_SECOND, Unit::PerSecond, rate + wobble));
        (key.order, key.workload, key.position) = (order + 2, workload::FULL_SYNC_COLD.into(), Text::new());
        run.records.push(key.scalar(metric::APPLY, Unit::Ns, 70_000_000 + 100_000 * wobble));
        run.records.push(key.scalar(metric::RULES, Unit::Count, rules));
        run.records.push(key.scalar(metric::CHAINS, Unit::Count, 42));
        run.records.push(key.scalar(metric::REQUESTS, Unit::Count, 900 + wobble));
        (key.order, key.mode) = (order + 3, "iptables-nft".into());
        run.records.push(key.skipped(metric::APPLY, Unit::Ns, "predicted to take 104 s; the limit is 60 s"));
    }
    let mut key = sides::key(0, 0, 2_000);
    (key.workload, key.contenders, key.position) = (workload::XTABLES_LOCK.into(), 4, Text::new());
    run.records.push(key.scalar(metric::LOCK_WAIT, Unit::Ns, 5_000_000));
    run
}

/// BASE and NEW of a change that is good and bad.
fn story() -> [Run; 2] {
    let base = plain();
    let mut new = plain();
    for (index, values) in new.iter_mut().enumerate() {
        let factor = match index {
            2 | 5 => 1.10,
            1 => 0.92,
            4 => 1.012,
            _ => 1.0,
        };
        values.iter_mut().for_each(|value| *value *= factor);
    }
    // One that is noisy on either side.
    let noisy = vec![900.0, 1_500.0, 1_100.0, 2_000.0, 1_300.0];
    let [mut base, mut new] =
        [with_everything(&[&base[..], &[]].concat(), 9_000, 210), with_everything(&new, 8_000, 212)];
    for run in [&mut base, &mut new] {
        let first = sides::key(26, 0, 0);
        let of_noisy = |row: &&mut Record| {
            (row.cell.mode.as_str(), row.cell.services, row.cell.position.as_str())
                == (first.mode.as_str(), first.services, first.position.as_str())
        };
        for (row, value) in run.records.iter_mut().filter(of_noisy).zip(&noisy) {
            *row =
                sides::key(26, row.cell.block, row.cell.order).scalar(&row.metric, row.unit, *value as u64);
        }
    }
    let lost = sides::key(8, 0, 0);
    for row in &mut new.records {
        if (&row.cell.mode, row.cell.services, &row.cell.position)
            == (&lost.mode, lost.services, &lost.position)
        {
            *row = sides::key(8, row.cell.block, row.cell.order).failed(
                &row.metric,
                row.unit,
                "3 of 2,000 probes came back with an endpoint of another Service",
            );
        }
    }
    new.environment.run = "2026-12-01-7".into();
    new.records.iter_mut().for_each(|row| row.cell.run = "2026-12-01-7".into());
    (base.name, new.name) = ("runs/main".into(), "runs/pull".into());
    new.environment.tool_version = "0.2.0".into();
    [base, new]
}

fn compared([base, new]: &[Run; 2], policy: &Policy) -> Comparison {
    compare(std::slice::from_ref(base), std::slice::from_ref(new), policy)
}

fn of<'a>(comparison: &'a Comparison, metric: &str, mode: &str) -> Vec<&'a results::compare::Compared> {
    let is = |found: &&results::compare::Compared| found.figure.metric == metric && found.figure.mode == mode;
    comparison.figures.iter().filter(is).collect()
}

#[test]
fn a_story_is_told_in_every_format() {
    let comparison = compared(&story(), &Policy::default());
    assert_eq!(comparison.outcome, ComparisonOutcome::Regression);
    insta::assert_snapshot!("text", text(&comparison, false));
    insta::assert_snapshot!("text_all", text(&comparison, true));
    insta::assert_snapshot!("markdown", markdown(&comparison, false));
    insta::assert_snapshot!("junit", junit(&comparison));
    insta::assert_snapshot!("github_action_benchmark", github_action_benchmark(&comparison, Better::Smaller));
    insta::assert_snapshot!(
        "github_action_benchmark_bigger",
        github_action_benchmark(&comparison, Better::Bigger)
    );
    insta::assert_snapshot!("bencher", bencher(&comparison));
    let two = Comparison { figures: comparison.figures[..2].to_vec(), ..comparison };
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&two).unwrap());
}

#[test]
fn what_decides_can_be_chosen() {
    let story = story();
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    // Rates are better when higher; the inverse of a response time decides only if it is named.
    let rates = compared(
        &story,
        &Policy { metrics: Some(set(&[metric::TRANSACTIONS_PER_SECOND])), ..Policy::default() },
    );
    let rate = of(&rates, metric::TRANSACTIONS_PER_SECOND, "ipvs")[0];
    assert_eq!(
        (rate.verdict, rate.decisive, rates.outcome),
        (Judgement::Worse, true, ComparisonOutcome::Regression)
    );
    assert!(rates.figures.iter().any(|figure| figure.verdict == Judgement::Worse && !figure.decisive));
    // Exact counts are better when lower only where somebody says so.
    let rules = compared(
        &story,
        &Policy { only_metrics: set(&[metric::RULES]), threshold: 0.5, ..Policy::default() },
    );
    let rule = of(&rules, metric::RULES, "ipvs")[0];
    assert_eq!((rule.verdict, rule.difference.unwrap().method), (Judgement::Worse, TestMethod::Exact));
    assert_eq!(rules.figures.len(), 1, "nothing else is looked at");
    let loose = compared(&story, &Policy { only_metrics: set(&[metric::RULES]), ..Policy::default() });
    assert_eq!((loose.outcome, loose.figures[0].verdict), (ComparisonOutcome::Ok, Judgement::NoDifference));
    // A threshold of its own.
    let thresholds = [(metric::LOOKUP_FIRST_PACKET.to_owned(), 15.0)].into();
    let mild = compared(&story, &Policy { thresholds, ..Policy::default() });
    assert!(
        mild.figures.iter().all(|figure| figure.verdict != Judgement::Worse || !figure.decisive),
        "{mild:?}"
    );
    let modes = compared(&story, &Policy { modes: Some(set(&["nftables"])), ..Policy::default() });
    assert_ne!(modes.outcome, ComparisonOutcome::Regression, "only nftables decides, and it is better");
    let missing =
        compared(&story, &Policy { metrics: Some(set(&[metric::APPLY, metric::BUSY])), ..Policy::default() });
    assert_eq!(missing.outcome, ComparisonOutcome::Inconclusive);
    assert!(
        missing.notes.iter().any(|note| note.contains("no row has the metric busy")),
        "{:?}",
        missing.notes
    );
}

#[test]
fn identical_rows_differ_in_nothing() {
    let mut rows = fixtures::rows(5);
    rows.extend(fixtures::guest::guest_rows(5));
    rows.dedup();
    let run = Run { environment: fixtures::guest::two_passports(), sweep: None, ..run_of(rows) };
    let comparison = compared(&[run.clone(), run], &Policy::default());
    let claimed = |verdict| matches!(verdict, Judgement::Worse | Judgement::Better | Judgement::Changed);
    assert!(comparison.figures.iter().all(|figure| !claimed(figure.verdict)));
    assert!(comparison.figures.iter().any(|figure| figure.verdict == Judgement::NoDifference));
    assert!(comparison.notes.iter().any(|note| note.contains("in common")));
}

#[test]
fn the_real_thing_differs_from_itself_in_nothing_and_a_planted_shift_is_found() {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference-xeon");
    let base = read_side(&reference).unwrap();
    let same = compare(&base, &base, &Policy::default());
    assert!(
        same.figures.iter().all(|figure| !matches!(figure.verdict, Judgement::Worse | Judgement::Better))
    );
    assert_eq!(
        same.outcome,
        ComparisonOutcome::Inconclusive,
        "by the wall clock some cells are noisier than 5%"
    );
    let mut new = base.clone();
    let planted = |mode: &str, services: u32| mode == "iptables-legacy" && services == 1_000;
    for row in new[0].records.iter_mut().filter(|row| {
        row.metric == metric::LOOKUP_FIRST_PACKET
            && planted(&row.cell.mode, row.cell.services)
            && row.status == Status::Ok
    }) {
        for value in [&mut row.min, &mut row.p50, &mut row.p90, &mut row.p99, &mut row.p999, &mut row.max] {
            *value = value.map(|value| value * 11 / 10);
        }
    }
    let comparison = compare(&base, &new, &Policy::default());
    assert_eq!(comparison.outcome, ComparisonOutcome::Regression);
    let worse: Vec<_> =
        comparison.figures.iter().filter(|figure| figure.verdict == Judgement::Worse).collect();
    assert!(worse.iter().all(|found| planted(&found.figure.mode, found.figure.services)));
    let by_instructions = worse.iter().filter(|found| found.figure.clock == Clock::Instructions).count();
    assert_eq!(by_instructions, 5, "every position");
    for found in &worse {
        let shown = found.difference.unwrap();
        assert!(
            shown.interval_percent.unwrap().holds(10.0) || (shown.percent.unwrap() - 10.0).abs() < 0.05,
            "{found:?}"
        );
    }
}

#[test]
fn other_machines_are_refused_unless_accepted() {
    let [base, mut new] = story();
    new.environment.kernel_version = "#2 SMP".into();
    new.environment.mitigations.insert("retbleed".into(), "Vulnerable".into());
    new.setup.insert("scheduler".into(), "mh".into());
    let sides = [base, new];
    let refused = compared(&sides, &Policy::default());
    assert_eq!(refused.outcome, ComparisonOutcome::NotComparable);
    assert!(
        refused.figures.iter().all(|figure| figure.verdict == Judgement::NotComparable && !figure.decisive)
    );
    insta::assert_snapshot!("refused", text(&refused, false));
    insta::assert_snapshot!(
        "refused_junit_head",
        junit(&refused).lines().take(5).collect::<Vec<_>>().join("\n")
    );
    let accept = ["kernel_version", "mitigations", "setup"].map(str::to_owned).into();
    let accepted = compared(&sides, &Policy { accept, ..Policy::default() });
    assert_eq!(accepted.outcome, ComparisonOutcome::Regression);
    assert_eq!(accepted.lanes[0].accepted.len(), 3);
    // Another kernel makes another lane of rows; it is still that of before.
    let [base, mut new] = story();
    new.records.iter_mut().for_each(|row| row.cell.kernel = "6.19".into());
    new.environment.kernel = "6.19".into();
    let kernels =
        compared(&[base, new], &Policy { accept: ["kernel".to_owned()].into(), ..Policy::default() });
    assert_eq!((kernels.lanes.len(), kernels.outcome), (1, ComparisonOutcome::Regression));
    assert!(kernels.lanes[0].label.contains("6.18.44") && kernels.lanes[0].label.contains("6.19"));
}

#[test]
fn nothing_is_nothing_and_one_block_is_little() {
    let empty = run_of(Vec::new());
    assert_eq!(
        compared(&[empty.clone(), empty.clone()], &Policy::default()).outcome,
        ComparisonOutcome::NotComparable
    );
    let [base, _] = story();
    let lost = compared(&[base.clone(), empty], &Policy::default());
    assert_eq!(lost.outcome, ComparisonOutcome::NotComparable);
    assert!(lost.figures.iter().any(|figure| figure.why == "NEW has no rows of this clock and kernel"));
    let single = lookups(&plain().iter().map(|values| values[..1].to_vec()).collect::<Vec<_>>());
    let one = compared(&[base, single.clone()], &Policy::default());
    assert_eq!(one.outcome, ComparisonOutcome::NotComparable, "{}", one.summary);
    assert_eq!(
        compared(&[single.clone(), single], &Policy::default()).outcome,
        ComparisonOutcome::NotComparable
    );
}

#[test]
fn a_side_of_several_runs_knows_how_runs_differ() {
    // Blocks within a run agree to 0.1%, runs among themselves to 3%.
    let side = |levels: [f64; 3]| -> Vec<Run> {
        let run = |(index, level): (usize, f64)| {
            let values = (0..27).map(|figure| {
                let own = 1.0 + level * (1.0 + (figure as f64) / 100.0) / 100.0;
                around(10_000.0, figure).into_iter().map(|value| (1e4 + (value - 1e4) / 10.0) * own).collect()
            });
            let mut run = lookups(&values.collect::<Vec<Vec<f64>>>());
            run.environment.run = format!("run {index} {level}");
            run
        };
        levels.into_iter().enumerate().map(run).collect()
    };
    let (base, new) = (side([0.0, 3.0, -2.5]), side([2.0, 6.0, 3.5]));
    let policy = Policy { threshold: 1.0, ..Policy::default() };
    let runs = compare(&base, &new, &policy);
    assert!(runs.figures.iter().all(|figure| figure.difference.unwrap().method == TestMethod::Runs));
    assert!(runs.figures.iter().all(|figure| figure.verdict == Judgement::NoDifference));
    assert_eq!(runs.outcome, ComparisonOutcome::Inconclusive);
    // One run of each would have been taken for a difference.
    let blocks = compare(&base[..1], &new[1..2], &policy);
    assert_eq!(blocks.outcome, ComparisonOutcome::Regression);
    let mixed = compare(&base, &new[..1], &policy);
    assert!(mixed.notes.iter().any(|note| note.contains("3 runs on one side")), "{:?}", mixed.notes);
}

#[test]
fn blocks_are_paired_where_the_seed_makes_them_alike() {
    let by_instructions = |factor: f64| {
        // Blocks draw different Services: they differ by far more than the runs.
        let values: Vec<Vec<f64>> =
            (0..27).map(|_| [1e4, 2e4, 3e4, 1.5e4, 2.5e4].map(|value: f64| value * factor).into()).collect();
        let mut run = lookups(&values);
        run.environment.clock = Clock::Instructions;
        run.records.iter_mut().for_each(|row| row.cell.clock = Clock::Instructions);
        run
    };
    let (base, new) = (by_instructions(1.0), by_instructions(1.02));
    let policy = Policy { threshold: 1.0, ..Policy::default() };
    let comparison = compared(&[base.clone(), new.clone()], &policy);
    assert_eq!(comparison.outcome, ComparisonOutcome::Regression);
    assert_eq!(comparison.figures.iter().filter(|figure| figure.verdict == Judgement::Worse).count(), 27);
    // Below what histograms keep, nothing is claimed whatever the threshold.
    let tiny =
        compared(&[base.clone(), by_instructions(1.0009)], &Policy { threshold: 0.0, ..Policy::default() });
    assert_eq!(tiny.outcome, ComparisonOutcome::Ok, "{}", tiny.summary);
    // By the wall clock the same rows tell nothing.
    let wall = [base, new].map(|mut run| {
        run.environment.clock = Clock::Wall;
        run.records.iter_mut().for_each(|row| row.cell.clock = Clock::Wall);
        run
    });
    assert_eq!(compared(&wall, &policy).outcome, ComparisonOutcome::Inconclusive);
}

#[test]
fn the_floor_of_a_a_pairs_is_respected() {
    // The second visit took a fifth longer.
    let noisy_pairs = |mut run: Run| {
        let second = |row: &&mut Record| row.cell.order >= 1_000 && row.metric == metric::LOOKUP_FIRST_PACKET;
        for row in run.records.iter_mut().filter(second) {
            *row = sides::key(0, row.cell.block, row.cell.order).scalar(&row.metric, row.unit, 1_200);
        }
        run
    };
    let story = story();
    let before = compared(&story, &Policy::default());
    assert!(before.figures.iter().any(|figure| figure.verdict == Judgement::Worse && figure.decisive));
    let after = compared(&story.map(noisy_pairs), &Policy::default());
    let lookups =
        || after.figures.iter().filter(|figure| figure.figure.metric == metric::LOOKUP_FIRST_PACKET);
    assert!(lookups().all(|figure| figure.floor_percent.unwrap() > 8.0));
    assert!(lookups().all(|figure| figure.verdict != Judgement::Worse), "10% is within the floor");
    assert!(lookups().filter(|figure| figure.new.is_some()).all(|figure| figure.inconclusive));
}

#[test]
fn zeros_have_no_ratio_and_losses_are_still_losses() {
    let lost = |counts: [u64; 5]| {
        let row = |(block, count): (usize, u64)| {
            let mut key = sides::key(0, block as u32, block as u32);
            key.workload = "load_http".into();
            key.scalar(metric::LOST_REQUESTS, Unit::Count, count)
        };
        run_of(counts.into_iter().enumerate().map(row).collect())
    };
    let policy = Policy { metrics: Some([metric::LOST_REQUESTS.to_owned()].into()), ..Policy::default() };
    let outcome = |base, new| compared(&[lost(base), lost(new)], &policy).outcome;
    assert_eq!(outcome([0; 5], [0; 5]), ComparisonOutcome::Ok);
    assert_eq!(outcome([0; 5], [40, 50, 45, 52, 48]), ComparisonOutcome::Regression);
    assert_eq!(outcome([40, 50, 45, 52, 48], [0; 5]), ComparisonOutcome::Ok);
    assert_eq!(outcome([0; 5], [0, 0, 0, 0, 9]), ComparisonOutcome::Inconclusive);
    let gone = compared(&[lost([40, 50, 45, 52, 48]), lost([0; 5])], &policy);
    assert_eq!(gone.figures[0].verdict, Judgement::Better);
    assert!((gone.figures[0].difference.unwrap().percent.unwrap() + 100.0).abs() < 1e-9);
}

#[test]
fn hostile_rows_cannot_inject_markup() {
    let evil = "\"><script>alert(1)</script>|\n# x\u{0}\u{7}`[a](http://b)]]>";
    let [base, new] = story().map(|mut run| {
        for row in &mut run.records {
            row.cell.mode = evil.into();
            row.cell.workload = evil.into();
            row.note = evil.into();
            row.cell.kernel = evil.into();
        }
        run.name = evil.into();
        run.environment.kernel = evil.into();
        run.environment.run = evil.into();
        run
    });
    for policy in
        [Policy::default(), Policy { metrics: Some([metric::APPLY.to_owned()].into()), ..Policy::default() }]
    {
        let comparison = compared(&[base.clone(), new.clone()], &policy);
        let pages = [junit(&comparison), markdown(&comparison, true)];
        assert!(pages.iter().all(|page| !page.contains("<script") && !page.contains('\u{7}')));
        assert!(!text(&comparison, true).contains('\u{7}'));
        for json in [bencher(&comparison), github_action_benchmark(&comparison, Better::Smaller)] {
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
        }
    }
}

#[test]
fn folders_are_read_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let error =
        |path: &Path| read_side(path).unwrap_err().to_string().replace(&*dir.path().to_string_lossy(), "DIR");
    let mut all = error(&dir.path().join("none")) + "\n";
    all += &(error(dir.path()) + "\n");
    let [base, _] = story();
    for name in ["b", "a"] {
        sides::write(&dir.path().join("runs").join(name), &base);
    }
    let runs = read_side(&dir.path().join("runs")).unwrap();
    assert!(runs.len() == 2 && runs[0].name.ends_with("a"));
    assert_eq!(runs[0].records, base.records);
    let csv = dir.path().join("runs/b/records.csv");
    let bytes = std::fs::read(&csv).unwrap();
    std::fs::write(&csv, &bytes[..bytes.len() - 9]).unwrap();
    all += &(error(&dir.path().join("runs")) + "\n");
    std::fs::write(&csv, "name,value\nx,1\n").unwrap();
    all += &(error(&dir.path().join("runs")) + "\n");
    std::fs::write(&csv, &bytes).unwrap();
    std::fs::write(dir.path().join("runs/b/environment.json"), "{\"kernel\": 6}").unwrap();
    all += &(error(&dir.path().join("runs")) + "\n");
    insta::assert_snapshot!("errors", all);
}

/// A file from before the column `hypervisor`, and its passport from before the field.
#[test]
fn an_older_run_is_not_known_to_be_alike() {
    let [base, new] = story();
    let older = |mut run: Run| {
        run.records.iter_mut().for_each(|row| row.cell.hypervisor = Text::new());
        run.environment.hypervisor = String::new();
        run
    };
    let refused = compared(&[older(base.clone()), new.clone()], &Policy::default());
    assert_eq!((refused.outcome, refused.lanes.len()), (ComparisonOutcome::NotComparable, 1));
    assert!(refused.lanes[0].refusal().unwrap().starts_with("hypervisor differs: not known / kvm"));
    assert_eq!(
        compared(&[older(base), older(new)], &Policy::default()).outcome,
        ComparisonOutcome::Regression
    );
}

/// A folder of before the controls beside other rules were renamed, and one of after.
#[test]
fn modes_of_old_folders_are_those_of_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let [base, new] = [true, false].map(|before| {
        let mut run = lookups(&plain());
        for row in &mut run.records {
            if let Some((old, new)) = OLD_MODES.get(row.cell.order as usize % 3) {
                row.cell.mode = if before { *old } else { *new }.into();
            }
        }
        let folder = dir.path().join(if before { "before" } else { "after" });
        sides::write(&folder, &run);
        folder
    });
    let text = std::fs::read_to_string(base.join("records.csv")).unwrap();
    assert!(text.contains("neighbours-legacy") && !text.contains("background"), "an old folder");
    let old_rows = read_side(&base).unwrap();
    let modes: std::collections::BTreeSet<&str> =
        old_rows[0].records.iter().map(|row| row.cell.mode.as_str()).collect();
    assert_eq!(Vec::from_iter(modes), ["background-legacy", "background-nft", "iptables-legacy"]);
    let only = |mode: &str| Policy { only_modes: [mode.to_owned()].into(), ..Policy::default() };
    for (policy, figures) in
        [(Policy::default(), 27), (only("neighbours-nft"), 9), (only("background-nft"), 9), (only("ipvs"), 0)]
    {
        let comparison = compare(&old_rows, &read_side(&new).unwrap(), &policy);
        assert_eq!(comparison.figures.len(), figures);
        assert!(
            comparison.figures.iter().all(|figure| figure.verdict == Judgement::NoDifference),
            "{comparison:?}"
        );
    }
    // What is recovered and written again has the new names.
    std::fs::write(base.join("records.csv"), text.trim_end()).unwrap();
    results::record_file::recover(&base.join("records.csv")).unwrap();
    let text = std::fs::read_to_string(base.join("records.csv")).unwrap();
    assert!(text.contains("background-legacy") && !text.contains("neighbours"));
}
