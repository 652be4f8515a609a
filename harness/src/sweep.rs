//! Sweeps: what to measure, as a strict TOML file.

mod built_in;
pub mod cell;
mod compare;
mod error;
pub mod order;
mod pairs;

use std::path::Path;
use std::sync::Arc;

use dataplane::background::Background;
use dataplane::injected::Injected;
use dataplane::{KubeProxy, Mode, Node};
use experiments::kube_proxy::{self, SystemChoice};
use experiments::{churn, disruption, forwarding, load, lock_contention, lookup, sync, tcp_crr};
use lab::cluster::Installed;
use lab::replay::Replay;
use netns_setup::ipvs::Scheduler;
use results::record::Clock;
use serde::Deserialize;
use services::addresses::MAX_ENDPOINTS;
use services::bounded::{
    default_limit, distinct, non_empty, seconds, service_counts, some_distinct, some_seconds,
    some_service_counts, within, yes,
};
use services::service::Protocol;
use services::shape::Shape;

pub use self::built_in::BUILT_IN;
use self::built_in::OLD_BACKGROUND;
pub use self::compare::{Compare, Saved, check_threshold};
pub use self::error::SweepError;

/// What to measure. Unknown keys and impossible values are errors.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// The question that the sweep answers: title of the report.
    #[serde(deserialize_with = "non_empty")]
    pub question: String,
    /// Seed of every order and choice. 0 to 2^63 - 1.
    pub seed: u64,
    /// Which kube-proxy's rules are installed.
    #[serde(default)]
    pub kube_proxy: KubeProxy,
    /// Scheduler of IPVS, in its modes (`ipvs.scheduler`).
    #[serde(default = "compare::default_scheduler")]
    pub scheduler: Scheduler,
    /// Modes and controls.
    #[serde(deserialize_with = "distinct")]
    pub modes: Vec<Mode>,
    /// Whose rules are measured: `plan:VERSION` (svcbench's own, as all other sections do; of `kube_proxy`'s version),
    /// `kube-proxy:1.MINOR` and `kube-proxy:/PATH` (real ones, as `[system]` says). Absent: plans only.
    #[serde(default, deserialize_with = "distinct")]
    pub systems: Vec<SystemChoice>,
    /// Numbers of Services; measured from the smallest up where one predicts the next.
    #[serde(deserialize_with = "service_counts")]
    pub services: Vec<u32>,
    /// Endpoints per Service, 1 to 1,000.
    #[serde(deserialize_with = "within::<_, 1, 1000>")]
    pub endpoints: u32,
    /// Which features the Services have, and how endpoints spread over them; absent: cluster IPs only, all alike.
    #[serde(default)]
    pub shape: Shape,
    /// A cell that would take longer is skipped, seconds.
    #[serde(default = "default_limit", deserialize_with = "seconds")]
    pub limit_seconds: f64,
    /// Whether each block has A/A pairs: cells that are visited twice, whose difference is the least that this run can tell
    /// from chance (see `pairs`).
    #[serde(default = "yes")]
    pub aa: bool,
    /// Whose kernel is measured, unless the command line says so; absent: as `auto`.
    pub kernel: Option<KernelChoice>,
    /// What a guest's clock counts, unless the command line says so; absent: wall time if KVM boots a guest, else instructions.
    pub clock: Option<Clock>,
    /// What else is in the kernel, in every lab but those of the controls without background rules; absent: nothing.
    #[serde(alias = "neighbours")]
    pub background: Option<Background>,
    /// Packet probes; absent: none.
    pub lookup: Option<lookup::Section>,
    /// Connections; absent: none.
    pub connect: Option<tcp_crr::Section>,
    /// Loads; absent: none.
    pub load: Option<load::Section>,
    /// Rule syncs; absent: none.
    pub sync: Option<sync::Section>,
    /// Contention for the xtables lock; absent: none.
    pub lock: Option<lock_contention::Section>,
    /// Sequences of changes; absent: none.
    pub churn: Option<churn::Section>,
    /// Loads while rules change; absent: none.
    pub disruption: Option<disruption::Section>,
    /// Forwarding methods of IPVS; absent: none.
    pub forwarding: Option<forwarding::Section>,
    /// Real kube-proxies, those of `systems`; absent: none.
    pub system: Option<kube_proxy::Section>,
    /// What is measured in a guest instead; absent: the same.
    pub guest: Option<InGuest>,
    /// What decides when two runs of the sweep are compared; absent: times and rates, at 5%.
    pub compare: Option<Compare>,
    /// A ruleset of a real node, measured as mode `replay`. It comes from the command line.
    #[serde(skip)]
    pub replay: Option<Arc<Replay>>,
    /// A slow-down of one mode, for tests of a gate. It comes from the command line.
    #[serde(skip)]
    pub injected: Option<Injected>,
    /// A cluster whose Services are installed instead of synthetic ones. It comes from the command line.
    #[serde(skip)]
    pub cluster: Option<Arc<Installed>>,
}

