//! YAML as Helm reads and writes it.
//!
//! Helm does not speak the YAML of the current specification. It speaks what the Go library `sigs.k8s.io/yaml` makes of
//! it: a YAML 1.1 reader whose `yes`, `on` and `y` are booleans (as keys too), whose result is turned into JSON before
//! anybody sees it, and a writer that sorts keys naturally, folds at eighty columns and quotes whatever an older parser
//! could mistake. Charts depend on every one of these habits, so they live here in one place: the reader ([`parse`],
//! [`to_json`], [`unmarshal`]), the writer ([`to_yaml`], [`to_yaml_pretty`], [`emit`]), and the two number spellings
//! that Go has ([`number`]).
//!
//! The scanner follows libyaml, which Go's reader is a port of, so that error positions agree.
//! Nothing in this crate knows of templates, charts or Kubernetes.

mod decode;
mod emit;
mod error;
mod go_syntax;
mod json;
mod node;
pub mod number;
mod order;
mod resolve;
mod scan;
mod scan_property;
mod scan_scalar;
mod tree;
mod write;

pub use decode::{MAX_DEPTH, MAX_NODES, Strictness, parse, parse_strict, parse_tree};
pub use emit::{Node, Style, emit};
pub use error::Error;
pub use json::{Expect, to_json, tree_as, unmarshal, unmarshal_as, with_float_numbers, with_json_numbers};
pub use number::{json_text, json_text_pretty};
pub use tree::Tree;
pub use write::{to_yaml, to_yaml_pretty};
