//! One allocation for each message: it holds first the message, then the handler that runs on it.
//!
//! The running handler owns the server's state, in its box, and gives it back at the end. So nothing is borrowed
//! across the queue, and the future needs no second allocation. Messages that came together from another node share
//! one envelope, which becomes their handlers one after the other.

use std::any::type_name;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::oneshot;

use crate::context::Cx;
use crate::exit::Exit;
use crate::message::{Outcome, Request};
use crate::monitor::Info;
use crate::reply::ReplyTo;
use crate::scope;
use crate::server::{GenServer, HandleCall, HandleCast};

/// A server's state and what the crate keeps for it, in one box that goes from handler to handler.
pub(crate) struct Core<S: GenServer> {
    pub(crate) server: S,
    pub(crate) cx: Cx<S>,
}

/// A handler has finished: the state is free again.
pub(crate) type Handled<S> = (Box<Core<S>>, Outcome);

/// A message of any type, as a mailbox holds it.
pub(crate) type Letter<S> = Pin<Box<dyn Envelope<S>>>;

/// A message that becomes its handler, or several that become theirs in turn.
pub(crate) trait Envelope<S: GenServer>: Send {
    /// Starts the handler of the next message, which takes the state. False, with the state still in its place, if the
    /// message need not be handled any more.
    fn begin(self: Pin<&mut Self>, core: &mut Option<Box<Core<S>>>) -> bool;

    /// Runs the handler, which has begun.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled<S>>;

    /// The server has ended; the handler has not begun.
    fn refuse(self: Pin<&mut Self>, exit: &Exit);

    /// The message's type.
    fn label(&self) -> &'static str;
}

/// Takes the state for a handler that begins.
fn take<S: GenServer>(core: &mut Option<Box<Core<S>>>) -> Box<Core<S>> {
    core.take().expect("the state is here while no handler has it")
}

/// What is in an envelope, and how it is handled.
pub(crate) trait Content<S: GenServer>: Sized + Send + 'static {
    /// The handler is about to begin. False if nobody wants it any more.
    fn admit(&self) -> bool {
        true
    }

    fn handle(self, core: Box<Core<S>>) -> impl Future<Output = Handled<S>> + Send + 'static;

    fn refuse(self, _exit: &Exit) {}

    fn label() -> &'static str;
}

pin_project! {
    #[project = Project]
    #[project_replace = Replace]
    pub(crate) enum Sealed<C, H, F> {
        Waiting { content: C, handle: H },
        Handling { #[pin] future: F },
        Empty,
    }
}

/// An envelope whose content can be taken out again, as long as it has not begun.
pub(crate) trait Open<C> {
    fn open(self: Pin<&mut Self>) -> C;
}

/// Puts a message into its envelope.
pub(crate) fn seal<S: GenServer, C: Content<S>>(content: C) -> Pin<Box<impl Envelope<S> + Open<C>>> {
    Box::pin(Sealed::Waiting { content, handle: |core, content: C| content.handle(core) })
}

impl<S, C, H, F> Envelope<S> for Sealed<C, H, F>
where
    S: GenServer,
    C: Content<S>,
    H: FnOnce(Box<Core<S>>, C) -> F + Send,
    F: Future<Output = Handled<S>> + Send,
{
    fn begin(mut self: Pin<&mut Self>, core: &mut Option<Box<Core<S>>>) -> bool {
        let Replace::Waiting { content, handle } = self.as_mut().project_replace(Self::Empty) else {
            unreachable!("a message is begun once")
        };
        let admitted = content.admit();
        if admitted {
            self.set(Self::Handling { future: handle(take(core), content) });
        }
        admitted
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled<S>> {
        match self.project() {
            Project::Handling { future } => future.poll(context),
            _ => unreachable!("a handler is begun before it is polled"),
        }
    }

    fn refuse(self: Pin<&mut Self>, exit: &Exit) {
        if let Replace::Waiting { content, .. } = self.project_replace(Self::Empty) {
            content.refuse(exit);
        }
    }

    fn label(&self) -> &'static str {
        C::label()
    }
}

impl<C, H, F> Open<C> for Sealed<C, H, F> {
    fn open(self: Pin<&mut Self>) -> C {
        match self.project_replace(Self::Empty) {
            Replace::Waiting { content, .. } => content,
            _ => unreachable!("an envelope that was not accepted has not begun"),
        }
    }
}

/// Casts that came together.
pub(crate) trait Series<S: GenServer>: Send + 'static {
    type Message;

    /// The next, which there is; `None` if it cannot be read.
    fn next(&mut self, core: &Core<S>) -> Option<Self::Message>;

    fn label() -> &'static str;
}