/// What a guest measures instead of the rest of the sweep: under emulation a second of the instruction clock, a
/// thousand million instructions, takes several seconds. A list or limit that is absent is the sweep's own; a
/// section that is absent is not measured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InGuest {
    /// As [`Sweep::modes`].
    #[serde(default, deserialize_with = "some_distinct")]
    pub modes: Option<Vec<Mode>>,
    /// As [`Sweep::services`].
    #[serde(default, deserialize_with = "some_service_counts")]
    pub services: Option<Vec<u32>>,
    /// As [`Sweep::limit_seconds`], in seconds of the guest's clock.
    #[serde(default, deserialize_with = "some_seconds")]
    pub limit_seconds: Option<f64>,
    /// As [`Sweep::lookup`].
    pub lookup: Option<lookup::Section>,
    /// As [`Sweep::connect`].
    pub connect: Option<tcp_crr::Section>,
    /// As [`Sweep::load`].
    pub load: Option<load::Section>,
    /// As [`Sweep::sync`]; its budget in seconds of the guest's clock.
    pub sync: Option<sync::Section>,
    /// As [`Sweep::lock`], in seconds of the guest's clock.
    pub lock: Option<lock_contention::Section>,
    /// As [`Sweep::churn`].
    pub churn: Option<churn::Section>,
    /// As [`Sweep::disruption`].
    pub disruption: Option<disruption::Section>,
    /// As [`Sweep::forwarding`].
    pub forwarding: Option<forwarding::Section>,
    /// As [`Sweep::system`], with times of the guest's clock.
    pub system: Option<kube_proxy::Section>,
}

/// Whose kernel is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KernelChoice {
    /// The host's for what it can do; a guest's for all modes if the host's lacks one
    #[default]
    Auto,
    /// The host's; modes that it lacks are skipped
    Host,
    /// That of a guest
    Guest,
}

impl Sweep {
    /// Reads a built-in sweep by name, or a file. Returns its text too, which is kept with the results.
    ///
    /// # Errors
    /// [`SweepError`].
    pub fn load(name_or_path: &str) -> Result<(Self, String), SweepError> {
        let wanted = if name_or_path == OLD_BACKGROUND { "background" } else { name_or_path };
        let text = match BUILT_IN.iter().find(|(name, _)| *name == wanted) {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(name_or_path)
                .map_err(|source| SweepError::Read { path: Path::new(name_or_path).into(), source })?,
        };
        Ok((Self::parse(name_or_path, &text)?, text))
    }

