//! The shape of synthetic Services: how endpoints spread over them, and which features they have.

use serde::{Deserialize, Deserializer};

/// Section `[shape]` of a sweep. Absent: N Services x M endpoints, cluster IPs only, alternately UDP and TCP.
///
/// A share is a number from 0 to 1, and exact: of 1,000 Services a share of 0.1 is 100 of them, drawn by the seed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shape {
    /// How the N x M endpoints spread over the Services.
    pub endpoints: Spread,
    /// Services whose port is UDP; the others are TCP.
    pub udp: Share,
    /// Services whose port is SCTP, of those that are not UDP.
    pub sctp: Share,
    /// Service ports that are the second of a Service: they share the cluster IP of another.
    pub second_ports: Share,
    /// Services of type NodePort.
    pub node_ports: Share,
    /// Services of type LoadBalancer: an ingress IP and a node port.
    pub load_balancers: Share,
    /// Load balancers that only some may use (`loadBalancerSourceRanges`).
    pub source_ranges: Share,
    /// Services with one of `externalIPs`.
    pub external_ips: Share,
    /// `externalTrafficPolicy: Local`, of Services that can be reached from outside.
    pub external_local: Share,
    /// `internalTrafficPolicy: Local`, of all Services.
    pub internal_local: Share,
    /// `sessionAffinity: ClientIP`, of all Services.
    pub affinity: Share,
    /// Services without a cluster IP. They leave nothing in the kernel.
    pub headless: Share,
    /// Services without endpoints.
    pub no_endpoints: Share,
    /// Endpoints that run on the node under test.
    pub local_endpoints: Share,
    /// Endpoints that terminate and still serve.
    pub terminating: Share,
}

impl Default for Shape {
    fn default() -> Self {
        const NONE: Share = Share::NONE;
        Self {
            endpoints: Spread::Uniform,
            udp: Share(0.5),
            sctp: NONE,
            second_ports: NONE,
            node_ports: NONE,
            load_balancers: NONE,
            source_ranges: NONE,
            external_ips: NONE,
            external_local: NONE,
            internal_local: NONE,
            affinity: NONE,
            headless: NONE,
            no_endpoints: NONE,
            local_endpoints: NONE,
            terminating: NONE,
        }
    }
}

/// Node ports of a cluster by default (`--service-node-port-range`), for each protocol.
pub const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

impl Shape {
    /// Whether so many Services can have it.
    ///
    /// # Errors
    /// What there is too little of, and what to change.
    pub fn check(&self, services: u32) -> Result<(), String> {
        let exclusive = self.node_ports.0 + self.load_balancers.0 + self.external_ips.0 + self.headless.0;
        if exclusive > 1.0 + 1e-9 {
            return Err(format!(
                "node_ports + load_balancers + external_ips + headless = {exclusive}, but a synthetic Service is at most \
                 one of these; they must sum to 1 or less"
            ));
        }
        // A load balancer under policy Local has a second one, for health checks.
        let checked = self.load_balancers.of(services).min(self.external_local.of(services));
        let wanted = self.node_ports.of(services) + self.load_balancers.of(services) + checked;
        let most = NODE_PORTS.len() as u32;
        if wanted > most {
            return Err(format!(
                "{services} Services of this shape would take {wanted} node ports, but a cluster has {most} (30000 to 32767); \
                 lower node_ports and load_balancers, or the number of Services"
            ));
        }
        Ok(())
    }
}

/// A part of a whole, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share(f64);

impl Share {
    /// None of them.
    pub const NONE: Self = Self(0.0);
    /// All of them.
    pub const ALL: Self = Self(1.0);
}

impl Share {
    /// How many of so many that is, rounded.
    pub fn of(self, whole: u32) -> u32 {
        // At most `whole`, as the share is at most 1.
        (f64::from(whole) * self.0).round() as u32
    }

    /// Whether number `index` of an evenly spread sequence is one of them: the first is, and with a half every second.
    pub fn has(self, index: u32) -> bool {
        let up_to = |count: u32| (f64::from(count) * self.0).ceil() as u32;
        up_to(index + 1) > up_to(index)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let share = number(input, "a share: a number from 0 to 1")?;
        match (0.0..=1.0).contains(&share) {
            true => Ok(Self(share)),
            false => Err(serde::de::Error::custom(format!("{share} is no share; allowed: 0 to 1"))),
        }
    }
}

