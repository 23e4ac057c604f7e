//! Every iterative method against minimisers found by SciPy and by an interior-point solver, against
//! dense arithmetic and against each other; how runs start and stop; how weights are chosen.

mod minimisers;
mod peers;
mod plug_and_play;
mod runs;
mod support;
mod weights;