    /// Reads the text of a sweep; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`SweepError::Invalid`].
    pub fn parse(name: &str, text: &str) -> Result<Self, SweepError> {
        let invalid = |message: String| SweepError::Invalid { name: name.to_owned(), message };
        let mut sweep: Sweep =
            toml::from_str(text).map_err(|error| invalid(error.to_string().trim_end().into()))?;
        sweep.services.sort_unstable();
        if let Some(services) = sweep.guest.as_mut().and_then(|guest| guest.services.as_mut()) {
            services.sort_unstable();
        }
        if sweep.background.is_some_and(|background| background.is_empty()) {
            return Err(invalid(
                "[background] has none: give calico, docker, flannel or host_ports, or leave the section out"
                    .into(),
            ));
        }
        sweep.check_systems().map_err(&invalid)?;
        for (sweep, section) in [(&sweep, ""), (&sweep.in_guest(), "guest.")] {
            if sweep.modes.contains(&Mode::Replay) {
                return Err(invalid(format!(
                    "{section}modes has replay, which needs a ruleset: leave it out, and run `svcbench run {name} --replay FILE`"
                )));
            }
            let control = sweep.modes.iter().find(|mode| mode.is_of_background());
            if let (Some(mode), None) = (control, sweep.background) {
                return Err(invalid(format!(
                    "{section}modes has {mode}, a control for background rules, but there is no [background]"
                )));
            }
            let largest = u64::from(sweep.services.last().copied().unwrap_or(0)) * u64::from(sweep.endpoints);
            if largest > MAX_ENDPOINTS {
                return Err(invalid(format!(
                    "{section}services x endpoints = {largest}, but at most {MAX_ENDPOINTS} endpoints have addresses \
                     in a lab"
                )));
            }
            if let Some(&services) = sweep.services.last() {
                sweep.shape.check(services).map_err(|problem| invalid(format!("[shape]: {problem}")))?;
            }
            if let Some(lock) = &sweep.lock
                && lock.patience() > lock.limit_seconds
            {
                return Err(invalid(format!(
                    "[{section}lock] patience_seconds = {} is more than limit_seconds = {}, which is the longest that a sync \
                     is waited for",
                    lock.patience(),
                    lock.limit_seconds
                )));
            }
            if sweep.lookup.is_none()
                && sweep.connect.is_none()
                && sweep.load.is_none()
                && sweep.sync.is_none()
                && sweep.lock.is_none()
                && sweep.churn.is_none()
                && sweep.disruption.is_none()
                && sweep.forwarding.is_none()
                && sweep.system.is_none()
            {
                return Err(invalid(format!(
                    "nothing to measure: give [{section}lookup], [{section}connect], [{section}load], [{section}sync], \
                     [{section}lock], [{section}churn], [{section}disruption], [{section}forwarding] or [{section}system]"
                )));
            }
        }
        Ok(sweep)
    }

    /// What a guest measures: the sweep with what its `[guest]` says instead.
    pub fn in_guest(&self) -> Sweep {
        // Replayed rulesets stay with the host.
        let modes = || self.modes.iter().copied().filter(|mode| *mode != Mode::Replay).collect();
        let Some(guest) = self.guest.clone() else {
            return Sweep { modes: modes(), replay: None, ..self.clone() };
        };
        let systems = if guest.system.is_some() { self.systems.clone() } else { Vec::new() };
        Sweep {
            question: self.question.clone(),
            seed: self.seed,
            kube_proxy: self.kube_proxy,
            scheduler: self.scheduler,
            modes: guest.modes.unwrap_or_else(modes),
            services: guest.services.unwrap_or_else(|| self.services.clone()),
            endpoints: self.endpoints,
            shape: self.shape.clone(),
            limit_seconds: guest.limit_seconds.unwrap_or(self.limit_seconds),
            aa: self.aa,
            kernel: self.kernel,
            clock: self.clock,
            background: self.background,
            lookup: guest.lookup,
            connect: guest.connect,
            load: guest.load,
            sync: guest.sync,
            lock: guest.lock,
            churn: guest.churn,
            disruption: guest.disruption,
            forwarding: guest.forwarding,
            systems,
            system: guest.system,
            guest: None,
            compare: self.compare.clone(),
            replay: None,
            injected: self.injected,
            cluster: self.cluster.clone(),
        }
    }

    /// Real kube-proxies need `[system]`, and it needs them; planners have one version in a sweep.
    fn check_systems(&self) -> Result<(), String> {
        let real = self.systems.iter().filter(|system| system.is_real()).count();
        if real > usize::from(u8::MAX) {
            return Err(format!("systems has {real} kube-proxies: at most {} can be told apart", u8::MAX));
        }
        match (real, self.measures_systems()) {
            (0, true) => {
                return Err("[system] needs a real kube-proxy in systems, as \"kube-proxy:1.37\"".into());
            }
            (1.., false) => return Err("systems has a real kube-proxy, but there is no [system]".into()),
            _ => {}
        }
        let mut plans = self.systems.iter().filter_map(|system| match system {
            SystemChoice::Plan(version) => Some(*version),
            _ => None,
        });
        match (plans.next(), plans.next()) {
            (_, Some(_)) => Err("systems has two plans: a sweep has planners of one version".into()),
            (Some(plan), _) if plan != self.kube_proxy => Err(format!(
                "systems has plan:{}, but kube_proxy is {}: give both the same",
                plan.name(),
                self.kube_proxy.name()
            )),
            _ => Ok(()),
        }
    }

    /// Whether a lane measures real kube-proxies.
    fn measures_systems(&self) -> bool {
        self.system.is_some() || self.guest.as_ref().is_some_and(|guest| guest.system.is_some())
    }

    /// Whether svcbench's own plans are measured.
    pub fn has_plans(&self) -> bool {
        self.systems.is_empty() || self.systems.iter().any(|system| !system.is_real())
    }

