//! A port for a service that is a process of its own, beside the emulators.

use std::io;
use std::net::TcpListener;
use std::ops::Range;

/// Below what systems hand out by themselves (from 32768 up on Linux, from 49152 up elsewhere), so that nobody takes the port while the
/// service is killed and started again.
const PORTS: Range<u16> = 15_000..30_000;

/// How many ports to try; more are never taken by chance.
const TRIES_MAX: usize = 100;

/// A port of this machine that was free a moment ago, and that only somebody who wants this very one takes.
///
/// # Errors
///
/// Why the last port tried could not be listened on.
pub fn free_port() -> io::Result<u16> {
    let mut last = io::Error::other("no port was tried");
    for port in std::iter::repeat_with(|| fastrand::u16(PORTS)).take(TRIES_MAX) {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}
