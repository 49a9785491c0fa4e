//! Semantic versions read as loosely as Helm does, and constraints on them; the rules are those of template functions.

pub use sprig::semver::{Constraint, SemverError, Version};

/// Whether `version` lies in `range`; never when either is malformed.
pub fn in_range(range: &str, version: &str) -> bool {
    match (Constraint::parse(range), Version::parse(version)) {
        (Ok(range), Ok(version)) => range.check(&version),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, version, allowed) in [
            (">=1.20", "1.37.0", true),
            (">=1.20", "1.37.0-gke.1", false),
            (">=1.20-0", "1.37.0-gke.1", true),
            ("1 - 2", "2.0.0", true),
            ("^0.2.3", "0.3.0", false),
            ("*", "1.2.3", true),
            ("junk", "1.2.3", false),
            (">=1.99.0", "v1.99.1", true),
        ] {
            assert_eq!(in_range(range, version), allowed, "{range} {version}");
        }
    }
}
