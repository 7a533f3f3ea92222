//! The command `quittance`.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Gives back what it no longer needs. The system's allocator kept a hundred
/// megabytes for ever after each large merge of the index, in pieces between
/// what lives long.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    quittance_node::cli::main()
}
