//! Random sets of Services with every feature, and random changes of them, from a seed.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::objects::{Kind, Object, Pod, Port, RANGES, services};
use crate::service::{Condition, Family, Hint, Hints, Policy, Protocol};
use crate::service_set::ServiceSet;

/// Objects in one set at most; each has up to three ports.
const OBJECTS: usize = 6;
/// Names of objects. Few, so that they come again.
const NAMES: u8 = 8;
const NODE_PORTS: u16 = 6;
const PODS: u8 = 10;
/// Seconds of session affinity if nothing else is said (`DefaultClientIPServiceAffinitySeconds`), and at most.
const AFFINITY_SECONDS: (u32, u32) = (10_800, 86_400);

/// A set that changes, always in the same way for a seed.
#[derive(Clone, Debug)]
pub struct RandomServices {
    random: ChaCha8Rng,
    objects: Vec<Object>,
}

impl RandomServices {
    /// The first set of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(1..=OBJECTS);
        let objects = (0..count).map(|_| new_object(&mut random)).collect();
        Self { random, objects }
    }

    /// The Service ports of a family as they are now. An object of two families is in both.
    pub fn set(&self, family: Family) -> ServiceSet {
        services(family, &self.objects)
    }

    /// Changes one to three things.
    pub fn change(&mut self) {
        for _ in 0..self.random.random_range(1..=3) {
            self.change_one();
        }
    }

    fn change_one(&mut self) {
        let random = &mut self.random;
        let at = random.random_range(0..=self.objects.len());
        // Endpoints change most often, as in clusters.
        let Some(object) = self.objects.get_mut(at) else {
            self.objects.push(new_object(random));
            return;
        };
        match random.random_range(0..10) {
            0 => drop(self.objects.remove(at)),
            // Another Service of the same name, or of another.
            1 => *object = new_object(random),
            2 => object.again = !object.again,
            3 => {
                let drawn = new_object(random);
                (object.kind, object.external_ips) = (drawn.kind, drawn.external_ips);
            }
            4 => {
                object.external_policy = policy(random);
                object.internal_policy = policy(random);
            }
            5 => object.affinity_seconds = affinity(random),
            6 => object.ports = ports(random),
            7 => object.pods = pods(random),
            _ => change_pod(random, &mut object.pods),
        }
    }
}

fn new_object(random: &mut ChaCha8Rng) -> Object {
    let families = match random.random_range(0..4) {
        0 => vec![Family::Ipv4],
        1 => vec![Family::Ipv6],
        _ => Family::ALL.to_vec(),
    };
    Object {
        number: random.random_range(0..NAMES),
        again: random.random_bool(0.1),
        families,
        kind: kind(random),
        ports: ports(random),
        external_ips: some(random, 3, 2),
        external_policy: policy(random),
        internal_policy: policy(random),
        affinity_seconds: affinity(random),
        pods: pods(random),
    }
}

fn kind(random: &mut ChaCha8Rng) -> Kind {
    match random.random_range(0..3) {
        0 => Kind::ClusterIp,
        1 => Kind::NodePort,
        _ => Kind::LoadBalancer {
            ips: some(random, 3, 2),
            ranges: some(random, RANGES as u8, 2).into_iter().map(usize::from).collect(),
            with_node_ports: random.random(),
        },
    }
}

/// At most `most` of the numbers below `below`; often none.
fn some(random: &mut ChaCha8Rng, below: u8, most: usize) -> BTreeSet<u8> {
    let count = random.random_range(0..=most);
    (0..count).map(|_| random.random_range(0..below)).collect()
}

fn ports(random: &mut ChaCha8Rng) -> Vec<Port> {
    let count = random.random_range(1..=3);
    let port = |random: &mut ChaCha8Rng| Port {
        protocol: *Protocol::ALL.choose(random).unwrap_or(&Protocol::Tcp),
        number: 8000 + random.random_range(0..4),
        node_port: random.random_range(0..NODE_PORTS),
    };
    (0..count).map(|_| port(random)).collect()
}

fn policy(random: &mut ChaCha8Rng) -> Policy {
    if random.random_ratio(1, 3) { Policy::Local } else { Policy::Cluster }
}

fn affinity(random: &mut ChaCha8Rng) -> Option<u32> {
    let (usual, most) = AFFINITY_SECONDS;
    match random.random_range(0..10) {
        0..7 => None,
        7 => Some(usual),
        _ => Some(random.random_range(1..=most)),
    }
}

/// Seldom many: with one or none, most has been seen.
fn pods(random: &mut ChaCha8Rng) -> Vec<Pod> {
    let count = if random.random_ratio(1, 5) { 0 } else { random.random_range(0..5) };
    // Hints are followed only if all endpoints have them: of one kind, another, or both.
    let (has_nodes, has_zones) = (random.random_ratio(1, 6), random.random_ratio(1, 4));
    (0..count).map(|_| pod(random, has_nodes, has_zones)).collect()
}

fn pod(random: &mut ChaCha8Rng, has_nodes: bool, has_zones: bool) -> Pod {
    let mut hint = |has: bool| match (has, random.random_range(0..16)) {
        (false, _) | (_, 0) => Hint::None,
        (_, 1..8) => Hint::Here,
        _ => Hint::Elsewhere,
    };
    let hints = Hints { node: hint(has_nodes), zone: hint(has_zones) };
    let condition = if random.random_bool(0.3) { Condition::Terminating } else { Condition::Ready };
    Pod { number: random.random_range(0..PODS), condition, hints }
}

