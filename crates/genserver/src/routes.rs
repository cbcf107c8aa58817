//! What other nodes may send to a server.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use netkernel::Responder;
use serde::Serialize;

use crate::chain::Chain;
use crate::envelope::{Content, Core, Handled, Open, Series, pack, seal};
use crate::error::StartError;
use crate::exit::Exit;
use crate::mailbox::Rejected;
use crate::message::{Outcome, Request, Wire};
use crate::process::Process;
use crate::remote::body::{self, Held, Parcel};
use crate::remote::refusal;
use crate::reply::{Remote, ReplyTo, ReplyWriter};
use crate::scope;
use crate::server::{GenServer, HandleCall, HandleCast};

/// The messages a server takes from other nodes, by tag and version. Filled in [`GenServer::routes`].
///
/// ```
/// # use genserver::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Add(i64);
/// # impl Wire for Add { const TAG: &'static str = "add"; }
/// # #[derive(Serialize, Deserialize)] struct Get;
/// # impl Request for Get { type Reply = i64; }
/// # impl Wire for Get { const TAG: &'static str = "get"; }
/// # struct Counter;
/// # impl HandleCast<Add> for Counter {
/// #     async fn cast(&mut self, _: Add, _: &mut Cx<Self>) -> Outcome { Outcome::Continue }
/// # }
/// # impl HandleCall<Get> for Counter {
/// #     async fn call(&mut self, _: Get, reply: ReplyTo<i64>, _: &mut Cx<Self>) -> Outcome { reply.send(0) }
/// # }
/// # impl GenServer for Counter {
/// fn routes(routes: &mut Routes<Self>) {
///     routes.call::<Get>().cast::<Add>();
/// }
/// # }
/// ```
///
/// A route without its handler does not compile, and the error names what is missing:
///
/// ```compile_fail,E0277
/// # use genserver::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Add(i64);
/// # impl Wire for Add { const TAG: &'static str = "add"; }
/// # struct Counter;
/// # impl GenServer for Counter {
/// fn routes(routes: &mut Routes<Self>) {
///     routes.cast::<Add>(); // error: `Counter` does not handle casts of `Add`
/// }
/// # }
/// ```
pub struct Routes<S: GenServer> {
    routes: BTreeMap<(&'static str, u16), Route<S>>,
    fault: Option<(&'static str, u16)>,
}

struct Route<S: GenServer> {
    call: Option<CallRoute<S>>,
    cast: Option<CastRoutes<S>>,
}

type CallRoute<S> = fn(&Process<S>, Held, Option<Arc<Chain>>, Responder);
type CastRoute<S> = fn(&Process<S>, Held) -> Result<(), Rejected>;
/// Takes the ends of the bodies, and says how many it took.
type CastsRoute<S> = fn(&Process<S>, &[Bytes], usize) -> Result<usize, Rejected>;

/// For a cast alone, and for several that came together.
struct CastRoutes<S: GenServer> {
    one: CastRoute<S>,
    many: CastsRoute<S>,
}

impl<S: GenServer> Routes<S> {
    pub(crate) fn of_server() -> Result<Self, StartError> {
        let mut routes = Self { routes: BTreeMap::new(), fault: None };
        S::routes(&mut routes);
        match routes.fault {
            Some((tag, version)) => Err(StartError::Route { tag, version }),
            None => Ok(routes),
        }
    }

    /// Lets other nodes call with `M`.
    pub fn call<M>(&mut self) -> &mut Self
    where
        S: HandleCall<M>,
        M: Request + Wire,
        M::Reply: Serialize,
    {
        self.upgrade::<M, M>()
    }

    /// Lets other nodes cast `M`.
    pub fn cast<M>(&mut self) -> &mut Self
    where
        S: HandleCast<M>,
        M: Wire,
    {
        self.upgrade_cast::<M, M>()
    }

    /// Lets nodes that know only the older message `Old` call with it: it is handled as a `New`, and the reply is
    /// turned back into what they expect.
    pub fn upgrade<Old, New>(&mut self) -> &mut Self
    where
        S: HandleCall<New>,
        Old: Request + Wire + Into<New>,
        Old::Reply: From<New::Reply> + Serialize,
        New: Request,
    {
        self.add::<Old>(Some(call::<S, Old, New>), None)
    }

    /// Lets nodes that know only the older message `Old` cast it: it is handled as a `New`.
    pub fn upgrade_cast<Old, New>(&mut self) -> &mut Self
    where
        S: HandleCast<New>,
        Old: Wire + Into<New>,
        New: Send + 'static,
    {
        self.add::<Old>(None, Some(CastRoutes { one: cast::<S, Old, New>, many: casts::<S, Old, New> }))
    }

    fn add<M: Wire>(&mut self, call: Option<CallRoute<S>>, cast: Option<CastRoutes<S>>) -> &mut Self {
        let known = self.routes.entry((M::TAG, M::VERSION)).or_insert(Route { call: None, cast: None });
        let twice = (known.call.is_some() && call.is_some()) || (known.cast.is_some() && cast.is_some());
        if twice || M::TAG.is_empty() || M::TAG.len() > TAG_BYTES_MAX {
            self.fault = Some((M::TAG, M::VERSION));
        }
        known.call = known.call.or(call);
        known.cast = known.cast.take().or(cast);
        self
    }

    pub(crate) fn call_route(&self, tag: &str, version: u16) -> Option<CallRoute<S>> {
        self.routes.get(&(tag, version))?.call
    }

    pub(crate) fn cast_route(&self, tag: &str, version: u16) -> Option<CastRoute<S>> {
        Some(self.routes.get(&(tag, version))?.cast.as_ref()?.one)
    }

    pub(crate) fn casts_route(&self, tag: &str, version: u16) -> Option<CastsRoute<S>> {
        Some(self.routes.get(&(tag, version))?.cast.as_ref()?.many)
    }
}

impl<S: GenServer> fmt::Debug for Routes<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.routes.keys()).finish()
    }
}

