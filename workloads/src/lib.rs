//! Load generators, clocks and recorders; they take addresses and sockets only.
//!
//! * [`clock`]: the wall clock, what it costs to read it, and the core it is read on
//! * [`schedule`]: intended start times, fixed before the run
//! * [`recorder`]: histograms of response and service time, which never drop a value
//! * [`target`]: what a probe is aimed at, who may receive it, and who did
//! * [`sources`]: a client address and port for every new flow
//! * [`wire`]: packets of both IP families and three protocols, and ICMP errors, built and read
//! * [`probe`]: one packet through a pair of TUN devices, timed and verified
//! * [`connection`]: all packets of a TCP connection through a load balancer, timed and verified
//! * [`load`]: TCP, UDP and HTTP load, in open and closed loop, and the server that answers it
//!
//! Nothing here opens a namespace or a device: everything runs on the calling thread, and therefore in
//! whichever network namespace that thread is in.

pub mod clock;
pub mod connection;
mod device;
pub mod load;
pub mod probe;
pub mod recorder;
pub mod schedule;
pub mod sources;
pub mod target;
pub mod wire;
