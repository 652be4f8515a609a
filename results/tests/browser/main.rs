//! The report in a browser: its layout, what it lets a reader do, and whether everybody can read it.
//!
//! Without a Chromium these tests are shown as ignored, with the reason; with `SVCBENCH_REQUIRE_PRIVILEGE=1`, as `scripts/test`
//! has it, they fail instead.

#![expect(clippy::print_stdout, reason = "tests talk to whoever runs them")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod chromium;
#[path = "../fixtures/mod.rs"]
mod fixtures;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};
use results::record::{CellKey, Record};
use results::report::render;
use results::timeline::{ImpactRow, TimelineRow, Timelines};
use serde_json::{Value, json};

use self::chromium::Browser;

const LAYOUT: &str = include_str!("layout.js");
const AXE: &str = include_str!("../third-party/axe-core/axe.min.js");
/// A phone, a tablet, a desktop.
const WIDTHS: [u32; 3] = [360, 768, 1280];
/// A4 between margins of 12 mm, in pixels of CSS.
const PAPER: u32 = 703;

/// The page that most tests open: two lanes, skipped and failed cells, every kind of panel, real kube-proxies.
struct Page {
    file: PathBuf,
    rows: Vec<Record>,
}

type Check = fn(&mut Browser, &Page);

const CHECKS: [(&str, Check); 12] = [
    ("nothing_overflows_overlaps_or_is_clipped_at_three_widths", layout),
    ("the_reference_run_is_laid_out_too", reference),
    ("a_legend_entry_hides_a_mode_in_all_plots", legend),
    ("versions_and_parts_of_syncs_can_be_hidden_and_followed", systems),
    ("a_header_sorts_by_value", sorting),
    ("a_number_leads_to_its_rows", rows),
    ("a_point_says_its_figures", points),
    ("on_paper_nothing_is_cut", print),
    ("dark_is_dark_plots_included", dark),
    ("without_scripts_everything_still_reads", without_scripts),
    ("no_violation_of_wcag_in_either_theme", accessible),
    ("a_file_of_its_own_is_a_drawing_in_both_themes", standalone),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let required = std::env::var("SVCBENCH_REQUIRE_PRIVILEGE").is_ok_and(|value| value == "1");
    let program = chromium::find();
    if let Err(missing) = &program
        && !arguments.list
    {
        println!("tests in a browser lack something: {missing}");
    }
    let shared = Arc::new(Mutex::new(None));
    let trials = CHECKS.into_iter().map(|(name, check)| match &program {
        Ok(program) => {
            let (program, shared) = (program.clone(), Arc::clone(&shared));
            Trial::test(name, move || {
                // One browser, one test at a time; one that failed leaves nothing that the next would see.
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let (browser, page) = shared.get_or_insert_with(|| (Browser::start(&program), make_page()));
                browser.size(1280, 900);
                browser.media("screen", "light");
                browser.scripts(true);
                browser.open(&page.file);
                check(browser, page);
                assert_eq!(browser.complaints, Vec::<String>::new(), "the console is empty");
                Ok(())
            })
        }
        Err(missing) => {
            let why = missing.clone();
            Trial::test(name, move || Err(why.into())).with_ignored_flag(!required)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn make_page() -> Page {
    let mut rows = fixtures::guest::two_lanes(5);
    // More modes than are known, and names that are long.
    let mut other = rows.iter().filter(|row| row.cell.mode == "nftables").cloned().collect::<Vec<_>>();
    for row in &mut other {
        row.cell.mode = "a-dataplane-with-a-long-name".into();
        for figure in [&mut row.min, &mut row.p50, &mut row.p90, &mut row.p99, &mut row.p999, &mut row.max] {
            *figure = figure.map(|value| value * 3 / 2);
        }
    }
    rows.extend(other);
    // Real kube-proxies, one of which is not built: lines by version, bars, narrow tables. Of the plans beside them the run has its own.
    rows.extend(fixtures::systems::rows(3).into_iter().filter(|row| !row.cell.system.is_empty()));
    let sweep = "question = \"From which N on?\"\nservices = [10, 100]\n# a long line ".to_owned()
        + &"of words ".repeat(40);
    let rendered = render(&rows, &over_time(), &fixtures::guest::two_passports(), Some(&sweep)).unwrap();
    let file = folder().join("report.html");
    fs::write(&file, rendered.html).unwrap();
    for (name, svg) in rendered.figures {
        fs::write(folder().join(name), svg).unwrap();
    }
    Page { file, rows }
}

/// A rolling update at two scales, and the impact of a restart on a load.
fn over_time() -> Timelines {
    let mut all = Timelines::default();
    for (index, mode) in fixtures::MODES.into_iter().enumerate() {
        for (workload, services) in [
            ("churn_rolling_update", 1_000),
            ("churn_rolling_update", 10_000),
            ("disruption_restart.tcp_crr_2000", 1_000),
        ] {
            for sync in 0..20_u32 {
                let start = u64::from(sync) * 1_500_000_000;
                all.syncs.push(TimelineRow {
                    cell: CellKey {
                        run: "r".into(),
                        order: index as u32,
                        block: 1,
                        mode: mode.into(),
                        services,
                        endpoints: 10,
                        workload: workload.into(),
                        clock: results::record::Clock::Wall,
                        kernel: "6.18.44".into(),
                        hypervisor: "kvm".into(),
                        system: "".into(),
                        position: "".into(),
                        contenders: 0,
                    },
                    sync: sync + 1,
                    start,
                    end: start + 40_000 * u64::from(services) * (1 + index as u64),
                    changes: sync % 3,
                    bytes: 1_000,
                });
            }
        }
        for part in 0..30_u64 {
            all.impact.push(ImpactRow {
                cell: CellKey {
                    run: "r".into(),
                    order: index as u32,
                    block: 1,
                    mode: mode.into(),
                    services: 1_000,
                    endpoints: 10,
                    workload: "disruption_restart.tcp_crr_2000".into(),
                    clock: results::record::Clock::Wall,
                    kernel: "6.18.44".into(),
                    hypervisor: "kvm".into(),
                    system: "".into(),
                    position: "".into(),
                    contenders: 0,
                },
                from: part * 1_000_000_000,
                length: 1_000_000_000,
                due: 2_000,
                lost: part % 2,
                p50: Some(60_000),
                p99: Some(90_000),
                max: Some(900_000 + 70_000 * part),
            });
        }
    }
    all
}

/// What is wrong with the layout at the present width.
fn faults(browser: &mut Browser) -> Vec<String> {
    browser.list(LAYOUT)
}

fn layout(browser: &mut Browser, page: &Page) {
    for width in WIDTHS {
        browser.size(width, 900);
        browser.open(&page.file);
        assert_eq!(faults(browser), Vec::<String>::new(), "{width} pixels");
        // Open, the rows must not widen the page either.
        browser.value("document.querySelectorAll('details').forEach((e, i) => { e.open = i % 7 === 0; })");
        assert_eq!(faults(browser), Vec::<String>::new(), "{width} pixels, rows open");
    }
}

fn reference(browser: &mut Browser, _: &Page) {
    let dir = tempfile::tempdir().unwrap();
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    for file in ["records.csv", "environment.json", "sweep.toml"] {
        fs::copy(reference.join(file), dir.path().join(file)).unwrap();
    }
    let report = results::report::write_report(dir.path()).unwrap();
    assert!(fs::metadata(&report.files[0]).unwrap().len() < 3_000_000, "it can be passed around");
    for width in WIDTHS {
        browser.size(width, 900);
        browser.open(&report.files[0]);
        assert_eq!(faults(browser), Vec::<String>::new(), "{width} pixels");
    }
    assert_eq!(dead_links(browser), Vec::<String>::new());
}

/// Links to nothing, and identifiers that several elements have.
fn dead_links(browser: &mut Browser) -> Vec<String> {
    browser.list(
        "(() => { const ids = new Map(); for (const e of document.querySelectorAll('[id]')) \
         ids.set(e.id, (ids.get(e.id) || 0) + 1); \
         const twice = [...ids].filter(([, n]) => n > 1).map(([id]) => 'twice: ' + id); \
         const dead = [...document.querySelectorAll('[href]')].map((e) => e.getAttribute('href')) \
         .filter((h) => !h.startsWith('#') || !ids.has(h.slice(1))).map((h) => 'dead: ' + h); \
         return twice.concat(dead).slice(0, 10); })()",
    )
}

const NFTABLES: &str =
    "[...document.querySelectorAll('g.mode')].filter((g) => g.dataset.mode === 'nftables')";
const BUTTON: &str = "document.querySelector('.legend button[data-mode=nftables]')";

/// The section about real kube-proxies: versions and parts of syncs are hidden by their legends, pieces of bars say their figures
/// and lead to their rows.
fn systems(browser: &mut Browser, page: &Page) {
    let seen = |mode: &str| {
        format!(
            "[...document.querySelectorAll('g.mode')].filter((g) => g.dataset.mode === {mode:?} && g.getClientRects().length > 0 \
             && getComputedStyle(g).display !== 'none').length"
        )
    };
    for mode in ["kube-proxy 1.37.2", "waiting for the lock"] {
        let before = browser.value(&seen(mode)).as_u64().unwrap();
        assert!(before >= 2, "{mode}: {before}");
        let button = format!(
            "[...document.querySelectorAll('.legend button')].find((b) => b.dataset.mode === {mode:?})"
        );
        browser.click(&button);
        assert_eq!(browser.value(&seen(mode)), json!(0), "{mode}");
        browser.click(&button);
        assert_eq!(browser.value(&seen(mode)), json!(before), "{mode}");
    }
    browser.point("document.querySelector('#plot-1-change-sync ~ figure g[data-mode=generating] .pt .hit')");
    let text = browser.value("document.querySelector('.tip').textContent");
    assert!(text.as_str().unwrap().starts_with("1.35.4, generating: "), "{text}");
    browser.press("Escape");
    browser.click("document.querySelector('#kube-proxy-1-1 ~ .scroll tbody a')");
    browser.wait_until(TARGET_IS_SEEN);
    browser.open(&page.file);
    assert_eq!(dead_links(browser), Vec::<String>::new());
}

fn legend(browser: &mut Browser, _: &Page) {
    let seen = format!(
        "{NFTABLES}.filter((g) => g.getClientRects().length > 0 && getComputedStyle(g).display !== 'none').length"
    );
    let pressed = "[...document.querySelectorAll('.legend button[data-mode=nftables]')]\
                   .map((b) => b.getAttribute('aria-pressed'))";
    let groups = browser.value(&format!("{NFTABLES}.length"));
    assert!(groups.as_u64().unwrap() >= 10, "{groups}");
    assert_eq!(browser.value(&seen), groups);
    browser.click(BUTTON);
    assert_eq!(browser.value(&seen), json!(0), "hidden in all plots");
    let states = browser.list(pressed);
    assert!(states.len() >= 5 && states.iter().all(|state| state == "false"), "{states:?}");
    let others = browser.value("document.querySelectorAll('g.mode:not(.off)').length");
    assert!(others.as_u64().unwrap() > 10, "the other modes stay: {others}");
    // The keyboard shows it again.
    browser.value(&format!("{BUTTON}.focus()"));
    browser.press("Enter");
    assert_eq!(browser.value(&seen), groups, "shown again");
    assert!(browser.list(pressed).iter().all(|state| state == "true"));
}

fn sorting(browser: &mut Browser, _: &Page) {
    let head = "[...document.querySelectorAll('#table-1-1 ~ .scroll thead th')].find((th) => th.textContent === 'p50')";
    let values = "[...document.querySelectorAll('table.data')].find((t) => t.contains(HEAD)).tBodies[0]";
    let values = format!(
        "[...{}.rows].map((r) => Number(r.cells[HEAD.cellIndex].dataset.v))",
        values.replace("HEAD", &format!("({head})"))
    )
    .replace("HEAD", &format!("({head})"));
    let read = |browser: &mut Browser| -> Vec<f64> {
        let list = browser.value(&values);
        list.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
    };
    let sort = format!("({head}).getAttribute('aria-sort')");
    let before = read(browser);
    assert!(before.len() > 20 && !before.is_sorted(), "{before:?}");
    assert_eq!(browser.value(&sort), Value::Null);
    browser.click(&format!("({head}).querySelector('button')"));
    let up = read(browser);
    assert!(up.is_sorted() && up.len() == before.len(), "{up:?}");
    assert_eq!(browser.value(&sort), json!("ascending"));
    browser.press("Enter");
    let down = read(browser);
    assert!(down.is_sorted_by(|a, b| a >= b), "{down:?}");
    assert_eq!(browser.value(&sort), json!("descending"));
    // Numbers with separators sort as numbers, words as words, and only one header says that it sorts.
    let services = head.replace("'p50'", "'Services'");
    browser.click(&format!("({services}).querySelector('button')"));
    let column = format!(
        "[...({services}).closest('table').tBodies[0].rows].map((r) => r.cells[({services}).cellIndex].textContent)"
    );
    let column: Vec<u64> =
        browser.list(&column).iter().map(|text| text.replace(',', "").parse().unwrap()).collect();
    assert!(column.is_sorted() && column.first() < column.last(), "{column:?}");
    assert_eq!(browser.value("document.querySelectorAll('[aria-sort]').length"), json!(1));
}

/// Whether what the address names is there and can be seen: scripts open it after a click.
const TARGET_IS_SEEN: &str = "(() => { const t = document.querySelector(':target'); const top = t && t.getBoundingClientRect().top; \
                              return t !== null && t.checkVisibility() && top >= 0 && top < innerHeight; })()";

/// The row of records.csv that the page names must have the figures that stand beside it.
fn rows(browser: &mut Browser, page: &Page) {
    let link = "document.querySelectorAll('#table-1-1 ~ .scroll tbody a')[9]";
    let median = browser.value(&format!("Number(({link}).closest('td').dataset.v)")).as_f64().unwrap();
    browser.click(link);
    check_rows(browser, page, median);
    // From the summary and from a point too.
    browser.open(&page.file);
    browser.click("document.querySelector('.lead a')");
    browser.wait_until(TARGET_IS_SEEN);
    browser.open(&page.file);
    browser.value("document.querySelector('a.pt').focus()");
    browser.press("Enter");
    browser.wait_until(TARGET_IS_SEEN);
    assert_eq!(dead_links(browser), Vec::<String>::new());
}

fn check_rows(browser: &mut Browser, page: &Page, median: f64) {
    browser.wait_until(TARGET_IS_SEEN);
    let target = browser.value(
        "(() => { const t = document.querySelector(':target'); const b = t.getBoundingClientRect(); \
         return { visible: t.checkVisibility() && b.top >= 0 && b.top < innerHeight, \
         rows: [...t.rows].slice(1).map((r) => [...r.cells].map((c) => c.textContent.trim())) }; })()",
    );
    assert_eq!(target["visible"], json!(true), "{target}");
    let shown: Vec<Vec<String>> = serde_json::from_value(target["rows"].clone()).unwrap();
    assert_eq!(shown.len(), 5, "one per block");
    let mut p50 = Vec::new();
    for cells in shown {
        let line: usize = cells[6].parse().unwrap();
        let row = &page.rows[line - 2];
        let figures = [row.min, row.p50, row.p99, row.max].map(|value| value.unwrap().to_string());
        assert_eq!((&cells[2..6], &cells[0]), (&figures[..], &row.cell.block.to_string()));
        p50.push(row.p50.unwrap());
    }
    p50.sort_unstable();
    assert_eq!(p50[2] as f64, median, "the figure is the median of these");
}

fn points(browser: &mut Browser, _: &Page) {
    let tip = "document.querySelector('.tip')";
    assert_eq!(browser.value(&format!("{tip}.hidden")), json!(true));
    let point = "document.querySelector('#plot-1-lookup ~ figure g[data-mode=nftables] .pt .hit')";
    browser.point(point);
    assert_eq!(browser.value(&format!("{tip}.hidden")), json!(false));
    let text = browser.value(&format!("{tip}.textContent"));
    let text = text.as_str().unwrap();
    assert!(text.starts_with("nftables at 10 Services: 3.") && text.contains("µs ["), "{text}");
    assert!(text.contains("median of 5 blocks"), "{text}");
    browser.press("Escape");
    assert_eq!(browser.value(&format!("{tip}.hidden")), json!(true));
    // One point of each panel is in the order of Tab; arrows go on from there.
    let stops = "[...document.querySelectorAll('svg.panel')].map((p) => p.querySelectorAll('.pt[tabindex=\"0\"]').length)";
    assert!(browser.list(stops).iter().all(|count| count == "1"));
    browser.value("document.querySelector('#plot-1-lookup ~ figure g[data-mode=nftables] .pt').focus()");
    let named = "document.activeElement.getAttribute('aria-label')";
    let first = browser.value(named);
    browser.press("ArrowRight");
    let second = browser.value(named);
    assert!(first.as_str().unwrap().starts_with("nftables at 10 Services"), "{first}");
    assert!(second.as_str().unwrap().starts_with("nftables at 100 Services"), "{second}");
    assert!(
        browser.value(&format!("{tip}.textContent")).as_str().unwrap().starts_with(second.as_str().unwrap())
    );
    browser.press("ArrowUp");
    let above = browser.value(named);
    assert!(above.as_str().unwrap().contains(" at 100 Services") && above != second, "{above}");
}

fn print(browser: &mut Browser, page: &Page) {
    browser.size(PAPER, 1000);
    browser.media("print", "dark");
    browser.open(&page.file);
    assert_eq!(faults(browser), Vec::<String>::new());
    let cut = browser.list(
        "[...document.querySelectorAll('.scroll')].filter((e) => e.checkVisibility() && \
         (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)) \
         .map((e) => e.textContent.slice(0, 60))",
    );
    assert_eq!(cut, Vec::<String>::new());
    let ground = browser.value("getComputedStyle(document.body).backgroundColor");
    assert_eq!(ground, json!("rgb(255, 255, 255)"), "paper is light, whatever the reader prefers");
    let pdf = browser.ask("Page.printToPDF", json!({ "preferCSSPageSize": true }));
    let bytes = data_encoding::BASE64.decode(pdf["data"].as_str().unwrap().as_bytes()).unwrap();
    assert!(bytes.starts_with(b"%PDF") && bytes.len() > 50_000);
    fs::write(folder().join("report.pdf"), bytes).unwrap();
}

fn dark(browser: &mut Browser, page: &Page) {
    let colours = "['body', 'svg.panel text', 'svg.panel .s-grid'].map((s) => { const c = \
                   getComputedStyle(document.querySelector(s)); \
                   return s === 'body' ? c.backgroundColor : s.includes('grid') ? c.stroke : c.fill; })";
    assert_eq!(browser.list(colours), ["rgb(255, 255, 255)", "rgb(34, 34, 34)", "rgb(228, 228, 228)"]);
    browser.media("screen", "dark");
    assert_eq!(browser.list(colours), ["rgb(22, 22, 22)", "rgb(232, 232, 232)", "rgb(51, 51, 51)"]);
    browser.open(&page.file);
    assert_eq!(browser.list(colours), ["rgb(22, 22, 22)", "rgb(232, 232, 232)", "rgb(51, 51, 51)"]);
}

fn without_scripts(browser: &mut Browser, page: &Page) {
    browser.scripts(false);
    browser.open(&page.file);
    assert_eq!(browser.value("document.querySelectorAll('button, .tip').length"), json!(0));
    assert_eq!(faults(browser), Vec::<String>::new());
    for element in [".lead", ".legend li", "svg.panel text", "table.data td", "#environment", "pre"] {
        let seen = browser.value(&format!("document.querySelector({element:?}).checkVisibility()"));
        assert_eq!(seen, json!(true), "{element}");
    }
    // Titles say figures to the pointer, and links open what they lead to.
    let titles = browser.value("document.querySelectorAll('svg.panel .pt > title').length");
    assert!(titles.as_u64().unwrap() > 100, "{titles}");
    let link = "document.querySelectorAll('#table-1-1 ~ .scroll tbody a')[9]";
    browser.click(link);
    // No promise is kept without scripts, so the test waits here.
    browser.wait_until(TARGET_IS_SEEN);
}

fn accessible(browser: &mut Browser, page: &Page) {
    // Everything by light, and once more by dark what light has to do with. A few rows of each table are enough.
    for (scheme, run) in [
        ("light", "{ type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'] }"),
        ("dark", "{ type: 'rule', values: ['color-contrast'] }"),
    ] {
        browser.media("screen", scheme);
        browser.open(&page.file);
        browser.value("document.querySelectorAll('details').forEach((e, i) => { e.open = i % 9 === 0; })");
        browser.value(
            "document.querySelectorAll('tbody').forEach((b) => [...b.rows].slice(4).forEach((r) => r.remove()))",
        );
        browser.value(&format!("{BUTTON}.click()"));
        browser.value(AXE);
        let violations = browser.list(&format!(
            "axe.run(document, {{ runOnly: {run}, resultTypes: ['violations'] }}).then((r) => r.violations.map((v) => \
             v.id + ': ' + v.help + ' | ' + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200)).join(' | ')))"
        ));
        assert_eq!(violations, Vec::<String>::new(), "{scheme}");
    }
    // Headings go down one level at a time, and there is one of the first.
    let levels: Vec<u32> = browser
        .list("[...document.querySelectorAll('h1, h2, h3, h4')].map((h) => h.tagName.slice(1))")
        .iter()
        .map(|level| level.parse().unwrap())
        .collect();
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    // Every drawing is named and described, in words with figures.
    let named = browser.value(
        "[...document.querySelectorAll('svg.panel')].every((p) => document.getElementById(p.getAttribute('aria-labelledby')) \
         && /[0-9]|No data/.test(document.getElementById(p.getAttribute('aria-describedby')).textContent))",
    );
    assert_eq!(named, json!(true));
    // The first stop of Tab skips to the summary, and is seen there.
    browser.open(&page.file);
    browser.press("Tab");
    let skip = browser
        .value("[document.activeElement.className, document.activeElement.getBoundingClientRect().top >= 0]");
    assert_eq!(skip, json!(["skip", true]));
}

fn standalone(browser: &mut Browser, _: &Page) {
    let ground = "getComputedStyle(document.querySelector('rect')).fill";
    browser.open(&folder().join("lookup.svg"));
    assert_eq!(browser.value(ground), json!("rgb(255, 255, 255)"));
    let name = browser.value(
        "document.documentElement.getAttribute('aria-labelledby').split(' ').map((id) => document.getElementById(id).textContent)",
    );
    assert!(name[0].as_str().unwrap().starts_with("Lookup: first packet"), "{name}");
    assert!(name[1].as_str().unwrap().contains("nftables 3."), "{name}");
    browser.media("screen", "dark");
    assert_eq!(browser.value(ground), json!("rgb(22, 22, 22)"));
}
