//! What holds of every ring, tried on rings drawn at random and checked against naive models.

#[path = "../cases/mod.rs"]
mod cases;
mod change;
mod model;
mod placement;
mod ring;
mod sets;
mod snapshot;
#[path = "../tied/mod.rs"]
mod tied;
