//! The command `quittance`.

use std::process::ExitCode;

fn main() -> ExitCode {
    quittance_node::cli::main()
}
