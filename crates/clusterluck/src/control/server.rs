//! The node's end: carries out an operator's commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use genserver::System;
use gossip::{Gossip, Member, Status, View};
use hashring::HashRing;
use netkernel::{Address, Kernel, Net, NodeId, PeerStatus, Refusal, Responder, Role};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::failure::Failure;
use super::live::{Follow, Watch};
use super::protocol::{
    COMMANDS, Command, Get, Has, Info, Insert, Inspect, InspectedMember, Inspection, Join, Leave, LinkInfo,
    Meet, MemberInfo, Members, Metrics, NodeInfo, NodeReport, Nodes, Owner, Ping, Remove, Request, Response,
    ServerInfo, Servers, Update, Weight, Weights,
};
use super::waiting::waits;
use crate::journal::Journal;
use crate::metrics::{self, Metric};

/// What is operated.
#[derive(Clone)]
pub(crate) struct Operated {
    pub(crate) kernel: Kernel,
    pub(crate) gossip: Gossip,
    pub(crate) servers: System,
    pub(crate) started: Instant,
    pub(crate) journal: Arc<Journal>,
}

/// Takes commands in. Each runs in a task of its own, so that one that waits holds up no other.
pub(crate) struct Server {
    operated: Operated,
    tasks: TaskTracker,
    stop: CancellationToken,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Server {
    pub(crate) fn new(operated: Operated, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            operated,
            tasks,
            stop,
            running: Arc::new(Semaphore::new(COMMANDS_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// Begins to carry out a command.
    pub(crate) fn call(&self, body: Bytes, responder: Responder) {
        if self.stop.is_cancelled() {
            return responder.refuse(Refusal::Draining);
        }
        let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() else {
            return responder.refuse(Refusal::Overloaded);
        };
        let (operated, stop, waiting) = (self.operated.clone(), self.stop.clone(), Arc::clone(&self.waiting));
        self.tasks.spawn(async move {
            let request = Request::read(&body);
            // Those that wait for something to happen are not to stand in the way of those that do something.
            let _permit = match &request {
                Ok(request) if waits(&request.command) => match waiting.try_acquire_owned() {
                    Ok(place) => {
                        drop(permit);
                        place
                    }
                    Err(_) => return responder.refuse(Refusal::Overloaded),
                },
                _ => permit,
            };
            tokio::select! {
                response = operated.answer(request) => {
                    let encoded = postcard::to_allocvec(&response);
                    responder.reply(encoded.expect("bytes and texts always encode").into());
                }
                () = responder.cancelled() => {}
                // It may have been carried out in part: no reply says so.
                () = stop.cancelled() => drop(responder),
            }
        });
    }
}

/// A command with what carries it out.
pub(super) trait Run: Command {
    async fn run(self, node: &Operated) -> Result<Self::Answer, Failure>;
}

async fn run<C: Run>(node: &Operated, arguments: &[u8]) -> Response {
    let malformed = |_| Failure::Malformed { command: C::NAME.to_owned() };
    let command: C = postcard::from_bytes(arguments).map_err(malformed)?;
    let answer = command.run(node).await?;
    Ok(postcard::to_allocvec(&answer).expect("answers are plain data, which always encodes"))
}

impl Operated {
    async fn answer(&self, request: Result<Request, Failure>) -> Response {
        let request = request?;
        let arguments = &request.arguments;
        match request.command.as_str() {
            Inspect::NAME => run::<Inspect>(self, arguments).await,
            Nodes::NAME => run::<Nodes>(self, arguments).await,
            Get::NAME => run::<Get>(self, arguments).await,
            Has::NAME => run::<Has>(self, arguments).await,
            Weight::NAME => run::<Weight>(self, arguments).await,
            Weights::NAME => run::<Weights>(self, arguments).await,
            Ping::NAME => run::<Ping>(self, arguments).await,
            Join::NAME => run::<Join>(self, arguments).await,
            Meet::NAME => run::<Meet>(self, arguments).await,
            Leave::NAME => run::<Leave>(self, arguments).await,
            Insert::NAME => run::<Insert>(self, arguments).await,
            Update::NAME => run::<Update>(self, arguments).await,
            Remove::NAME => run::<Remove>(self, arguments).await,
            Members::NAME => run::<Members>(self, arguments).await,
            Owner::NAME => run::<Owner>(self, arguments).await,
            Servers::NAME => run::<Servers>(self, arguments).await,
            Info::NAME => run::<Info>(self, arguments).await,
            Metrics::NAME => run::<Metrics>(self, arguments).await,
            Follow::NAME => run::<Follow>(self, arguments).await,
            Watch::NAME => run::<Watch>(self, arguments).await,
            _ => Err(Failure::UnknownCommand {
                command: request.command,
                release: env!("CARGO_PKG_VERSION").to_owned(),
                known: COMMANDS.iter().map(ToString::to_string).collect(),
            }),
        }
    }

    /// The ring, if the node is in one.
    pub(super) fn view(&self) -> Result<Arc<View>, Failure> {
        let view = self.gossip.view();
        if view.ring_name().is_none() { Err(Failure::NotInRing) } else { Ok(view) }
    }

    /// The links of the mesh by id. Operators have links too, of no interest to each other.
    fn links(&self) -> BTreeMap<NodeId, PeerStatus> {
        let peers = self.kernel.peers().into_iter().filter(|peer| peer.role != Some(Role::Control));
        peers.map(|peer| (peer.id.clone(), peer)).collect()
    }

    /// The same, after a moment in which each peer was asked for a sign of life: a link in use is not measured by
    /// itself.
    async fn measured_links(&self) -> BTreeMap<NodeId, PeerStatus> {
        let mut pings = JoinSet::new();
        for peer in self.links().into_values().filter(|peer| peer.connected).take(PINGS_MAX) {
            let kernel = self.kernel.clone();
            pings.spawn(async move { kernel.ping(&peer.id, PING_WITHIN).await });
        }
        // What is not measured in time keeps what was measured before.
        while pings.join_next().await.is_some() {}
        self.links()
    }

    fn connected(&self, links: &BTreeMap<NodeId, PeerStatus>, id: &NodeId) -> bool {
        *id == self.kernel.local().id || links.get(id).is_some_and(|link| link.connected)
    }
}

impl Run for Inspect {
    async fn run(self, node: &Operated) -> Result<Inspection, Failure> {
        let (view, links) = (node.gossip.view(), node.links());
        let ring = view.ring();
        let members = view.members();
        let points = if self.points { points(ring, members) } else { Vec::new() };
        let inspected = members.iter().map(|member| InspectedMember {
            node: info(&member.id, &member.address),
            weight: member.weight,
            ownership: ownership(ring, member),
            connected: node.connected(&links, &member.id),
            joining: member.status == Status::Joining,
            liveness: liveness(member),
        });
        Ok(Inspection {
            ring: view.ring_name().map(ToString::to_string),
            default_weight: hashring::WEIGHT_DEFAULT,
            replicas: REPLICAS,
            members: inspected.collect(),
            points,
            fingerprint: ring.fingerprint().to_string(),
        })
    }
}

/// How a member is, in a word. Of one that was not heard from yet, nobody can tell.
fn liveness(member: &Member) -> String {
    match member.status {
        Status::Joining => "unknown".to_owned(),
        _ => member.liveness.to_string(),
    }
}

impl Run for Nodes {
    async fn run(self, node: &Operated) -> Result<Vec<NodeInfo>, Failure> {
        let view = node.gossip.view();
        Ok(view.members().iter().map(|member| info(&member.id, &member.address)).collect())
    }
}

impl Run for Get {
    async fn run(self, node: &Operated) -> Result<NodeInfo, Failure> {
        let view = node.gossip.view();
        let member = member(&view, &self.id)?;
        Ok(info(&member.id, &member.address))
    }
}

impl Run for Has {
    async fn run(self, node: &Operated) -> Result<bool, Failure> {
        Ok(member(&node.gossip.view(), &self.id).is_ok())
    }
}

impl Run for Weight {
    async fn run(self, node: &Operated) -> Result<u32, Failure> {
        Ok(member(&node.gossip.view(), &self.id)?.weight)
    }
}

impl Run for Weights {
    async fn run(self, node: &Operated) -> Result<BTreeMap<String, u32>, Failure> {
        let view = node.gossip.view();
        Ok(view.members().iter().map(|member| (member.id.to_string(), member.weight)).collect())
    }
}

impl Run for Ping {
    async fn run(self, _node: &Operated) -> Result<String, Failure> {
        Ok("pong".to_owned())
    }
}

impl Run for Members {
    async fn run(self, node: &Operated) -> Result<Vec<MemberInfo>, Failure> {
        let (view, links) = (node.gossip.view(), node.measured_links().await);
        let known = view.members().iter().map(|member| MemberInfo {
            node: info(&member.id, &member.address),
            status: status(member.status).to_owned(),
            connected: node.connected(&links, &member.id),
            incarnation: member.incarnation.0,
            weight: member.weight,
            zone: member.zone.as_ref().map(ToString::to_string),
            version: member.protocols.map_or(0, |protocols| u16::from(protocols.newest)),
            round_trip_us: links.get(&member.id).and_then(|link| link.round_trip).map(micros),
            tags: member.tags.as_ref().clone(),
            liveness: liveness(member),
        });
        Ok(known.collect())
    }
}

impl Run for Owner {
    async fn run(self, node: &Operated) -> Result<Vec<NodeInfo>, Failure> {
        let view = node.view()?;
        let replicas = usize::try_from(self.replicas).unwrap_or(usize::MAX);
        let owners = view.ring().replicas(&self.key, replicas);
        Ok(owners.map(|owner| info(&owner.id, &owner.address)).collect())
    }
}

impl Run for Servers {
    async fn run(self, node: &Operated) -> Result<Vec<ServerInfo>, Failure> {
        let servers = node.servers.servers().into_iter().map(|server| ServerInfo {
            name: server.pid.name().map_or_else(|| server.pid.to_string(), ToString::to_string),
            mailbox: server.mailbox_messages as u64,
            handled: server.handled,
            uptime_ms: u64::try_from(server.uptime.as_millis()).unwrap_or(u64::MAX),
        });
        Ok(servers.collect())
    }
}

impl Run for Info {
    async fn run(self, node: &Operated) -> Result<NodeReport, Failure> {
        let (local, view) = (node.kernel.local(), node.gossip.view());
        Ok(NodeReport {
            node: info(&local.id, &local.address),
            incarnation: local.incarnation.0,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            ring: view.ring_name().map(ToString::to_string),
            members: view.members().len() as u64,
            uptime_ms: u64::try_from(node.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            links: node.measured_links().await.values().map(link).collect(),
        })
    }
}

impl Run for Metrics {
    async fn run(self, node: &Operated) -> Result<Vec<Metric>, Failure> {
        Ok(metrics::measure(&node.kernel, &node.gossip, &node.servers, node.started.elapsed()))
    }
}

pub(super) fn info(id: &NodeId, address: &Address) -> NodeInfo {
    NodeInfo { id: id.to_string(), host: address.host().to_owned(), port: address.port() }
}

fn link(status: &PeerStatus) -> LinkInfo {
    LinkInfo {
        id: status.id.to_string(),
        connected: status.connected,
        round_trip_us: status.round_trip.map(micros),
        queued_messages: status.queued_messages as u64,
        queued_bytes: status.queued_bytes as u64,
        sent: status.traffic.messages_sent,
        received: status.traffic.messages_received,
        dropped: status.traffic.messages_dropped,
        sessions: status.traffic.sessions,
        role: status.role.map(|role| role.to_string()),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Joining => "joining",
        Status::Draining => "draining",
        _ => "member",
    }
}

pub(super) fn member<'a>(view: &'a View, id: &str) -> Result<&'a Member, Failure> {
    let unknown = || Failure::UnknownNode { id: id.to_owned() };
    let known = NodeId::new(id).map_err(|_| unknown())?;
    view.member(&known).ok_or_else(unknown)
}

/// Every point with the index of its member among `members`, which are ordered by id.
fn points(ring: &HashRing<gossip::RingMember>, members: &[Member]) -> Vec<(u64, u32)> {
    let index = |id: &NodeId| members.binary_search_by(|member| member.id.cmp(id)).ok();
    let points = ring.points();
    points.filter_map(|at| Some((at.token.get(), u32::try_from(index(&at.node.id)?).ok()?))).collect()
}

fn ownership(ring: &HashRing<gossip::RingMember>, member: &Member) -> f64 {
    let owner = gossip::RingMember { id: member.id.clone(), address: member.address.clone() };
    ring.ownership(&owner).map_or(0.0, hashring::Fraction::as_f64)
}

/// Replicas of a key as `inspect` reports them: the owner and two more.
const REPLICAS: u32 = 3;
/// Commands carried out at the same time; more are turned away.
const COMMANDS_MAX: usize = 64;
/// Clients and watchers that wait for news of this node; more are turned away, and ask another.
const WAITING_MAX: usize = 1_024;
/// Round trips measured for one command: an operator of more nodes reads no table of them.
const PINGS_MAX: usize = 256;
/// Far longer than a healthy link takes, and no wait to speak of.
const PING_WITHIN: Duration = Duration::from_millis(300);
