//! The binary. Everything lives in the library; see `src/lib.rs` for the map.

use std::process::ExitCode;

fn main() -> ExitCode {
    hubforce::cli::main()
}
