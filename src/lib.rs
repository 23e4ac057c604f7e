pub mod error;
pub mod group;
pub mod reference;
pub mod shader;
pub mod shape;