    /// The sweep with this file in place of its real kube-proxies.
    ///
    /// # Errors
    /// If it measures none.
    pub fn with_kube_proxy(mut self, path: &Path) -> Result<Self, String> {
        if !self.measures_systems() {
            return Err(
                "the sweep measures no real kube-proxy: take sweep kube-proxy, or one with [system]".into()
            );
        }
        self.systems.retain(|system| !system.is_real());
        self.systems.push(SystemChoice::Path(path.into()));
        Ok(self)
    }

    /// The sweep with a slow-down in one of its modes.
    ///
    /// # Errors
    /// If neither lane has the mode.
    pub fn with_injected(mut self, injected: Injected) -> Result<Self, String> {
        let guest = self.in_guest();
        if !self.modes.contains(&injected.mode) && !guest.modes.contains(&injected.mode) {
            let modes: Vec<_> = self.modes.iter().map(|mode| mode.name()).collect();
            return Err(format!(
                "the sweep does not measure {}; its modes are: {}",
                injected.mode,
                modes.join(", ")
            ));
        }
        self.injected = Some(injected);
        Ok(self)
    }

    /// The sweep with a replayed ruleset among its modes.
    pub fn with_replay(mut self, replay: Arc<Replay>) -> Self {
        self.modes.push(Mode::Replay);
        self.replay = Some(replay);
        self
    }

    /// The sweep over a cluster: its Services are the only scale. Connections, loads and churn are left out, since their servers
    /// and scenarios are made for synthetic Services.
    ///
    /// # Errors
    /// If nothing is left to measure, or the sweep has what does not go together with a cluster.
    pub fn over(mut self, cluster: Installed) -> Result<Self, String> {
        if self.background.is_some() || self.shape != Shape::default() {
            return Err(
                "a sweep with [background] or [shape] is for synthetic Services; leave them out, or --from"
                    .into(),
            );
        }
        let scale = cluster.scale();
        (self.services, self.endpoints) = (vec![scale.services], scale.endpoints);
        (self.connect, self.load, self.churn, self.disruption, self.guest) = (None, None, None, None, None);
        (self.systems, self.system) = (Vec::new(), None);
        self.sync.iter_mut().for_each(|sync| sync.most_services = scale.services);
        self.lock.iter_mut().for_each(|lock| lock.most_services = scale.services);
        if self.lookup.is_none() && self.sync.is_none() && self.lock.is_none() && self.forwarding.is_none() {
            return Err(
                "of this sweep nothing can be measured with a cluster: give it [lookup], [sync] or [lock]"
                    .into(),
            );
        }
        self.cluster = Some(Arc::new(cluster));
        Ok(self)
    }

    /// The node of its labs, as kube-proxy knows it.
    pub fn node(&self) -> Node {
        let lab = Node { scheduler: self.scheduler, ..Node::lab(self.kube_proxy) };
        self.cluster.as_ref().map_or(lab, |cluster| cluster.node(lab))
    }

