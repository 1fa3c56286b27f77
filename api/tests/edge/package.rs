//! Packages of other languages that tests run as their users have them: from their registries, unmodified, below the target
//! folder. Not a test.

use std::path::Path;
use tokio::process::Command;

/// Installs a package once; later runs find it.
pub async fn installed(folder: &Path, marker: &str, commands: &[&[&str]]) {
    if folder.join(marker).exists() {
        return;
    }
    std::fs::create_dir_all(folder).unwrap();
    for command in commands {
        let ran = Command::new(command[0]).args(&command[1..]).current_dir(folder).output().await;
        let ran = ran.unwrap_or_else(|error| panic!("{} is needed: {error}", command[0]));
        assert!(ran.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}
