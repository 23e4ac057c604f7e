pub mod error;
pub mod reference;
pub mod shape;
