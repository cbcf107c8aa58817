//! The hashring tables.

fn main() {}
