pub mod data;
pub mod error;
pub mod metrics;
pub mod report;
pub mod shape;
