//! How long networks and kernel bases of large groups take to make, on the host.

use equilens::error::Result;
use equilens::group::{Group, KernelBasis, Representation};
use equilens::models::{LearnedProximalGradient, LearnedProximalGradientConfig, Network};
use equilens::nn::BasisKind;
use std::time::Instant;

/// Seconds to make a network of 8 blocks, width 96, whose 24 layers ask for three bases.
fn seconds(group: Group, basis: BasisKind, kernel_size: usize, count: usize) -> Result<f64> {
    let config = LearnedProximalGradientConfig {
        group,
        basis,
        kernel_size,
        ..Default::default()
    };
    let start = Instant::now();
    let network = LearnedProximalGradient::new(&config, 1, 1.0)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{group}, {kernel_size}x{kernel_size}: {seconds:.4} s");
    assert_eq!(network.parameters().count(), count);
    Ok(seconds)
}

/// That of the papers with the most rotations.
#[test]
fn a_network_of_twelve_rotations_is_made_in_well_under_a_second() -> Result<()> {
    let seconds = seconds(Group::cyclic(12), BasisKind::Harmonic, 3, 42_032)?;
    assert!(seconds < 0.5, "{seconds} s");
    Ok(())
}

/// Every kernel of 7x7 pixels: its layers also verify that their bases commute with the group.
#[test]
fn a_network_of_large_kernels_with_mirrors_is_made_in_under_a_second() -> Result<()> {
    let once = || seconds(Group::dihedral(4), BasisKind::Complete, 7, 512_976);
    // The machine may be busy with other tests: the better of two.
    let seconds = once()?.min(once()?);
    assert!(seconds < 1.0, "{seconds} s");
    Ok(())
}

#[test]
fn a_large_basis_of_twelve_rotations_is_made_in_well_under_a_second() -> Result<()> {
    let regular = Representation::Regular;
    let start = Instant::now();
    let basis = KernelBasis::harmonic(Group::cyclic(12), &regular, &regular, 7)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("C12 regular to regular, 7x7: {seconds:.4} s");
    // 1 + 5 + 7 + 5 angular functions for each rotation.
    assert_eq!(basis.len(), 18 * 12);
    assert!(seconds < 0.5, "{seconds} s");
    Ok(())
}
