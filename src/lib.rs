pub mod error;
pub mod group;
pub mod shape;
