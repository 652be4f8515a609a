//! The environment record in the page.

use super::page::Page;
use crate::environment::Environment;
use crate::record::Clock;
use crate::text::{Quantity, escape_html, thousands};

pub(super) fn push(page: &mut Page<'_>, id: &str, heading: &str, environment: &Environment) {
    let optional = |value: Option<u64>, unit: &str| {
        value.map_or_else(String::new, |v| format!("{} {unit}", thousands(v)))
    };
    let tick = match environment.clock {
        Clock::Wall => "ns",
        Clock::Instructions => "instr",
    };
    let mut facts = vec![
        ("run", environment.run.clone()),
        ("started", environment.started.clone()),
        (
            "elapsed",
            environment.elapsed_seconds.map_or_else(String::new, |s| Quantity::Duration.show(s * 1e9)),
        ),
        ("seed", environment.seed.to_string()),
        ("svcbench", environment.tool_version.clone()),
        ("kube-proxy planned", environment.kube_proxy.clone()),
        ("kernel", environment.kernel.clone()),
        ("kernel version", environment.kernel_version.clone()),
        ("kernel command line", environment.command_line.clone()),
        ("machine", environment.machine.clone()),
        ("processor", environment.cpu_model.clone()),
        ("cores", thousands(environment.cores)),
        ("memory", Quantity::Bytes.show(environment.memory_bytes as f64)),
        ("clock", environment.clock.to_string()),
        ("hypervisor", environment.hypervisor.clone()),
        ("virtualisation", environment.virtualisation.clone()),
        ("governor", environment.governor.clone()),
        ("SMT", environment.smt.clone()),
        ("measuring core", environment.measuring_core.map_or_else(String::new, |core| core.to_string())),
        ("load average", environment.load_average.clone()),
        ("timer overhead", optional(environment.timer_overhead_ns, tick)),
        ("steal", optional(environment.steal_ticks, "ticks")),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect::<Vec<_>>();
    if !environment.background.is_empty() {
        facts.push(("background".to_owned(), environment.background.clone()));
    }
    if !environment.injected.is_empty() {
        facts.push(("injected".to_owned(), environment.injected.clone()));
    }
    if !environment.emulator.is_empty() {
        facts.push(("emulator".to_owned(), environment.emulator.clone()));
    }
    if let Some(bytes) = environment.guest_memory_bytes {
        facts.push(("memory given to the guest".to_owned(), Quantity::Bytes.show(bytes as f64)));
    }
    facts.extend(environment.condition.facts().into_iter().map(|(name, value)| (name.to_owned(), value)));
    for (prefix, map) in [
        ("program ", &environment.programs),
        ("sysctl ", &environment.sysctls),
        ("mitigation ", &environment.mitigations),
    ] {
        facts.extend(map.iter().map(|(name, value)| (format!("{prefix}{name}"), value.clone())));
    }
    page.section(id, heading);
    page.out += &format!(
        "<div class=\"scroll\" role=\"region\" aria-labelledby=\"{id}\" tabindex=\"0\"><table>\n\
         <caption class=\"hide\">{}</caption>\n<tbody>\n",
        escape_html(heading)
    );
    for (name, value) in facts {
        let value = if value.is_empty() { "unknown".to_owned() } else { escape_html(&value) };
        page.out += &format!(
            "<tr><th scope=\"row\">{}</th><td class=\"wrap\">{value}</td></tr>\n",
            escape_html(&name)
        );
    }
    page.out += "</tbody>\n</table></div>\n";
    if !environment.warnings.is_empty() {
        let warnings = crate::tables::warnings(&environment.warnings);
        let id = format!("{id}-warnings");
        page.out += &format!("<h3 id=\"{id}\">{}</h3>\n", escape_html(&warnings.title));
        super::tables::push(page, &warnings, &id);
    }
}
