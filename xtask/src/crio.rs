//! A real CRI-O as the judge of the simulated one, and of what `husk-node` writes.

use crate::kubernetes::runtime::Kind;
use crate::programs::{on_path, root, run};
use std::process::Command;

/// Cases, configurations at random and answers of the CRI, then every row of the installer's matrix, put to CRI-O built from its
/// Go module.
pub(crate) fn check() -> Result<(), String> {
    for program in ["runc", "conmon"] {
        on_path(program).ok_or_else(|| format!("{program} is not installed (Debian: apt-get install {program})"))?;
    }
    let programs = Kind::CriO.programs()?.ok_or("CRI-O has no programs")?;
    for package in ["simhost", "node"] {
        let words = ["test", "--quiet", "-p", package, "--test", "it", "--", "--ignored", "real_crio"];
        run(Command::new(env!("CARGO")).args(words).env("HUSK_REAL_CRIO", &programs).current_dir(root()))?;
        println!("{package}: passed");
    }
    Ok(())
}
