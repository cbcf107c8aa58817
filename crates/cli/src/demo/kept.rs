//! Nodes that outlive the demonstration.

use std::path::PathBuf;

use clusterluck::netkernel::{Address, NodeId};
use serde_json::{Value, json};

use super::nodes::COOKIE_FILE;
use crate::usage::program;

/// The nodes that run on, and the folder of all they need.
pub(super) struct Kept {
    pub(super) nodes: Vec<KeptNode>,
    pub(super) folder: PathBuf,
}

/// One of them.
pub(super) struct KeptNode {
    pub(super) id: NodeId,
    pub(super) address: Address,
    pub(super) pid: Option<u32>,
}

impl Kept {
    /// What to try on them, and how to stop them.
    pub(super) fn text(&self) -> String {
        let program = program();
        let port = self.nodes.first().map_or(0, |node| node.address.port());
        let pids: Vec<String> =
            self.nodes.iter().filter_map(|node| node.pid).map(|pid| pid.to_string()).collect();
        format!(
            "\nThe nodes run on. To look at them:\n\
             \n  export CLUSTERLUCK_COOKIE_FILE={}\
             \n  {program} -p {port} inspect\
             \n  {program} -p {port} members\
             \n  {program} -p {port} owner user:42 -n 3\
             \n\nTo stop them, and then to remove what they wrote:\n\
             \n  kill {}\
             \n  rm -r {}\n",
            self.folder.join(COOKIE_FILE).display(),
            pids.join(" "),
            self.folder.display(),
        )
    }

    /// The same for programs.
    pub(super) fn document(&self) -> Value {
        let node = |node: &KeptNode| {
            json!({
                "id": node.id.as_str(),
                "host": node.address.host(),
                "port": node.address.port(),
                "pid": node.pid,
            })
        };
        json!({
            "folder": self.folder.display().to_string(),
            "cookie_file": self.folder.join(COOKIE_FILE).display().to_string(),
            "nodes": self.nodes.iter().map(node).collect::<Value>(),
        })
    }
}
