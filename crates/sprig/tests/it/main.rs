//! Integration tests: expressions and the answers of real Helm.

mod golden;
