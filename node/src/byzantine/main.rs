//! The command `quittance-byzantine`: `quittance` with a validator that lies, as
//! `QUITTANCE_BYZANTINE` says. For tests only.

use std::process::ExitCode;

fn main() -> ExitCode {
    quittance_node::cli::main()
}
