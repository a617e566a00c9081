//! The modules of the crate form layers.

use reckon_harness::layers::cycles;
use std::path::Path;

#[test]
fn no_modules_depend_on_each_other_in_a_cycle() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let cycles = cycles(&library);
    assert!(cycles.is_empty(), "{cycles:#?}");
}
