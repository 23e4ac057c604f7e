//! The reverse-mode tape: an append-only list of operations that needs no device.
//!
//! Recording checks every shape. [`Tape::gradients`] appends the adjoint operations to the same
//! tape by the rules of `vjp`, so derivatives of derivatives work. [`plan`] compiles a tape to
//! GPU dispatches; [`reference`](mod@reference) evaluates it on the host in f64 and defines what it means.

pub mod gradcheck;
mod op;
pub mod plan;
mod record;
pub mod reference;
mod vjp;

pub use op::{AdamConstants, Binary, Distribution, Node, Op, Unary};
pub use plan::Plan;
pub use record::{Segment, Tape, Var};
