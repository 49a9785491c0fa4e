//! Every function with every sort of argument: errors are fine, panics are not.

use std::sync::Arc;

use gotemplate::{Limits, Run, TemplateSet, Value};

use crate::environment;

/// Functions that work for long.
const SLOW: [&str; 9] = [
    "bcrypt",
    "derivePassword",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSignedCert",
    "genSignedCertWithKey",
    "htpasswd",
];

const ARGUMENTS: [&str; 34] = [
    "0",
    "1",
    "-1",
    "3",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "-0.0",
    "1e308",
    "\"\"",
    "\"a\"",
    "\"é☺b\"",
    "\"1\"",
    "\"-\"",
    "\"[a-\"",
    "\"2006-01-02T15:04:05.999Z07:00 Jan _2 MST\"",
    "\"YWJj\"",
    "(b64dec \"/w==\")",
    "(list)",
    "(list 1 \"a\" nil)",
    "(list (list))",
    "(until 3)",
    "(dict)",
    "(dict \"a\" 1)",
    "(dict \"a\" (dict \"b\" nil))",
    "(split \",\" \"a,b\")",
    "nil",
    "true",
    "now",
    "(now.Sub now)",
    "(semver \"1.2.3-rc.1\")",
    "(toDate \"2006\" \"9999\")",
    "(int64 -9223372036854775808)",
    "(float64 \"inf\")",
];

#[test]
fn no_argument_brings_a_function_down() {
    let functions = Arc::new(sprig::functions(&environment()));
    let mut names: Vec<String> = functions.names().filter(|n| !SLOW.contains(n)).map(str::to_owned).collect();
    names.sort();
    let mut calls = 0;
    let mut succeeded = 0;
    for name in &names {
        let Some(function) = functions.get(name) else { continue };
        let signature = function.signature();
        let count = signature.params.len() + usize::from(signature.variadic.is_some()) * 2;
        // All combinations of up to two arguments, a deterministic sample of longer ones.
        let total = ARGUMENTS.len().pow(count as u32);
        let step = (total / 1_200).max(1) | 1;
        for sample in (0..total).step_by(step) {
            let arguments: Vec<&str> =
                (0..count).map(|i| ARGUMENTS[sample / ARGUMENTS.len().pow(i as u32) % ARGUMENTS.len()]).collect();
            let text = format!("{{{{ {name} {} }}}}", arguments.join(" "));
            let mut set = TemplateSet::new(functions.clone());
            set.parse("t", &text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let limits = Limits { output: 1 << 20, ..Limits::default() };
            succeeded += usize::from(Arc::new(set).execute("t", &Value::Nil, &mut Run::new(limits)).is_ok());
            calls += 1;
        }
    }
    assert!(names.len() > 190 && calls > 50_000, "{} functions, {calls} calls", names.len());
    assert!(succeeded > calls / 20, "{succeeded} of {calls}");
}

#[test]
fn large_results_are_refused() {
    for text in [
        r#"{{ repeat 1000000000 "x" }}"#,
        r#"{{ indent 1000000000 "x" }}"#,
        "{{ until 1000000000000 }}",
        "{{ seq 1000000000000 }}",
        "{{ randAlpha 1000000000000 }}",
        r#"{{ $x := repeat 1000 "a" }}{{ range 100 }}{{ $x = replace "a" "aa" $x }}{{ end }}"#,
        r#"{{ $x := repeat 1000 "a" }}{{ range 100 }}{{ $x = regexReplaceAll "a" $x "aa" }}{{ end }}"#,
        "{{ $x := list 1 }}{{ range 100 }}{{ $x = concat $x $x }}{{ end }}",
    ] {
        let mut set = TemplateSet::new(Arc::new(sprig::functions(&environment())));
        set.parse("t", text).unwrap();
        let limits = Limits { output: 1 << 17, ..Limits::default() };
        let error = Arc::new(set).execute("t", &Value::Nil, &mut Run::new(limits)).unwrap_err();
        assert!(matches!(error, gotemplate::Error::Limit(_)), "{text}: {error}");
    }
}

#[test]
fn maps_inside_themselves_are_refused() {
    for call in ["toJson $m", "deepCopy $m", "merge $m (dict \"a\" $m)", "deepEqual $m (dict \"a\" $m)", "toString $m"]
    {
        let text = format!(
            "{{{{ $m := dict }}}}{{{{ $_ := set $m \"a\" $m }}}}{{{{ $x := {call} }}}}done{{{{ $_ := unset $m \"a\" }}}}"
        );
        let mut set = TemplateSet::new(Arc::new(sprig::functions(&environment())));
        set.parse("t", &text).unwrap();
        // Either an answer or an error, but an end.
        let _ = Arc::new(set).execute("t", &Value::Nil, &mut Run::default());
    }
}
