//! The documents programs read, shaped as the original's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clusterluck::control::{InspectedMember, Inspection, NodeInfo};
use serde_json::{Value, json};

/// `{"ok": true, "data": …}`, or without data where there is none.
pub(crate) fn success(data: Option<&Value>) -> Value {
    match data {
        Some(data) => json!({"ok": true, "data": data}),
        None => json!({"ok": true}),
    }
}

/// `{"ok": false, "error": {"message": …, "_error": true}}`, with `advice` where the original's wording gives none.
pub(crate) fn failure(message: &str, advice: Option<&str>) -> Value {
    let mut error = json!({"message": message, "_error": true});
    if let Some(advice) = advice {
        error["advice"] = json!(advice);
    }
    json!({"ok": false, "error": error})
}

/// `{"id": …, "host": …, "port": …}`
pub(crate) fn node(node: &NodeInfo) -> Value {
    json!({"id": node.id, "host": node.host, "port": node.port})
}

/// The whole ring: `rfactor` is the default weight, `pfactor` the replicas beside the owner, and each key the
/// base64 of a point as eight bytes, the most significant first. The original's end there; what a terminal shows of the
/// ring follows.
pub(crate) fn inspection(ring: &Inspection) -> Value {
    let tree = ring.points.iter().filter_map(|(point, member)| {
        let member = ring.members.get(usize::try_from(*member).ok()?)?;
        Some(json!({"key": STANDARD.encode(point.to_be_bytes()), "value": node(&member.node)}))
    });
    json!({
        "rfactor": ring.default_weight,
        "pfactor": ring.replicas.saturating_sub(1),
        "tree": tree.collect::<Vec<_>>(),
        "ring": ring.ring,
        "fingerprint": ring.fingerprint,
        "members": ring.members.iter().map(member).collect::<Value>(),
    })
}

fn member(member: &InspectedMember) -> Value {
    json!({
        "id": member.node.id,
        "host": member.node.host,
        "port": member.node.port,
        "weight": member.weight,
        "ownership": member.ownership,
        "status": if member.joining { "joining" } else { "member" },
        "liveness": member.liveness,
        "connected": member.connected,
    })
}
