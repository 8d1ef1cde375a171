//! When to try again: pure functions from what happened to what to do next.
