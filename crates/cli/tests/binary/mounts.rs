//! The binary among mounts that only it sees. That needs namespaces of one's own; where they are missing a test says so
//! loudly and ends.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::Place;

/// Whether a process may mount something that only it sees.
pub(crate) async fn are_allowed(test: &str) -> bool {
    let mut command = Command::new("unshare");
    command.args(UNSHARED).args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    let why = match command.stdin(Stdio::null()).output().await {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("NOT TESTED: {test} needs mounts of its own ({why})");
    false
}

/// The binary of this place, after `mount` with these words has been run for it alone.
pub(crate) fn with_mount(place: &Place, mount: &[&str], arguments: &[&str]) -> Command {
    let binary = place.binary();
    let mut command = Command::new("unshare");
    let program = binary.as_std().get_program().to_str().expect("cargo's paths are text");
    let count = mount.len().to_string();
    command.args(UNSHARED).args(["sh", "-ec", MOUNT_AND_RUN, program, &count]).args(mount).args(arguments);
    for (name, value) in binary.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

const UNSHARED: [&str; 3] = ["--user", "--map-root-user", "--mount"];
/// Its name is the binary's; the first argument says how many of the others are for `mount`.
const MOUNT_AND_RUN: &str = r#"count=$1; shift
words=
while [ "$count" -gt 0 ]; do words="$words '$1'"; shift; count=$((count - 1)); done
eval "mount $words"
exec "$0" "$@""#;
