//! The binary `kabar`. Everything it does is in the library.

/// With the system's allocator a fifth of a message's processor time went into small, short-lived allocations (`benches/README.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // The allocator keeps room in pieces that one huge page would fill with zeros: an idle server took 75 MB instead of 45,
    // and a busy one was no faster. Where the system does not know the word, nothing is lost.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    kabar_api::cli::main()
}