pin_project! {
    struct Packed<C, H, F> {
        series: C,
        handle: H,
        #[pin]
        handling: Option<F>,
    }
}

/// Puts casts that came together into one envelope.
pub(crate) fn pack<S, C>(series: C) -> Letter<S>
where
    S: HandleCast<C::Message>,
    C: Series<S, Message: Send + 'static>,
{
    let handle = |core, message| CastOf(message).handle(core);
    Box::pin(Packed { series, handle, handling: None })
}

impl<S, C, H, F> Envelope<S> for Packed<C, H, F>
where
    S: GenServer,
    C: Series<S>,
    H: Fn(Box<Core<S>>, C::Message) -> F + Send,
    F: Future<Output = Handled<S>> + Send,
{
    fn begin(self: Pin<&mut Self>, core: &mut Option<Box<Core<S>>>) -> bool {
        let mut packed = self.project();
        let next = core.as_ref().and_then(|core| packed.series.next(core));
        let Some(message) = next else { return false };
        packed.handling.set(Some((packed.handle)(take(core), message)));
        true
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handled<S>> {
        let handling = self.project().handling.as_pin_mut();
        handling.expect("a handler is begun before it is polled").poll(context)
    }

    /// Nobody waits for a cast.
    fn refuse(self: Pin<&mut Self>, _exit: &Exit) {}

    fn label(&self) -> &'static str {
        C::label()
    }
}

/// A cast.
pub(crate) struct CastOf<M>(pub(crate) M);

impl<S: HandleCast<M>, M: Send + 'static> Content<S> for CastOf<M> {
    async fn handle(self, mut core: Box<Core<S>>) -> Handled<S> {
        let outcome = core.server.cast(self.0, &mut core.cx).await;
        (core, outcome)
    }

    fn label() -> &'static str {
        type_name::<M>()
    }
}

/// A call.
pub(crate) struct CallOf<M: Request> {
    pub(crate) message: M,
    pub(crate) reply: ReplyTo<M::Reply>,
}

impl<S: HandleCall<M>, M: Request> Content<S> for CallOf<M> {
    fn admit(&self) -> bool {
        self.reply.begin()
    }

    async fn handle(self, mut core: Box<Core<S>>) -> Handled<S> {
        let outcome = core.server.call(self.message, self.reply, &mut core.cx).await;
        scope::begin(None, None);
        (core, outcome)
    }

    fn refuse(self, exit: &Exit) {
        self.reply.refuse(exit);
    }

    fn label() -> &'static str {
        type_name::<M>()
    }
}

/// What the system tells a server.
pub(crate) struct InfoOf {
    pub(crate) info: Info,
    /// Dropped when the handler begins.
    pub(crate) waiting: Option<oneshot::Sender<()>>,
}

impl<S: GenServer> Content<S> for InfoOf {
    async fn handle(self, mut core: Box<Core<S>>) -> Handled<S> {
        let Self { info, waiting } = self;
        drop(waiting);
        let wanted = core.cx.admit(&info);
        let outcome = if wanted { core.server.info(info, &mut core.cx).await } else { Outcome::Continue };
        (core, outcome)
    }

    fn label() -> &'static str {
        type_name::<Info>()
    }
}
