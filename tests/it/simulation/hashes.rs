//! A hash for the trace of each seed, so that two processes can be compared.

use std::fs::File;
use std::io::Write;

use sha2::{Digest, Sha256};

/// Names the file that the hashes are written to.
const VARIABLE: &str = "HUBFORCE_TRACE_HASHES";

/// The file for the hashes, if somebody named one.
pub(crate) struct Hashes(Option<File>);

impl Hashes {
    pub(crate) fn from_environment() -> Self {
        Self(std::env::var_os(VARIABLE).map(|path| File::create(path).unwrap()))
    }

    /// Writes the hash of a trace on a line of its own.
    pub(crate) fn add(&mut self, seed: u64, trace: &[String]) {
        let Some(file) = &mut self.0 else { return };
        let mut hasher = Sha256::new();
        for line in trace {
            hasher.update(line.as_bytes());
            hasher.update(b"\n");
        }
        write!(file, "{seed} ").unwrap();
        hasher.finalize().iter().try_for_each(|byte| write!(file, "{byte:02x}")).unwrap();
        writeln!(file).unwrap();
    }
}
