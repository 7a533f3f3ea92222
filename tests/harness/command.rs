//! Running the program's commands as a person or a script does.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::binary;

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as JSON.
    ///
    /// # Panics
    /// It is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.text(), self.stderr))
    }

    /// Checks that it ended well, and gives it back.
    ///
    /// # Panics
    /// It did not.
    #[must_use = "or drop it with `let _ =`"]
    pub fn success(self) -> Self {
        assert_eq!(
            self.code,
            Some(0),
            "{}\n{}",
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        self
    }
}

/// Runs `quittance` with these arguments and waits until it ends.
///
/// # Panics
/// It cannot be started.
pub fn quittance<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Ended {
    quittance_in(Path::new(env!("CARGO_MANIFEST_DIR")), arguments)
}

/// As [`quittance`], in the folder `folder`.
///
/// # Panics
/// It cannot be started.
pub fn quittance_in<A: AsRef<OsStr>>(
    folder: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Ended {
    let output = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .output()
        .expect("the program does not start");
    Ended::of(output)
}
