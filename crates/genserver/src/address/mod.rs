//! Where to send: addresses, and the futures of what was sent.

mod addr;
mod call;
mod cast;
mod destination;
mod local;
mod many;
mod target;

pub use addr::Addr;
pub use call::Call;
pub use cast::Cast;
pub use local::LocalAddr;
pub use many::Multicall;

pub(crate) use addr::reading;
