//! Whether a planner does what a real kube-proxy does.
//!
//! The same Services go to two nodes: one has an API server and the real program, in the other plans are carried out. After each
//! change what the kernels hold is compared, and what programs were given to get there: [`verify`](fn@verify).
//!
//! * [`subject`]: what is installed, step by step: random sets, sets with every feature, a cluster's
//! * [`report`]: what was found, and its words
//!
//! Both families are compared at once, since one kube-proxy serves both.

mod alter;
mod mark;
mod node;
mod pair;
mod planned;
mod programs;
mod real;
pub mod report;
mod state;
pub mod subject;
mod verify;

pub use self::alter::{Alter, unchanged};
pub use self::verify::{Event, Question, verify};