/// Puts a call from another node into the mailbox, still encoded.
fn call<S, Old, New>(process: &Process<S>, body: Held, chain: Option<Arc<Chain>>, responder: Responder)
where
    S: HandleCall<New>,
    Old: Request + Wire + Into<New>,
    Old::Reply: From<New::Reply> + Serialize,
    New: Request,
{
    let remote = Remote { responder, writer: Replies::<Old, New>::WRITER };
    let held = body.bytes();
    let content =
        EncodedCall::<Old, New> { body, reply: ReplyTo::there(remote, chain), message: PhantomData };
    if let Err((mut letter, rejected)) = process.mailbox.push(seal::<S, _>(content), held, false) {
        letter.as_mut().open().reply.refuse_with(Process::<S>::refusal(&rejected));
    }
}

/// How the replies of a `New`'s handler reach those who sent an `Old`.
struct Replies<Old, New>(PhantomData<(Old, New)>);

impl<Old, New> Replies<Old, New>
where
    Old: Request + Wire,
    Old::Reply: From<New::Reply> + Serialize,
    New: Request,
{
    const WRITER: &'static ReplyWriter<New::Reply> = &ReplyWriter {
        encode: |reply| body::encode_reply(&Old::Reply::from(reply)),
        tag: Old::TAG,
        version: Old::VERSION,
    };
}

/// Puts a cast from another node into the mailbox, still encoded.
fn cast<S, Old, New>(process: &Process<S>, body: Held) -> Result<(), Rejected>
where
    S: HandleCast<New>,
    Old: Wire + Into<New>,
    New: Send + 'static,
{
    let held = body.bytes();
    let content = EncodedCast::<Old, New> { body, message: PhantomData };
    process.mailbox.push(seal::<S, _>(content), held, false).map_err(|(_letter, rejected)| rejected)
}

