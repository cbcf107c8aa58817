//! The guide's pages as documentation tests: `cargo test` compiles and runs each Rust block in them.
//!
//! To read the guide as a book: `mdbook serve docs`. A page that is not named here fails `cargo xtask tidy`.

#[cfg(doctest)]
#[doc = include_str!("../pages/introduction.md")]
mod introduction {}

#[cfg(doctest)]
#[doc = include_str!("../pages/getting-started.md")]
mod getting_started {}

#[cfg(doctest)]
#[doc = include_str!("../pages/three-machines.md")]
mod three_machines {}

#[cfg(doctest)]
#[doc = include_str!("../pages/servers.md")]
mod servers {}

#[cfg(doctest)]
#[doc = include_str!("../pages/sharding.md")]
mod sharding {}

#[cfg(doctest)]
#[doc = include_str!("../pages/causality.md")]
mod causality {}

#[cfg(doctest)]
#[doc = include_str!("../pages/operations.md")]
mod operations {}

#[cfg(doctest)]
#[doc = include_str!("../pages/security.md")]
mod security {}

#[cfg(doctest)]
#[doc = include_str!("../pages/from-the-original.md")]
mod from_the_original {}
