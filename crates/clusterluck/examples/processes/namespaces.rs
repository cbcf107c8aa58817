//! A network of namespaces, one a node, joined by a router that swallows what it is told to.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;

use crate::place::Failed;

/// It goes when this does.
pub(crate) struct Network {
    name: String,
    hosts: usize,
}

impl Network {
    pub(crate) fn new(hosts: usize) -> Result<Self, Failed> {
        let network = Self { name: format!("cl{}", std::process::id()), hosts };
        let router = network.router();
        ip(&format!("netns add {router}"))?;
        for at in 0..hosts {
            let (host, address) = (network.host(at), address(at));
            for line in [
                format!("netns add {host}"),
                format!("-n {router} link add v{at} type veth peer name eth0 netns {host}"),
                format!("-n {router} addr add 10.77.{at}.1/24 dev v{at}"),
                format!("-n {router} link set v{at} up"),
                format!("-n {host} addr add {address}/24 dev eth0"),
                format!("-n {host} link set lo up"),
                format!("-n {host} link set eth0 up"),
                format!("-n {host} route add default via 10.77.{at}.1"),
            ] {
                ip(&line)?;
            }
        }
        ip(&format!("netns exec {router} sysctl -qw net.ipv4.ip_forward=1"))?;
        Ok(network)
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }

    pub(crate) fn host(&self, at: usize) -> String {
        format!("{}h{at}", self.name)
    }

    /// Moves this thread to the router, from where every host can be reached whatever the router swallows.
    pub(crate) fn enter(&self) -> Result<(), Failed> {
        let namespace = File::open(format!("/var/run/netns/{}", self.router()))?;
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)?;
        Ok(())
    }

    /// Nothing passes between these and those any more, or everything does again.
    pub(crate) fn pass(&self, some: &[usize], others: &[usize], passes: bool) -> Result<(), Failed> {
        let (router, verb) = (self.router(), if passes { "del" } else { "add" });
        for (one, other) in some.iter().flat_map(|one| others.iter().map(move |other| (*one, *other))) {
            for (from, to) in [(one, other), (other, one)] {
                let (from, to) = (address(from), address(to));
                ip(&format!("-n {router} rule {verb} from {from} to {to} blackhole"))?;
            }
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for namespace in (0..self.hosts).map(|at| self.host(at)).chain([self.router()]) {
            // What was never made cannot be removed.
            let _removed = ip(&format!("netns del {namespace}"));
        }
    }
}

pub(crate) fn address(at: usize) -> String {
    format!("10.77.{at}.2")
}

fn ip(arguments: &str) -> Result<(), Failed> {
    let output = Command::new("ip").args(arguments.split(' ')).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
