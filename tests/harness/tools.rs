//! Tools that are not Rust crates: where they are, and what to do without them.
//!
//! | variable | names |
//! |---|---|
//! | `QUITTANCE_TEST_PYTHON` | a Python that has the package aics-tlog 0.2.1 |
//! | `QUITTANCE_TEST_NODE_MODULES` | the `node_modules` folder made from `tests/outside/package.json` |
//! | `QUITTANCE_TEST_CHROMEDRIVER`, `QUITTANCE_TEST_CHROMIUM` | Chromium's driver, and Chromium, where they are not in `PATH` |
//! | `QUITTANCE_TEST_FAKETIME` | `libfaketime.so.1` of the package libfaketime, where it is not found |
//! | `QUITTANCE_TEST_REQUIRE_ALL` | set to `1`: a missing tool fails the test instead of skipping it |

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

/// A Python with the package `aics-tlog`.
#[must_use]
pub fn python() -> Option<PathBuf> {
    found("a Python with aics-tlog (QUITTANCE_TEST_PYTHON)", variable("QUITTANCE_TEST_PYTHON"))
}

/// The folder of npm packages, and the program that runs them.
#[must_use]
pub fn node_modules() -> Option<(PathBuf, PathBuf)> {
    let modules = variable("QUITTANCE_TEST_NODE_MODULES").or_else(|| {
        let folder = script("node_modules");
        folder.is_dir().then_some(folder)
    });
    let both = modules.zip(in_path("node"));
    found("node and the packages of tests/outside (QUITTANCE_TEST_NODE_MODULES)", both)
}

/// Chromium's driver and Chromium.
#[must_use]
pub fn chromium() -> Option<(PathBuf, PathBuf)> {
    let driver = variable("QUITTANCE_TEST_CHROMEDRIVER").or_else(|| in_path("chromedriver"));
    let browser = variable("QUITTANCE_TEST_CHROMIUM").or_else(|| in_path("chromium"));
    found("chromedriver and chromium (QUITTANCE_TEST_CHROMEDRIVER)", driver.zip(browser))
}

/// A library that shows another time to the program it is loaded into.
#[must_use]
pub fn faketime() -> Option<PathBuf> {
    let installed = || {
        let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
        folders
            .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
            .find(|library| library.is_file())
    };
    let library = variable("QUITTANCE_TEST_FAKETIME").or_else(installed);
    found("libfaketime of the package faketime (QUITTANCE_TEST_FAKETIME)", library)
}

/// Whether network namespaces can be made: that takes root and iproute2.
#[must_use]
pub fn network_namespaces() -> Option<()> {
    let may = rustix::process::geteuid().is_root() && in_path("ip").is_some();
    found("root and ip of the package iproute2, for network namespaces", may.then_some(()))
}

/// A program in `PATH` that a test can do without.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    found(name, in_path(name))
}

/// A script in `tests/outside`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("outside").join(name)
}

fn found<T>(what: &str, tool: Option<T>) -> Option<T> {
    if tool.is_none() {
        let required = env::var_os("QUITTANCE_TEST_REQUIRE_ALL") == Some(OsString::from("1"));
        assert!(!required, "missing: {what}");
        println!("skipped: this test needs {what}");
    }
    tool
}

fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}
