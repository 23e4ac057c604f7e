pub mod error;
pub mod shader;
pub mod shape;
