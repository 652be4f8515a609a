//! What a run does about a machine that makes its figures unreliable.

use results::environment::{Condition, Environment, Severity, Warning};

use crate::events::{Event, Sink};

/// A machine that a strict run refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "figures of the wall clock are unreliable on this machine, so that --strict does not measure on it:\n{}\nFix the causes, accept one with \
     --allow NAME, or measure instructions, which none of it touches: --kernel guest --clock instructions",
    listed(.0)
)]
pub struct UnreliableMachine(Vec<Warning>);

impl UnreliableMachine {
    /// Of `warnings` those that make figures unreliable and are not among `allowed`; None if there are none.
    pub fn of(warnings: &[Warning], allowed: &[String]) -> Option<Self> {
        let unreliable = warnings.iter().filter(|warning| warning.severity == Severity::Unreliable);
        let left: Vec<Warning> =
            unreliable.filter(|warning| !allowed.contains(&warning.name)).cloned().collect();
        (!left.is_empty()).then_some(Self(left))
    }
}

fn listed(warnings: &[Warning]) -> String {
    let one = |warning: &Warning| {
        let Warning { name, what, why, how, .. } = warning;
        format!("  {name}: {what}\n    why: {why}\n    fix: {how}")
    };
    warnings.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Refuses what is `unreliable`; tells of it where nobody asked to refuse.
pub(crate) fn check(
    unreliable: Option<&UnreliableMachine>,
    warnings: &[Warning],
    sink: Sink<'_>,
) -> Result<(), UnreliableMachine> {
    if let Some(unreliable) = unreliable {
        return Err(unreliable.clone());
    }
    let unreliable = warnings.iter().filter(|warning| warning.severity == Severity::Unreliable);
    let names: Vec<&str> = unreliable.map(|warning| warning.name.as_str()).collect();
    if !names.is_empty() {
        sink(Event::Warning(format!(
            "figures of the wall clock are unreliable here, because of: {}; `svcbench doctor` says how to fix that",
            names.join(", ")
        )));
    }
    Ok(())
}

/// Into the passport. Of a resumed run it keeps the state of its beginning, and has the warnings of both.
pub(crate) fn note(environment: &mut Environment, condition: Condition, warnings: Vec<Warning>) {
    if environment.condition.is_unknown() {
        environment.condition = condition;
    }
    for warning in warnings {
        if environment.warnings.iter().all(|known| known.name != warning.name) {
            environment.warnings.push(warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(name: &str, severity: Severity) -> Warning {
        let text = |what: &str| format!("{what} of {name}");
        Warning { name: name.into(), severity, what: text("what"), why: text("why"), how: text("how") }
    }

    #[test]
    fn what_makes_figures_unreliable_and_is_not_allowed_is_refused() {
        let warnings = [
            warning("turbo", Severity::Unreliable),
            warning("load", Severity::Unreliable),
            warning("mitigations", Severity::Differs),
        ];
        let unreliable = UnreliableMachine::of(&warnings, &["load".into()]).unwrap();
        let text = unreliable.to_string();
        assert!(
            text.contains("turbo: what of turbo\n    why: why of turbo\n    fix: how of turbo\n"),
            "{text}"
        );
        assert!(!text.contains("load") && !text.contains("mitigations"), "{text}");
        assert_eq!(UnreliableMachine::of(&warnings, &["load".into(), "turbo".into()]), None);
        let mut events = Vec::new();
        assert_eq!(check(Some(&unreliable), &warnings, &mut |event| events.push(event)), Err(unreliable));
        assert_eq!(check(None, &warnings, &mut |event| events.push(event)), Ok(()));
        let [Event::Warning(text)] = &events[..] else { panic!("{events:?}") };
        assert!(text.contains("because of: turbo, load; "), "{text}");
        assert_eq!(check(None, &warnings[2..], &mut |event| panic!("{event:?}")), Ok(()));
    }

    #[test]
    fn a_resumed_run_has_the_warnings_of_both_parts() {
        let mut environment = Environment::default();
        let mains = Condition { power: "mains".into(), ..Condition::default() };
        note(&mut environment, mains.clone(), vec![warning("turbo", Severity::Unreliable)]);
        let battery = Condition { power: "battery".into(), ..Condition::default() };
        let later = vec![warning("battery", Severity::Unreliable), warning("turbo", Severity::Unreliable)];
        note(&mut environment, battery, later);
        assert_eq!(environment.condition, mains);
        let names: Vec<_> = environment.warnings.iter().map(|warning| warning.name.as_str()).collect();
        assert_eq!(names, ["turbo", "battery"]);
    }
}
