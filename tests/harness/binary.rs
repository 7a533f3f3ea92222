//! The program under test.

use std::{
    env,
    path::{Path, PathBuf},
    sync::OnceLock,
};

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
        // The whole workspace, so that the crates it depends on are built with
        // the features that `cargo test --workspace` has built them with.
        escargot::CargoBuild::new()
            .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
            .arg("--workspace")
            .bin("quittance")
            .current_release()
            .run()
            .expect("the program under test does not build")
            .path()
            .to_owned()
    })
}
