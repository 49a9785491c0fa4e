//! The Sprig function library for Go templates.
//!
//! What lives here: the functions of Sprig 3.3 (without `env` and `expandenv`, which Helm takes away), one family a
//! file, for [`gotemplate`]'s table; and what they need: lax number conversion, JSON, Go's regular expressions, dates
//! in Go's layouts, SemVer with Masterminds' rules, certificates. What does not: Helm's own functions (`include`, `tpl`,
//! `toYaml`, `lookup` …), which know about charts.
//!
//! [`functions`] builds the table from an [`Env`], which is the only source of time and randomness:
//!
//! ```
//! use std::sync::Arc;
//! use gotemplate::{Run, TemplateSet, Value};
//!
//! let functions = sprig::functions(&sprig::Env::system());
//! let mut set = TemplateSet::new(Arc::new(functions));
//! set.parse("t", r#"{{ list "b" "a" | sortAlpha | join "," | quote }}"#).unwrap();
//! let output = Arc::new(set).execute("t", &Value::Nil, &mut Run::default()).unwrap();
//! assert_eq!(output, r#""a,b""#);
//! ```

mod args;
mod calendar;
pub mod cast;
mod certificates;
mod compare;
mod date_parser;
mod dates;
mod datetime;
mod decimal;
mod defaults;
mod der;
mod dicts;
mod dsa;
mod duration;
mod encoding;
mod env;
mod hashes;
pub mod json;
mod keys;
mod layout;
mod lettercase;
mod lists;
mod merge;
mod numbers;
mod passwords;
mod paths;
mod plain_regexp;
mod random;
mod reflection;
mod regexes;
mod regexp;
pub mod semver;
mod strings;
mod text;
mod urls;
mod versions;
mod wrap;

pub use compare::deep_equal;
pub use datetime::Time;
pub use defaults::is_empty;
pub use dicts::deep_copy;
pub use duration::Duration;
pub use env::Env;
pub use merge::{MergeError, merge};
pub use plain_regexp::PlainRegexp;
pub use regexp::{Regexp, RegexpError};
pub use text::to_text;

use gotemplate::Functions;

/// Functions that take long, and the steps that a call counts as.
const SLOW: &[(&[&str], u64)] = &[
    (&["genPrivateKey"], 3_000_000),
    (&["genCA", "genSelfSignedCert", "genSignedCert", "derivePassword"], 1_000_000),
    (&["genCAWithKey", "genSelfSignedCertWithKey", "genSignedCertWithKey"], 100_000),
    (&["bcrypt", "htpasswd"], 1_000_000),
];

/// Functions that walk through their arguments all the way down.
const DEEP: &[&str] = &[
    "cat",
    "deepCopy",
    "deepEqual",
    "has",
    "join",
    "merge",
    "mergeOverwrite",
    "mustDeepCopy",
    "mustHas",
    "mustMerge",
    "mustMergeOverwrite",
    "mustToJson",
    "mustToPrettyJson",
    "mustToRawJson",
    "mustUniq",
    "mustWithout",
    "quote",
    "sortAlpha",
    "squote",
    "toJson",
    "toPrettyJson",
    "toRawJson",
    "toString",
    "toStrings",
    "uniq",
    "without",
];

/// All functions of Sprig.
pub fn functions(env: &Env) -> Functions {
    let mut table = Functions::new();
    certificates::register(&mut table, env);
    dates::register(&mut table, env);
    defaults::register(&mut table);
    dicts::register(&mut table);
    encoding::register(&mut table);
    hashes::register(&mut table);
    json::register(&mut table);
    keys::register(&mut table, env);
    lettercase::register(&mut table);
    lists::register(&mut table);
    numbers::register(&mut table, env);
    passwords::register(&mut table, env);
    paths::register(&mut table);
    random::register(&mut table, env);
    reflection::register(&mut table);
    regexes::register(&mut table);
    strings::register(&mut table);
    urls::register(&mut table);
    versions::register(&mut table);
    wrap::register(&mut table);
    for (names, steps) in SLOW {
        table.take_steps(*steps, names);
    }
    table.go_deep(DEEP);
    table
}
