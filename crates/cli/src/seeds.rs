//! Nodes to meet: addresses, and names that stand for whichever nodes there are.

use std::str::FromStr;
use std::time::Duration;

use clusterluck::Cluster;
use clusterluck::netkernel::Address;

/// A node to meet, or where to find some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seed {
    /// One node.
    Node(Address),
    /// Every node a DNS name resolves to, each at the same port.
    Name(Address),
}

impl FromStr for Seed {
    type Err = String;

    /// Reads `host:port` or `dns:name:port`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (seed, address): (fn(Address) -> Self, &str) = match text.strip_prefix("dns:") {
            Some(rest) => (Self::Name, rest),
            None => (Self::Node, text),
        };
        address.parse().map(seed).map_err(|error| format!("{error}; write host:port or dns:name:port"))
    }
}

/// Meets whoever the names stand for, looking them up again while fewer than `expected` members are known. Never
/// returns: members may get lost again.
///
/// # Cancel safety
///
/// Dropped, it has met some.
pub(crate) async fn meet_named(cluster: &Cluster, names: Vec<Address>, expected: usize) {
    if names.is_empty() {
        return std::future::pending().await;
    }
    let mut pace = tokio::time::interval(LOOKED_UP_EVERY);
    loop {
        pace.tick().await;
        if cluster.view().members().len() >= expected {
            continue;
        }
        for name in &names {
            meet_all(cluster, name).await;
        }
    }
}

async fn meet_all(cluster: &Cluster, name: &Address) {
    let found = match tokio::net::lookup_host((name.host(), name.port())).await {
        Ok(found) => found.map(Address::from),
        Err(error) => return tracing::info!(%name, %error, "cannot look up a name"),
    };
    for address in found {
        let known = cluster.view().members().iter().any(|member| member.address == address);
        if known {
            continue;
        }
        if let Err(error) = cluster.meet(address.to_string()).await {
            tracing::info!(%name, %address, %error, "cannot meet a node");
        }
    }
}

const LOOKED_UP_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_addresses_or_names() {
        let address = || "nodes.example:7022".parse().unwrap();
        assert_eq!("nodes.example:7022".parse(), Ok(Seed::Node(address())));
        assert_eq!("dns:nodes.example:7022".parse(), Ok(Seed::Name(address())));
        for text in ["", "dns:", "dns:nodes.example", "nodes.example"] {
            assert!(text.parse::<Seed>().unwrap_err().contains("dns:name:port"), "{text:?}");
        }
    }
}
