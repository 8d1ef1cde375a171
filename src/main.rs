//! The binary. Everything lives in the library; see `src/lib.rs` for the map.
fn main() {}
