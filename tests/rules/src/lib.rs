//! Rules of this repository, as tests: layers, generated files, sizes. Depends on no crate of ours, so that it can generate the
//! code that they are built from.

pub mod codegen;
