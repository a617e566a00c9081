//! The modules of the crate form layers.

use reckon_harness::layers::circles;
use std::path::Path;

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let circles = circles(&library);
    assert!(circles.is_empty(), "{circles:#?}");
}
