//! An older message that cannot become the newer one.
use genserver::{Cx, GenServer, HandleCast, Outcome, Routes, Wire};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde::ser::{Serialize, Serializer};

pub struct Old;

impl Wire for Old {
    const TAG: &'static str = "put";
}

impl Serialize for Old {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Old {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

pub struct New;

pub struct Store;

impl GenServer for Store {
    fn routes(routes: &mut Routes<Self>) {
        routes.upgrade_cast::<Old, New>(); //~ [E0277]
    }
}

impl HandleCast<New> for Store {
    async fn cast(&mut self, _: New, _: &mut Cx<Self>) -> Outcome {
        Outcome::Continue
    }
}
