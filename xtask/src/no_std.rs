//! Proof that a crate reaches no standard library.
//!
//! Where a target without `std` is installed (`rustup target add thumbv7em-none-eabi`), building for it is the proof.
//! Most machines have none, and there `cargo check --no-default-features` proves nothing, because a dependency may
//! link `std` unseen. A program that brings its own allocator and panic handler cannot: should anything link `std`,
//! there are two of each, and the compiler says so (E0152). That one is built everywhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{self, cargo};

/// A crate that must build without `std`.
struct Bare {
    package: &'static str,
    folder: &'static str,
    /// One expression that makes something of the crate, so that it is linked.
    usage: &'static str,
}

/// Builds a program without `std` around each of the crates that must not need it.
pub(crate) fn run(root: &Path) -> Result<()> {
    let targets = installed_targets()?;
    if targets.is_empty() {
        println!(
            "no target without std is installed (known: {}): linking alone proves it",
            TARGETS.join(", ")
        );
    }
    BARE.iter().try_for_each(|bare| build(root, bare, &targets))
}

/// Which of the known targets without `std` the toolchain has.
fn installed_targets() -> Result<Vec<&'static str>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).args(["--print", "target-libdir"]).output().context("asking rustc")?;
    let host =
        PathBuf::from(String::from_utf8(output.stdout).context("the path of the host's libraries")?.trim());
    let rustlib = host.ancestors().nth(2).context("the folder of all targets")?;
    Ok(TARGETS.into_iter().filter(|target| rustlib.join(target).join("lib").is_dir()).collect())
}

fn build(root: &Path, bare: &Bare, targets: &[&str]) -> Result<()> {
    let folder = root.join("target/no-std").join(bare.folder);
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("Cargo.toml"), manifest(root, bare)))
        .and_then(|()| fs::write(folder.join("lib.rs"), program(bare.usage)))
        .and_then(|()| fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).map(drop));
    written.with_context(|| format!("writing {}", folder.display()))?;
    cargo::run(cargo(&folder).args(["build", "--quiet"]))?;
    targets
        .iter()
        .try_for_each(|target| cargo::run(cargo(&folder).args(["build", "--quiet", "--target", target])))
}

fn manifest(root: &Path, bare: &Bare) -> String {
    let path = root.join("crates").join(bare.folder);
    format!(
        r#"[workspace]

[package]
name = "no-std-{folder}"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"
crate-type = ["staticlib"]

[profile.dev]
panic = "abort"

[dependencies.bare]
package = "{package}"
path = "{path}"
default-features = false
features = ["serde"]
"#,
        folder = bare.folder,
        package = bare.package,
        path = path.display(),
    )
}

fn program(usage: &str) -> String {
    format!(
        r#"#![no_std]

use core::alloc::{{GlobalAlloc, Layout}};

struct NoMemory;

unsafe impl GlobalAlloc for NoMemory {{
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {{
        core::ptr::null_mut()
    }}
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {{}}
}}

#[global_allocator]
static MEMORY: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {{
    loop {{}}
}}

#[unsafe(no_mangle)]
pub extern "C" fn entry() -> u64 {{
    {usage}
}}
"#
    )
}

/// Without `std`, with the pointer-sized atomics that `Arc` needs.
const TARGETS: [&str; 3] = ["thumbv7em-none-eabi", "riscv32imac-unknown-none-elf", "x86_64-unknown-none"];

/// The crates that embedders use.
const BARE: [Bare; 2] = [
    Bare {
        package: "clusterluck-vclock",
        folder: "vclock",
        usage: "bare::VClock::<u64>::new().increment(1).map_or(0, |dot| dot.counter())",
    },
    Bare {
        package: "clusterluck-hashring",
        folder: "hashring",
        usage: "bare::HashRing::<u64>::from_nodes([1, 2]).map_or(0, |ring| ring.len() as u64)",
    },
];
