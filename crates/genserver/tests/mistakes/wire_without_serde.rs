//! A wire identity for what serde does not know.
use genserver::Wire;

pub struct Put;

impl Wire for Put { //~ [E0277]
    const TAG: &'static str = "put";
}