/// Puts casts from another node that came together into the mailbox, still encoded, as far as there is room.
fn casts<S, Old, New>(process: &Process<S>, bodies: &[Bytes], start: usize) -> Result<usize, Rejected>
where
    S: HandleCast<New>,
    Old: Wire + Into<New>,
    New: Send + 'static,
{
    let size = |body: &Bytes| i64::try_from(body.len() - start).unwrap_or(i64::MAX);
    let room = process.mailbox.reserve(bodies.iter().map(size))?;
    let taken = &bodies[..room.messages];
    let parcel = Parcel::of(taken, start, usize::try_from(room.bytes).unwrap_or_default());
    let series = EncodedCasts::<Old, New> { parcel, message: PhantomData };
    process.mailbox.push_many(pack(series), room)?;
    Ok(taken.len())
}

/// A call from another node: an `Old`, to be handled as a `New`.
struct EncodedCall<Old, New: Request> {
    body: Held,
    reply: ReplyTo<New::Reply>,
    message: PhantomData<fn() -> (Old, New)>,
}

impl<S, Old, New> Content<S> for EncodedCall<Old, New>
where
    S: HandleCall<New>,
    Old: Wire + Into<New>,
    New: Request,
{
    fn admit(&self) -> bool {
        self.reply.begin()
    }

    async fn handle(self, mut core: Box<Core<S>>) -> Handled<S> {
        let decoded = body::decode_here::<Old>(&self.body);
        let outcome = match decoded {
            Ok(message) => core.server.call(message.into(), self.reply, &mut core.cx).await,
            Err(error) => {
                tracing::warn!(server = %core.cx.pid(), tag = Old::TAG, %error, "a call cannot be decoded");
                self.reply.refuse_with(refusal::undecodable(Old::TAG, Old::VERSION));
                Outcome::Continue
            }
        };
        scope::begin(None, None);
        (core, outcome)
    }

    fn refuse(self, exit: &Exit) {
        self.reply.refuse(exit);
    }

    fn label() -> &'static str {
        type_name::<Old>()
    }
}

/// A cast from another node: an `Old`, to be handled as a `New`.
struct EncodedCast<Old, New> {
    body: Held,
    message: PhantomData<fn() -> (Old, New)>,
}

impl<S, Old, New> Content<S> for EncodedCast<Old, New>
where
    S: HandleCast<New>,
    Old: Wire + Into<New>,
    New: Send + 'static,
{
    async fn handle(self, mut core: Box<Core<S>>) -> Handled<S> {
        let decoded = body::decode_here::<Old>(&self.body);
        let outcome = match decoded {
            Ok(message) => core.server.cast(message.into(), &mut core.cx).await,
            Err(error) => {
                tracing::warn!(server = %core.cx.pid(), tag = Old::TAG, %error, "a cast cannot be decoded");
                Outcome::Continue
            }
        };
        (core, outcome)
    }

    fn label() -> &'static str {
        type_name::<Old>()
    }
}

/// Casts from another node that came together: `Old`s, to be handled as `New`s.
struct EncodedCasts<Old, New> {
    parcel: Parcel,
    message: PhantomData<fn() -> (Old, New)>,
}

impl<S, Old, New> Series<S> for EncodedCasts<Old, New>
where
    S: HandleCast<New>,
    Old: Wire + Into<New>,
    New: Send + 'static,
{
    type Message = New;

    fn next(&mut self, core: &Core<S>) -> Option<New> {
        let decoded = body::decode_here::<Old>(self.parcel.next()?);
        let undecodable = |error| tracing::warn!(server = %core.cx.pid(), tag = Old::TAG, %error, "a cast cannot be decoded");
        decoded.map(Into::into).map_err(undecodable).ok()
    }

    fn label() -> &'static str {
        type_name::<Old>()
    }
}

/// Tags travel with every message.
pub(crate) const TAG_BYTES_MAX: usize = 64;
