//! Servers anywhere.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use netkernel::{NodeId, ServerName};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::call::Call;
use super::cast::Cast;
use super::destination::{Destination, Server, Writer, reader};
use crate::error::{CallError, CastError, CastFailure};
use crate::message::{Request, Wire};
use crate::monitor::Place;
use crate::pid::Pid;
use crate::process::Process;
use crate::remote::monitors::ServerKey;
use crate::scope;
use crate::server::{GenServer, HandleCall, HandleCast};
use crate::system::{DIRECT, System};

/// A server that may be anywhere: by node and name, from [`System::addr`], or one instance, from
/// [`LocalAddr::addr`](crate::LocalAddr::addr). Messages have to be [`Wire`] and [routed](crate::Routes), wherever
/// the server is; they are encoded only if it is not here.
///
/// It can be sent in messages: an address that is read from a message belongs to the system it was received by.
/// Cloning costs one reference count.
pub struct Addr<S>(Arc<Destination>, PhantomData<fn(S)>);

/// Where the server of an address is.
enum Whereabouts<S: GenServer> {
    /// In this system, and of the type the address says.
    Here(Arc<Process<S>>),
    /// In this system, if it existed.
    Missing,
    /// On another node; or here, and of another type.
    There,
}

impl<S: GenServer> Addr<S> {
    pub(crate) fn named(system: System, node: NodeId, name: &str) -> Self {
        let server = match ServerName::new(name) {
            Ok(name) if !name.as_str().starts_with(DIRECT) => Server::Name(name),
            _ => Server::Malformed(name.to_owned()),
        };
        Self(Arc::new(Destination { system, node, server }), PhantomData)
    }

    pub(crate) fn instance(system: System, pid: Pid) -> Self {
        let node = pid.node().clone();
        Self(Arc::new(Destination { system, node, server: Server::Instance(pid) }), PhantomData)
    }

    /// The node the server is on.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.node
    }

    /// Sends a request and waits for its reply. On this node, the server is looked up now.
    ///
    /// A message that has no wire identity is refused by the compiler:
    ///
    /// ```compile_fail,E0277
    /// # use genserver::*;
    /// # struct Greeter;
    /// # impl GenServer for Greeter {}
    /// # struct Hello;
    /// # impl Request for Hello { type Reply = (); }
    /// # impl HandleCall<Hello> for Greeter {
    /// #     async fn call(&mut self, _: Hello, r: ReplyTo<()>, _: &mut Cx<Self>) -> Outcome { r.send(()) }
    /// # }
    /// # fn f(greeter: &Addr<Greeter>) {
    /// let _ = greeter.call(Hello); // error: `Hello` cannot be sent to another node: it has no wire identity
    /// # }
    /// ```
    pub fn call<M>(&self, message: M) -> Call<M>
    where
        S: HandleCall<M>,
        M: Request + Wire,
        M::Reply: Serialize + DeserializeOwned,
    {
        match self.whereabouts() {
            Whereabouts::Here(process) if process.routes.call_route(M::TAG, M::VERSION).is_none() => {
                Call::failed(CallError::Unsupported { tag: M::TAG.to_owned(), version: M::VERSION })
            }
            Whereabouts::Here(process) => Call::here(process, message),
            Whereabouts::Missing => Call::failed(self.0.no_proc()),
            Whereabouts::There => Call::there(Arc::clone(&self.0), message, Writer::new(), reader::<M>()),
        }
    }

    /// Sends a message, waiting for room in the mailbox or in the queue towards its node. On this node, the server
    /// is looked up now.
    pub fn cast<M>(&self, message: M) -> Cast<M>
    where
        S: HandleCast<M>,
        M: Wire,
    {
        let failed = |reason, message| Cast::failed(CastError::new(reason, message));
        match self.whereabouts() {
            Whereabouts::Here(process) if process.routes.cast_route(M::TAG, M::VERSION).is_none() => {
                failed(CastFailure::Unsupported { tag: M::TAG, version: M::VERSION }, message)
            }
            Whereabouts::Here(process) => Cast::here(process, message),
            Whereabouts::Missing => {
                let name = self.0.label().into_owned();
                failed(CastFailure::NoProc { node: self.0.node.clone(), name }, message)
            }
            Whereabouts::There => Cast::there(Arc::clone(&self.0), message, Writer::new()),
        }
    }

    /// Sends a message if there is room in the mailbox or in the queue towards its node.
    ///
    /// # Errors
    ///
    /// [`CastError`], with the message.
    pub fn try_cast<M>(&self, message: M) -> Result<(), CastError<M>>
    where
        S: HandleCast<M>,
        M: Wire,
    {
        self.cast(message).now()
    }

    pub(super) fn is_here(&self) -> bool {
        self.0.node == *self.0.system.node()
    }

    pub(super) fn destination(&self) -> &Arc<Destination> {
        &self.0
    }

    fn whereabouts(&self) -> Whereabouts<S> {
        if !self.is_here() {
            return Whereabouts::There;
        }
        let found = self.key().and_then(|key| self.0.system.find(&key));
        match found.map(|process| process.any().downcast::<Process<S>>()) {
            Some(Ok(process)) => Whereabouts::Here(process),
            // Two types may speak the same messages: then it is as if it were on another node.
            Some(Err(_)) => Whereabouts::There,
            None => Whereabouts::Missing,
        }
    }

    /// What a monitor of it watches.
    pub(crate) fn place(&self) -> Place {
        let Some(server) = self.key() else { return Place::Nowhere };
        if !self.is_here() {
            return Place::There { node: self.0.node.clone(), server };
        }
        self.0.system.find(&server).map_or(Place::Nowhere, Place::Here)
    }

    fn key(&self) -> Option<ServerKey> {
        match &self.0.server {
            Server::Name(name) => Some(ServerKey::Name(name.clone())),
            Server::Instance(pid) => {
                Some(ServerKey::Number { incarnation: pid.incarnation(), number: pid.number() })
            }
            Server::Malformed(_) => None,
        }
    }
}

