//! The binary `kabar`. Everything it does is in the library.

/// A message makes some two hundred short-lived allocations; with the system's allocator they were a fifth of its processor time
/// (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kabar_api::cli::main()
}
