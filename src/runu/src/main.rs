//! argv → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    runu::run(std::env::args_os().collect())
}
