//! How answers look.

pub(crate) mod json;
pub(crate) mod ring;
pub(crate) mod table;
pub(crate) mod text;
