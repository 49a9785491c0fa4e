//! Integration tests: templates and the answers of Go's own text/template.

mod golden;
mod limits;
mod properties;
