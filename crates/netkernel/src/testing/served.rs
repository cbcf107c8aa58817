//! A server of the layer under test, as the suite of [`Dispatch`](crate::Dispatch) sees it.

use std::fmt;

use bytes::Bytes;

use crate::net::BoxFuture;
use crate::node::ServerName;

/// A server that a [`Dispatch`](crate::Dispatch) under test has, with a mailbox for some messages, 20 at least and 100,000 at most.
pub trait Served: Send {
    /// Its name.
    fn name(&self) -> ServerName;

    /// A cast that says this number, as the dispatch reads it.
    fn cast_body(&self, number: u32) -> Bytes;

    /// A call that says this number, as the dispatch reads it.
    fn call_body(&self, number: u32) -> Bytes;

    /// The reply that says this number, as the dispatch writes it.
    fn reply_body(&self, number: u32) -> Bytes;

    /// A cast that the dispatch refuses for good, though the server is there, if there are such.
    fn refused_body(&self) -> Option<Bytes> {
        None
    }

    /// Completes when the server has dealt with its next message. It deals with none but for this, though it may take one
    /// out of its mailbox in advance; and it goes on while calls that it has dealt with are not answered.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the server has dealt with nothing.
    fn next(&mut self) -> BoxFuture<'_, Taken>;

    /// Ends the server for good, with what is in its mailbox.
    fn end(&mut self) -> BoxFuture<'_, ()>;
}

/// A message that a server has dealt with, and the number it said.
#[derive(Debug)]
pub enum Taken {
    /// A cast.
    Cast(u32),
    /// A call, with what answers it.
    Call(u32, Box<dyn Asked>),
}

/// A call that a server has dealt with. Dropped, it is not answered.
pub trait Asked: Send + fmt::Debug {
    /// Answers with this number.
    fn reply(self: Box<Self>, number: u32);

    /// Whether nobody waits for the answer any more.
    fn is_cancelled(&self) -> bool;

    /// Completes when nobody waits for the answer any more.
    fn cancelled(&mut self) -> BoxFuture<'_, ()>;
}
