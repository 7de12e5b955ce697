//! The `muster` program: see `muster --help`, and docs/cli.md.

fn main() -> std::process::ExitCode {
    muster_cli::main()
}