    /// Which packets are sent in lookups. All cells of a run send the same, or the controls would be none.
    pub fn protocol(&self) -> Protocol {
        match (&self.replay, &self.cluster) {
            (Some(replay), _) => replay.protocol(),
            (None, Some(cluster)) => cluster.protocol,
            (None, None) => Protocol::Udp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn built_in_sweeps_are_valid_and_open_with_their_question() {
        for (name, text) in BUILT_IN {
            Sweep::parse(name, text).unwrap();
            assert!(text.starts_with("# Question: "), "{name}");
        }
    }

    #[test]
    fn old_names_of_versions_are_read() {
        for (name, text) in BUILT_IN {
            let old = text.replace("kube_proxy = \"1.37\"", "kube_proxy = \"current\"");
            assert_eq!(Sweep::parse(name, &old).unwrap(), Sweep::parse(name, text).unwrap(), "{name}");
        }
    }

    #[test]
    fn systems_and_their_section_go_together() {
        let with = |systems: &str, section: &str| {
            let text = format!(
                "question = \"?\"\nseed = 1\nmodes = [\"nftables\", \"dnat\"]\nservices = [10, 100]\nendpoints = 1\n{systems}\n\
                 [sync]\noperations = [\"cold\"]\nblocks = 1\nbudget_seconds = 9\n{section}"
            );
            Sweep::parse("test", &text).map_err(|error| error.to_string())
        };
        let section = "[system]\nchanges = [\"add-service\"]\nrepeats = 1\ngap_seconds = 1";
        let cells = |sweep: &Sweep| {
            let cells = order::order(sweep);
            let real = cells.iter().filter(|cell| matches!(cell.workload, cell::Workload::System(_))).count();
            (cells.len() - real, real)
        };
        let absent = with("", "").unwrap();
        assert_eq!(cells(&absent), (3, 0), "an A/A pair at the smallest scale");
        let only = with("systems = [\"kube-proxy:1.37\", \"kube-proxy:/a\"]", section).unwrap();
        assert_eq!(cells(&only), (0, 4), "a control is no mode of kube-proxy");
        let both = with("systems = [\"plan:current\", \"kube-proxy:1.37\"]", section).unwrap();
        assert_eq!(cells(&both), (3, 2));
        assert_eq!(cells(&both.in_guest()), (3, 2));
        let host =
            format!("{section}\n[guest.sync]\noperations = [\"cold\"]\nblocks = 1\nbudget_seconds = 9");
        let host = with("systems = [\"plan:current\", \"kube-proxy:1.37\"]", &host).unwrap();
        assert_eq!((cells(&host), cells(&host.in_guest())), ((3, 2), (3, 0)));
        let guest = section.replace("[system]", "[guest.system]");
        let guest = with("systems = [\"kube-proxy:1.37\"]", &guest).unwrap();
        assert_eq!((cells(&guest), cells(&guest.in_guest())), ((0, 0), (0, 2)));
        assert!(guest.with_kube_proxy(Path::new("/b")).is_ok());
        let other = both.with_kube_proxy(Path::new("/b")).unwrap();
        assert_eq!(other.systems[1].to_string(), "kube-proxy:/b");
        assert!(absent.with_kube_proxy(Path::new("/b")).is_err());
        for (systems, section, expected) in [
            ("", section, "[system] needs a real kube-proxy"),
            ("systems = [\"plan:current\"]", section, "[system] needs a real kube-proxy"),
            ("systems = [\"kube-proxy:1.37\"]", "", "there is no [system]"),
            ("systems = [\"plan:1.30\"]", "", "kube_proxy is 1.37"),
            ("systems = [\"plan:1.30\", \"plan:current\"]", "", "two plans"),
            ("systems = [\"kube-router\"]", "", "is no system"),
        ] {
            let error = with(systems, section).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    fn smoke_with(from: &str, to: &str) -> String {
        let text = BUILT_IN[0].1;
        assert!(text.contains(from), "{from}");
        match Sweep::parse("test", &text.replacen(from, to, 1)) {
            Ok(sweep) => panic!("accepted: {sweep:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn errors_name_line_key_and_what_is_allowed() {
        let errors = [
            smoke_with("probes = 500", "probs = 500"),
            smoke_with("probes = 500", "probes = 0"),
            smoke_with("probes = 500", "probes = \"many\""),
            smoke_with("services = [10, 100]", "services = [10, 0]"),
            smoke_with("services = [10, 100]", "services = [10, 10]"),
            smoke_with("services = [10, 100]", "services = []"),
            smoke_with("services = [10, 100]", "services = [1000000]\n[x]"),
            smoke_with("\"direct\", ", "\"dirct\", "),
            smoke_with("kube_proxy = \"1.37\"", "kube_proxy = \"1.31\""),
            smoke_with("endpoints = 3", "endpoints = 3\nscheduler = \"fifo\""),
            smoke_with("seconds = 0.5", "seconds = -1"),
            smoke_with("patience_seconds = 3", "patience_seconds = 0"),
            smoke_with("patience_seconds = 3", "patience_seconds = 31"),
            smoke_with("patience_seconds = 3", "patience = 3"),
            smoke_with("seed = 1", "seed = -1"),
            smoke_with("question = \"Does", "question = \"\" # \"Does"),
            smoke_with("endpoints = 3", "endpoints = 3\nendpoints = 4"),
        ];
        insta::assert_snapshot!(errors.join("\n----\n"));
    }

    #[test]
    fn background_rules_are_read_as_strictly_as_all_else() {
        let section = |text: &str| format!("[background]\n{text}\n\n[lookup]");
        let text = BUILT_IN[0].1.replacen(
            "[lookup]",
            &section("calico = { endpoints = 30 }\ndocker = { containers = 2 }\nhost_ports = 4"),
            1,
        );
        let sweep = Sweep::parse("test", &text).unwrap();
        let background = sweep.background.unwrap();
        assert_eq!(
            background.to_string(),
            "Calico (30 endpoints, 0 policies of 1 rules), Docker (2 containers, 1 networks), 4 host ports"
        );
        assert_eq!(sweep.in_guest().background, Some(background));

        let errors = [
            smoke_with("[lookup]", &section("")),
            smoke_with("[lookup]", &section("calico = { endpoints = 1001 }")),
            smoke_with("[lookup]", &section("calico = { policies = 5 }")),
            smoke_with("[lookup]", &section("docker = { containers = 1, network = 1 }")),
            smoke_with("[lookup]", &section("flannel = 1")),
            smoke_with("[lookup]", &section("cilium = true")),
            smoke_with("[lookup]", &section("host_ports = -1")),
            smoke_with("\"direct\", ", "\"direct\", \"background-nft\", "),
        ];
        insta::assert_snapshot!(errors.join("\n----\n"));
    }

    /// What sweeps and their modes were called before is read for ever.
    #[test]
    fn old_names_mean_the_same() {
        let text = BUILT_IN.iter().find(|(name, _)| *name == "background").unwrap().1;
        let old = text.replace("[background]", "[neighbours]").replace("\"background-", "\"neighbours-");
        assert!(old.contains("[neighbours]") && old.contains("\"neighbours-nft\""));
        let new = Sweep::parse("new", text).unwrap();
        assert_eq!(Sweep::parse("old", &old).unwrap(), new);
        assert_eq!(Sweep::load("neighbours").unwrap(), (new, text.to_owned()));
    }

    #[test]
    fn the_scheduler_of_ipvs_is_chosen_or_kube_proxys() {
        let smoke = |more: &str| {
            let text = BUILT_IN[0].1.replacen("endpoints = 3", &format!("endpoints = 3\n{more}"), 1);
            Sweep::parse("test", &text).unwrap()
        };
        assert_eq!(smoke("").scheduler, Scheduler::Rr);
        let chosen = smoke("scheduler = \"mh\"");
        assert_eq!([chosen.scheduler, chosen.in_guest().scheduler], [Scheduler::Mh; 2]);
    }

    #[test]
    fn patience_that_is_not_given_follows_from_the_rest() {
        let lock = |seconds, limit_seconds| lock_contention::Section {
            contenders: vec![4],
            seconds,
            limit_seconds,
            patience_seconds: None,
            most_services: 10,
        };
        assert_eq!(lock(1.0, 60.0).patience(), 6.0);
        assert_eq!(lock(10.0, 60.0).patience(), 10.0, "no less than the cell lasts");
        assert_eq!(lock(10.0, 5.0).patience(), 5.0, "no more than the limit");
        assert_eq!(
            lock_contention::Section { patience_seconds: Some(7.0), ..lock(1.0, 60.0) }.patience(),
            7.0
        );
    }

    #[test]
    fn a_guest_measures_what_its_table_says_and_else_the_same() {
        let plain = Sweep::parse("plain", BUILT_IN[0].1.split("[guest").next().unwrap()).unwrap();
        assert_eq!(plain.in_guest(), plain);
        let text = format!(
            "{}\n[guest]\nservices = [7, 3]\n[guest.lookup]\nblocks = 1\npositions = [\"last\"]\nprobes = 10\n",
            BUILT_IN[0].1.split("[guest").next().unwrap()
        );
        let guest = Sweep::parse("guest", &text).unwrap().in_guest();
        assert_eq!((guest.services, &guest.modes), (vec![3, 7], &plain.modes));
        assert_eq!(guest.lookup.map(|lookup| lookup.probes), Some(10));
        assert!(guest.sync.is_none() && guest.lock.is_none() && guest.connect.is_none());
        let without = text.split("[guest.lookup]").next().unwrap();
        let error = Sweep::parse("guest", without).unwrap_err().to_string();
        assert!(error.contains("nothing to measure: give [guest.lookup]"), "{error}");
    }

    proptest! {
        #[test]
        fn any_text_is_an_answer_or_an_error(text in "\\PC{0,200}") {
            let _ = Sweep::parse("fuzz", &text);
        }

        #[test]
        fn a_mutated_sweep_never_panics(
            which in 0..BUILT_IN.len(),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)
        ) {
            let mut bytes = BUILT_IN[which].1.as_bytes().to_vec();
            for (index, byte) in cuts {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = Sweep::parse("fuzz", &text);
            }
        }
    }
}
