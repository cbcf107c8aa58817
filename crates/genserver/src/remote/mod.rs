//! Servers on other nodes: what travels, and what arrives.
//!
//! A message for a server is the body of one of netkernel's calls or casts:
//!
//! ```text
//! layout u8 = 1
//! target     0                                    the server netkernel's envelope names
//!            1, incarnation varint, number varint   one instance, whatever its name
//! tag        length varint, UTF-8                 at most 64 bytes
//! version    varint
//! chain      count u8, then the pids of the servers that wait for the call, oldest first   at most 32
//! message    postcard, to the end
//! ```
//!
//! A reply is the postcard of the message's reply type alone.

pub(crate) mod body;
pub(crate) mod inbox;
pub(crate) mod monitors;
pub(crate) mod refusal;
