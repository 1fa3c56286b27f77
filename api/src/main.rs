//! The binary `kabar`. Everything it does is in the library.

/// With the system's allocator a fifth of a message's processor time went into small, short-lived allocations (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    kabar_api::cli::main()
}
