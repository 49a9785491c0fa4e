//! What comparing random templates with real Helm 4.3.1 found: each case once differed.

use crate::command::options;
use chart::{Chart, Values};

fn render(template: &str) -> Result<String, String> {
    let files = [
        ("Chart.yaml", "apiVersion: v2\nname: top\nversion: 0.1.0\n"),
        ("values.yaml", "t0: [x, y, x]\n"),
        ("templates/NOTES.txt", template),
    ];
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    let chart = Chart::from_files(files.collect(), &|_| Ok(None)).map_err(|error| error.to_string())?;
    let rendered = chart::render(&chart, &Values::new(), &options("release-name", "default"));
    rendered.map(|rendered| rendered.notes).map_err(|error| error.to_string())
}

/// Templates and what they print.
const PRINTED: &[(&str, &str)] = &[
    // Numbers alone that no float holds are refused for their kind.
    (
        r#"{{ fromJson "1e400" }}"#,
        "map[Error:json: cannot unmarshal number into Go value of type map[string]interface {}]",
    ),
    (r#"{{ fromJsonArray "1e400" }}"#, "[json: cannot unmarshal number into Go value of type []interface {}]"),
    // Nil maps stay nil.
    (r#"{{ fromJson "null" | toJson }}"#, "null"),
    (r#"{{ printf "%#v" (fromJson "null") }}"#, "map[string]interface {}(nil)"),
    (r#"{{ deepEqual (fromJson "null") dict }} {{ deepCopy (fromJson "null") | toJson }}"#, "false null"),
    (r#"{{ .Chart.Annotations | toJson }}{{ .Chart.Annotations }}"#, "nullmap[]"),
    (r#"{{ dict "a" (fromJson "null") | toToml }}"#, ""),
    // Helm's own version has other names in JSON.
    (
        "{{ .Capabilities.HelmVersion | toJson }}",
        r#"{"version":"v4.3","go_version":"go1.26.8","kube_client_version":"v1.37"}"#,
    ),
    // Chunks of no size are computed with floats.
    (r#"{{ chunk -2 (list "a") }} {{ chunk -1 (list 1 2) }}"#, "[[a]] []"),
    // An action prints what a pointer points to.
    ("{{ .Capabilities | toString | trunc 3 }} {{ printf \"%.2s\" (print .Capabilities) }}", "&{{ &{"),
    (r#"{{ toToml 1i }}"#, "unsupported type for key '': complex128"),
    // A complaint about a verb names the declared type.
    (r#"{{ printf "%!" (mustToDuration "90s") }}"#, "%!!(time.Duration=90000000000)"),
    (r#"{{ printf "%s" (dict "a" .Capabilities) | trunc 35 }}"#, "map[a:%!s(*common.Capabilities=&{{v"),
    (r#"{{ printf "%t" (mustToDuration "1s") }}"#, "%!t(time.Duration=1000000000)"),
];

/// Templates and the end of their errors.
const REFUSED: &[(&str, &str)] = &[
    (r#"{{ mustToDuration "NaN" }}"#, "error calling mustToDuration: invalid duration seconds: NaN"),
    (r#"{{ mustToDuration "-Infinity" }}"#, "error calling mustToDuration: invalid duration seconds: -Inf"),
    (r#"{{ set (fromJson "null") "a" 1 }}"#, "error calling set: assignment to entry in nil map"),
    (r#"{{ mustToToml nil }}"#, "error calling mustToToml: reflect: call of reflect.Value.Type on zero Value"),
    (r#"{{ semver "1" | len }}"#, "error calling len: len of type semver.Version"),
    (r#"{{ toToml nil }}"#, "error calling toToml: reflect: call of reflect.Value.Type on zero Value"),
    (
        r#"{{ mustRegexMatch "\xff" "" }}"#,
        "error calling mustRegexMatch: error parsing regexp: invalid UTF-8: `\u{fffd}`",
    ),
];

#[test]
fn printed_as_helm_prints_it() {
    for (template, wanted) in PRINTED {
        assert_eq!(render(template).as_deref(), Ok(*wanted), "{template}");
    }
    assert!(render("{{ .Capabilities }}").is_ok_and(|text| text.starts_with("{{v1.")));
}

#[test]
fn refused_as_helm_refuses_it() {
    for (template, wanted) in REFUSED {
        let error = render(template).expect_err(template);
        assert!(error.ends_with(wanted), "{template}: {error}");
    }
}

#[test]
fn a_number_ends_where_it_ends() {
    let mut values = Values::new();
    chart::values::UserValues { json: vec!["a=10x=2,b=-1.5e3y=true".to_owned()], ..Default::default() }
        .resolve(|_| Ok(Vec::new()))
        .map(|found| values = found)
        .expect("values");
    assert_eq!(serde_json::Value::from(values), serde_json::json!({"a": 10.0, "x": 2.0, "b": -1500.0, "y": true}));
}

#[test]
fn a_values_file_gets_its_last_line_end() {
    let error = chart::values::parse(b"'").expect_err("no YAML").to_string();
    assert!(error.ends_with("yaml: line 2: found unexpected end of stream"), "{error}");
}