impl<S> Clone for Addr<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), PhantomData)
    }
}

/// The same node, and the same name or the same instance.
impl<S> PartialEq for Addr<S> {
    fn eq(&self, other: &Self) -> bool {
        self.0.node == other.0.node && self.0.server == other.0.server
    }
}

impl<S> Eq for Addr<S> {}

impl<S> fmt::Debug for Addr<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Addr({self})")
    }
}

/// `name@node`, or `#number@node`.
impl<S> fmt::Display for Addr<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.0.label(), self.0.node)
    }
}

/// What travels of an address.
#[derive(Serialize, Deserialize)]
enum Portable {
    Named { node: NodeId, name: String },
    Instance(Pid),
}

impl<S> Serialize for Addr<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let portable = match &self.0.server {
            Server::Instance(pid) => Portable::Instance(pid.clone()),
            Server::Name(_) | Server::Malformed(_) => {
                Portable::Named { node: self.0.node.clone(), name: self.0.label().into_owned() }
            }
        };
        portable.serialize(serializer)
    }
}

impl<'de, S: GenServer> Deserialize<'de> for Addr<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let portable = Portable::deserialize(deserializer)?;
        let system = READING.with_borrow(Clone::clone).or_else(scope::system);
        let system = system.ok_or_else(|| D::Error::custom(NO_SYSTEM))?;
        Ok(match portable {
            Portable::Named { node, name } => Self::named(system, node, &name),
            Portable::Instance(pid) => Self::instance(system, pid),
        })
    }
}

thread_local! {
    /// The system whose messages are being read.
    static READING: RefCell<Option<System>> = const { RefCell::new(None) };
}

/// Runs `body`, in which addresses that are read belong to `system`.
pub(crate) fn reading<T>(system: &System, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<System>);
    impl Drop for Restore {
        fn drop(&mut self) {
            READING.set(self.0.take());
        }
    }
    let _restore = Restore(READING.replace(Some(system.clone())));
    body()
}

const NO_SYSTEM: &str = "an address is read from a message, by a server, or within `System::scope`";
