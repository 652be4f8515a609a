//! Load generators, clocks and recorders; they take addresses and sockets only.
