//! The binary `kabar`. Everything it does is in the library.

fn main() -> std::process::ExitCode {
    kabar_api::cli::main()
}
