//! Groups of rotations and mirrors of the plane, finite and continuous, their orthogonal
//! representations, and the bases of the convolution kernels that commute with them.
//!
//! A feature map with values in a representation `rho` moves as
//! `(T_g f)(x) = rho(g) f(R_g^-1 x)`, and a convolution commutes with `T_g` exactly if its kernel
//! satisfies the constraint of Celledoni et al. 2021, eq. 8,
//!
//! ```text
//! k(R_g x) = rho_out(g) k(x) rho_in(g)^-1      for every g and x.
//! ```
//!
//! Every question here is one question: which vectors of a tensor product of representations stay
//! where they are? `invariants` answers it for kernels on the pixel grid
//! ([`KernelBasis::complete`]), for circular harmonics ([`KernelBasis::harmonic`]) and for the
//! change of basis into irreps ([`Representation::decompose`]). A continuous group asks the same of
//! finitely many rotations, as many as its frequencies need. Everything is f64 on the host.
//!
//! ```
//! use equilens::group::{Group, KernelBasis, Representation};
//!
//! let c4: Group = "C4".parse()?;
//! let basis =
//!     KernelBasis::complete(c4, &Representation::Trivial, &Representation::Regular, 3)?;
//! assert_eq!(basis.shape(), [9, 4, 1, 3, 3]);
//! # Ok::<(), equilens::error::Error>(())
//! ```

mod cache;
mod decomposition;
mod field_type;
mod harmonic;
mod invariants;
mod irrep;
mod kernel_basis;
mod planar;
mod representation;
mod restriction;
mod subgroup;
mod symmetric;
#[cfg(test)]
mod testing;

pub use decomposition::Decomposition;
pub use field_type::FieldType;
pub use irrep::Irrep;
pub use kernel_basis::KernelBasis;
pub use planar::Group;
pub use representation::Representation;
pub use restriction::Restriction;
pub use subgroup::Subgroup;
pub use symmetric::{Butterfly, FieldKind, Load, Sum, SymmetricConv, SymmetricTable, Term};
