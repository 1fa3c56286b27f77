//! Pages of the documentation that tests here make: printed, and compared with what is committed. Not a test.

use std::path::Path;

/// Prints a page and holds the committed one against it.
pub fn hold(name: &str, made: &str) {
    println!("{made}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../api/docs").join(name);
    if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "api/docs/{name} is old: run this test with KABAR_WRITE_PAGES=1");
}