/// How endpoints spread over Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spread {
    /// All Services have the same number.
    #[default]
    Uniform,
    /// A few have most of them: the k-th largest has its part in proportion to k to the power of minus this exponent,
    /// and none has less than one. As many in all as with `uniform`.
    Zipf(#[serde(deserialize_with = "exponent")] f64),
}

fn exponent<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let exponent = number(input, "an exponent")?;
    match exponent > 0.0 && exponent <= 5.0 {
        true => Ok(exponent),
        false => Err(serde::de::Error::custom(format!("{exponent} is out of range; allowed: above 0 to 5"))),
    }
}

fn number<'de, D: Deserializer<'de>>(input: D, expected: &str) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Integer(i64),
        Float(f64),
    }
    match Number::deserialize(input) {
        Ok(Number::Integer(number)) => Ok(number as f64),
        Ok(Number::Float(number)) => Ok(number),
        Err(_) => Err(serde::de::Error::custom(format!("expected {expected}"))),
    }
}

impl Spread {
    /// Endpoints of each of so many Services, the largest first; `mean` of them on average, and at least one each.
    pub fn counts(self, services: u32, mean: u32) -> Vec<u32> {
        let Spread::Zipf(exponent) = self else { return vec![mean; services as usize] };
        let weights: Vec<f64> = (1..=services).map(|rank| f64::from(rank).powf(-exponent)).collect();
        let whole: f64 = weights.iter().sum();
        // One each; what is left goes by weight, rounded down, and what rounding leaves to the largest remainders.
        let spare = u64::from(services) * u64::from(mean.saturating_sub(1));
        let parts: Vec<f64> = weights.iter().map(|weight| spare as f64 * weight / whole).collect();
        let mut counts: Vec<u32> = parts.iter().map(|part| 1 + part.floor() as u32).collect();
        let given: u64 = counts.iter().map(|&count| u64::from(count) - 1).sum();
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by(|&one, &other| {
            parts[other].fract().total_cmp(&parts[one].fract()).then(one.cmp(&other))
        });
        let left = spare.saturating_sub(given) as usize;
        order.into_iter().cycle().take(left).for_each(|index| counts[index] += 1);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Shape, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_shape_is_read_strictly() {
        assert_eq!(read("").unwrap(), Shape::default());
        let shape = read("endpoints = { zipf = 1 }\nudp = 0.2").unwrap();
        assert_eq!((shape.endpoints, shape.udp), (Spread::Zipf(1.0), Share(0.2)));
        for (text, expected) in [
            ("udp = 1.5", "allowed: 0 to 1"),
            ("udp = \"half\"", "expected a share"),
            ("endpoints = { zipf = 0 }", "above 0 to 5"),
            ("endpoints = \"pareto\"", "unknown variant"),
            ("uniform = true", "unknown field"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_no_cluster_has_is_refused() {
        let shape = read("node_ports = 0.3").unwrap();
        shape.check(9_000).unwrap();
        assert!(shape.check(10_000).unwrap_err().contains("take 3000 node ports"));
        let shape = read("node_ports = 0.6\nheadless = 0.6").unwrap();
        assert!(shape.check(10).unwrap_err().contains("sum to 1 or less"));
    }

    #[test]
    fn zipf_gives_a_few_services_most_endpoints() {
        let counts = Spread::Zipf(1.0).counts(1_000, 10);
        assert_eq!(counts.iter().sum::<u32>(), 10_000);
        assert!(counts.is_sorted_by(|one, next| one >= next));
        assert!(counts[0] > 1_000 && counts[999] <= 3, "{} {}", counts[0], counts[999]);
    }

    proptest! {
        #[test]
        fn a_spread_keeps_the_sum(services in 1..500_u32, mean in 1..50_u32, exponent in 0.1..4.0) {
            let counts = Spread::Zipf(exponent).counts(services, mean);
            prop_assert_eq!(counts.iter().sum::<u32>(), services * mean);
            prop_assert!(counts.iter().all(|&count| count >= 1));
        }

        #[test]
        fn an_even_sequence_has_its_share(share in 0.0..=1.0, whole in 1..1000_u32) {
            let share = Share(share);
            let found = (0..whole).filter(|&index| share.has(index)).count() as f64;
            prop_assert!((found - f64::from(whole) * share.0).abs() <= 1.0);
        }
    }
}