fn change_pod(random: &mut ChaCha8Rng, pods: &mut Vec<Pod>) {
    let at = random.random_range(0..=pods.len());
    let has = |hint: fn(Hints) -> Hint| pods.iter().any(|pod| hint(pod.hints) != Hint::None);
    let (has_nodes, has_zones) = (has(|hints| hints.node), has(|hints| hints.zone));
    match (pods.get_mut(at), random.random_range(0..4)) {
        (None, _) => pods.push(pod(random, has_nodes, has_zones)),
        (Some(_), 0) => drop(pods.remove(at)),
        (Some(pod), 1) => {
            pod.condition = match pod.condition {
                Condition::Ready => Condition::Terminating,
                Condition::Terminating => Condition::Ready,
            };
        }
        (Some(old), _) => *old = pod(random, has_nodes, has_zones),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Service;

    /// A Service in each of the sets that a hundred seeds begin with, and of three changes of each.
    fn all() -> impl Iterator<Item = (Family, ServiceSet)> {
        (0..100).flat_map(|seed| {
            let mut services = RandomServices::of_seed(seed);
            let sets = (0..4).flat_map(move |_| {
                let sets = Family::ALL.map(|family| (family, services.set(family)));
                services.change();
                sets
            });
            sets.collect::<Vec<_>>()
        })
    }

    #[test]
    fn a_seed_always_gives_the_same() {
        let sets = |seed| {
            let mut services = RandomServices::of_seed(seed);
            services.change();
            Family::ALL.map(|family| services.set(family))
        };
        assert_eq!(sets(7), sets(7));
        assert_ne!(sets(7), sets(8));
    }

    #[test]
    fn every_feature_occurs_in_both_families() {
        type Feature = (&'static str, fn(&Service) -> bool);
        let features: [Feature; 14] = [
            ("SCTP", |s| s.protocol == Protocol::Sctp),
            ("unnamed port", |s| s.port_name.is_empty()),
            ("node port", |s| s.node_port.is_some()),
            ("two external IPs", |s| s.external_ips.len() == 2),
            ("two load-balancer IPs", |s| s.load_balancer_ips.len() == 2),
            ("source ranges", |s| s.source_ranges.len() == 2 && !s.load_balancer_ips.is_empty()),
            ("health-check node port", |s| s.health_check_node_port.is_some()),
            ("affinity", |s| s.affinity_seconds.is_some()),
            ("no endpoints", |s| s.endpoints().is_empty()),
            ("both policies Local", |s| {
                s.internal_policy == Policy::Local && s.external_policy == Policy::Local
            }),
            ("external policy Local in vain", |s| {
                s.external_policy == Policy::Local
                    && s.is_externally_accessible()
                    && s.routes().local.is_empty()
            }),
            ("a local endpoint terminates", |s| s.routes().reachable.len() > s.routes().cluster.len()),
            ("hints keep endpoints away", |s| {
                let ready = s.endpoints().iter().filter(|endpoint| endpoint.condition == Condition::Ready);
                s.uses_cluster_endpoints() && s.routes().cluster.len() < ready.count()
            }),
            ("hints are not followed", |s| {
                let hinted = s.endpoints().iter().any(|endpoint| endpoint.hints.zone == Hint::Elsewhere);
                hinted && s.uses_cluster_endpoints() && s.routes().cluster.len() == s.endpoints().len()
            }),
        ];
        for family in Family::ALL {
            let sets: Vec<ServiceSet> = all().filter(|(of, _)| *of == family).map(|(_, set)| set).collect();
            for (name, has) in features {
                let count = sets.iter().flat_map(|set| set.services()).filter(|service| has(service)).count();
                assert!(count > 1, "{name}: {count}");
            }
        }
    }

    #[test]
    fn no_service_is_in_the_way_of_another_and_ports_of_an_object_agree() {
        for (family, set) in all() {
            let mut claims = BTreeSet::new();
            for service in set.services() {
                let protocol = service.protocol.name();
                assert!(claims.insert(format!("{:?}", service.key())));
                assert!(claims.insert(format!("{protocol} {}", service.cluster)));
                assert!(service.node_port.is_none_or(|port| claims.insert(format!("{protocol} {port}"))));
                assert!(service.external_addresses().all(|ip| claims.insert(format!("{protocol} {ip}"))));
                assert_eq!(service.family(), family);
                let once = |of: &Service| {
                    let lists =
                        (of.external_ips.clone(), of.load_balancer_ips.clone(), of.source_ranges.clone());
                    let policies = (of.external_policy, of.internal_policy, of.affinity_seconds);
                    (of.cluster.ip(), lists, policies, of.health_check_node_port)
                };
                let others = set.services().iter().filter(|other| other.name == service.name);
                assert!(others.into_iter().all(|other| once(other) == once(service)));
            }
        }
    }

    #[test]
    fn what_is_in_both_families_is_one_object() {
        for seed in 0..100 {
            let services = RandomServices::of_seed(seed);
            let [v4, v6] = Family::ALL.map(|family| services.set(family));
            for one in v4.services() {
                let Some(other) = v6.services().iter().find(|other| other.key() == one.key()) else {
                    continue;
                };
                assert_eq!((one.node_port, one.cluster.port()), (other.node_port, other.cluster.port()));
                assert_eq!(one.health_check_node_port, other.health_check_node_port);
                assert_eq!(one.endpoints().len(), other.endpoints().len());
            }
        }
    }
}
