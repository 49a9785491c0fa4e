//! The stages of a node's life, in the order in which they run.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One step on a node. Installation runs [`Stage::INSTALL`], removal [`Stage::REMOVE`], each in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Can this host do what the values ask? Reads only.
    HostCheck,
    /// Puts the payload's components on the host and switches to them.
    Artifacts,
    /// Configures the container runtime, restarts it once and proves that it serves every handler.
    Cri,
    /// Marks the Node as ready for confidential pods.
    Label,
    /// Takes the mark off the Node.
    Unlabel,
    /// Takes our lines out of the container runtime's configuration and restarts it.
    RevertCri,
    /// Removes the payload's files.
    RemoveArtifacts,
}

impl Stage {
    /// The stages of an installation.
    pub const INSTALL: [Stage; 4] = [Stage::HostCheck, Stage::Artifacts, Stage::Cri, Stage::Label];
    /// The stages of a removal.
    pub const REMOVE: [Stage; 3] = [Stage::Unlabel, Stage::RevertCri, Stage::RemoveArtifacts];

    /// Returns the name used for containers, commands and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::HostCheck => "host-check",
            Stage::Artifacts => "artifacts",
            Stage::Cri => "cri",
            Stage::Label => "label",
            Stage::Unlabel => "unlabel",
            Stage::RevertCri => "revert-cri",
            Stage::RemoveArtifacts => "remove-artifacts",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Stage::INSTALL
            .into_iter()
            .chain(Stage::REMOVE)
            .find(|stage| stage.name() == text)
            .ok_or_else(|| format!("unknown stage `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_match_their_serialised_form() {
        for stage in Stage::INSTALL.into_iter().chain(Stage::REMOVE) {
            assert_eq!(stage.name().parse::<Stage>(), Ok(stage));
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.name());
        }
    }
}
