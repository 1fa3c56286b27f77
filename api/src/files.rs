//! How many files and sockets the process may have open. A system's first offer is often 1,024, which a thousand idle
//! connections use up; every process may take more without asking anybody. Not who uses them.

/// Handles kept for everything that is no connection: journal, views, providers.
const KEPT: u64 = 512;

/// Raises the limit as far as the system lets, and says how many of so many connections have room.
#[cfg(unix)]
pub(crate) fn room(wanted: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let needed = (wanted as u64).saturating_add(KEPT);
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return wanted };
    let raised = needed.min(hard);
    let may =
        if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() { raised } else { soft };
    if may >= needed {
        return wanted;
    }
    let fits = usize::try_from(may.saturating_sub(KEPT).max(may / 2)).unwrap_or(usize::MAX);
    tracing::warn!(wanted, fits, "the system allows fewer open files than edge.connections_max needs");
    fits
}

/// Elsewhere there is no such limit.
#[cfg(not(unix))]
pub(crate) fn room(wanted: usize) -> usize {
    wanted
}

#[cfg(all(test, unix))]
mod tests {
    #[test]
    fn what_the_system_does_not_allow_is_not_promised() {
        assert_eq!(super::room(16), 16);
        let most = super::room(usize::MAX / 2);
        assert!(most < usize::MAX / 2 && most > 16, "{most}");
    }
}
