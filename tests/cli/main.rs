//! The built program, driven as a user drives it: everything that can be typed or fed wrongly, and
//! the way through.

mod classical;
mod experiments;
mod groups;
mod identifiability;
mod inputs;
mod mri;
mod place;
mod restoration;
mod results;
mod runs;
mod scans;
mod speed;
mod usage;
