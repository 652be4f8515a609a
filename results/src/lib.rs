//! Rows, statistics, plots and reports; never sees a kernel.
