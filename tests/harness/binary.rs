//! The program under test.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// How this workspace is built from a test. The whole of it, so that the crates
/// it depends on have the features with which `cargo test --workspace` has built
/// them; and without what Cargo tells a test of itself, which some of their build
/// scripts look at and would be run anew for.
fn build() -> escargot::CargoBuild {
    let build = escargot::CargoBuild::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .arg("--workspace");
    env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| {
            name == "CARGO_MANIFEST_DIR" || name.to_string_lossy().starts_with("CARGO_PKG_")
        })
        .fold(build, escargot::CargoBuild::env_remove)
}

/// The `quittance` program: the one that `QUITTANCE_BIN` names, or else built
/// from this workspace, once for each test process.
///
/// # Panics
/// It cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("QUITTANCE_BIN") {
            return PathBuf::from(path);
        }
        build()
            .bin("quittance")
            .current_release()
            .run()
            .expect("the program under test does not build")
            .path()
            .to_owned()
    })
}

/// The program whose validator lies as its environment says. It is built without
/// optimisations even where other tests run with them: it refuses to be anything
/// else than a test.
///
/// # Panics
/// It cannot be built.
pub fn byzantine() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        build()
            .features("quittance-node/byzantine")
            .bin("quittance-byzantine")
            .run()
            .expect("the lying program does not build")
            .path()
            .to_owned()
    })
}
