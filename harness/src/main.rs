//! The svcbench command line.

fn main() {}
