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
    // Tables in one line: commas that stay for what is left out, and those that a struct's hidden fields misplace.
    (r#"{{ dict "l" (list 1 (dict "a" 1 "b" nil)) | toToml }}"#, "l = [1, {a = 1, }]\n"),
    (
        r#"{{ dict "l" (list 1 (dict "a" nil "b" 2 "c" (dict "x" 1) "d" 3 "e" (list (dict "q" 1)))) | toToml }}"#,
        "l = [1, {b = 2, d = 3, c = {x = 1}, e = [{q = 1}]}]\n",
    ),
    (r#"{{ dict "l" (list 1 (dict "a" (list 1 nil))) | toToml }}"#, "toml: cannot encode array with nil element"),
    (
        r#"{{ dict "l" (list 1 .Capabilities.KubeVersion) | toToml }}"#,
        "l = [1, {Version = \"v1.37.0\", Major = \"1\"Minor = \"37\", }]\n",
    ),
    // What has two names in the original is two things in the copy.
    (
        r#"{{ $a := dict "k" 1 }}{{ $c := deepCopy (dict "x" $a "y" $a) }}{{ $_ := set $c.x "k" 2 }}{{ $c }}"#,
        "map[x:map[k:2] y:map[k:1]]",
    ),
    // A copy leaves hidden fields behind.
    (
        r#"{{ deepCopy (semver "1.2.3-a+b") }} {{ (deepCopy (semver "1.2.3")).Original | quote }} {{ deepCopy (list (semver "1")) }}"#,
        "0.0.0 \"\" [0.0.0]",
    ),
    (r#"{{ printf "%v" (deepCopy .Capabilities.KubeVersion) }}"#, "{v1.37.0  1 37}"),
    (r#"{{ printf "%v" (deepCopy (list .Capabilities) | first) | trunc 19 }}"#, "&{{v1.37.0  1 37} ["),
    // The third version of Go's YAML library knows structs.
    ("{{ toYamlPretty .Capabilities.KubeVersion }}", "version: v1.37.0\nmajor: \"1\"\nminor: \"37\""),
    (
        r#"{{ toYamlPretty (list (semver "1.2") (toDate "2006-01-02" "2020-01-02") (mustToDuration "90s") 'a') }}"#,
        "- 1.2.0\n- 2020-01-02T00:00:00Z\n- 1m30s\n- 97",
    ),
    // A file that is not there is a byte slice that is nil.
    (
        r#"{{ $f := .Files.nothere }}{{ $f | toString | quote }} {{ dict $f 1 }} {{ toJson $f }} {{ printf "%s|%v|%q|%x" $f $f $f $f }}"#,
        r#""" map[:1] null |[]|""|"#,
    ),
    // Methods of the values and of the capabilities.
    (
        r#"{{ typeOf .Values.AsMap }} {{ dig "t0" 0 .Values.AsMap }} {{ typeOf .Values }} {{ .Values.PathValue "t0" }}"#,
        "map[string]interface {} [x true x] common.Values [x true x]",
    ),
    ("{{ .Capabilities.Copy.KubeVersion.Major }}", "1"),
    // An empty text that an empty expression cuts: nothing is found, which is not nil.
    (r#"{{ mustRegexSplit "" "" 3 | toJson }} {{ mustRegexSplit "" "" 0 | toJson }}"#, "[] null"),
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
    (r#"{{ printf "%o" (semver "1") }}"#, "&{1 0 0 %!o(string=) %!o(string=) %!o(string=1)}"),
    // A complaint about a verb names the declared type.
    (r#"{{ printf "%!" (mustToDuration "90s") }}"#, "%!!(time.Duration=90000000000)"),
    (r#"{{ printf "%s" (dict "a" .Capabilities) | trunc 35 }}"#, "map[a:%!s(*common.Capabilities=&{{v"),
    (r#"{{ printf "%t" (mustToDuration "1s") }}"#, "%!t(time.Duration=1000000000)"),
    // A pointer inside something, as Go's source would have it; the address is nobody's to know.
    (
        r#"{{ regexReplaceAll "0x[0-9a-f]+" (printf "%#v" (list .Capabilities)) "X" }}"#,
        "[]interface {}{(*common.Capabilities)(X)}",
    ),
    (r#"{{ printf "%d" (list .Capabilities) | mustRegexMatch "^.[0-9]+.$" }}"#, "true"),
    // Every byte that belongs to no character is shown.
    (
        r#"{{ substr 0 2 "\u20ac" }}|{{ substr 0 2 "\u20ac" | upper }}|{{ b64dec "8J+Y" | toJson }}"#,
        "\u{fffd}\u{fffd}|\u{fffd}\u{fffd}|\"\\ufffd\\ufffd\\ufffd\"",
    ),
];

/// Templates and the end of their errors.
const REFUSED: &[(&str, &str)] = &[
    (r#"{{ .Values.PathValue "a.x.c" }}"#, r#"error calling PathValue: "c" is not a value"#),
    (r#"{{ .Values.Table "t0" }}"#, r#"error calling Table: "t0" is not a table"#),
    ("{{ toYamlPretty 1i }}", "error calling toYamlPretty: cannot marshal type: complex128"),
    (
        r#"{{ mustMerge (dict "b" .Files) (dict "b" (dict "x" 2)) }}"#,
        "reflect.Value.SetMapIndex: value of type interface {} is not assignable to type []uint8",
    ),
    (r#"{{ mustToDuration "NaN" }}"#, "error calling mustToDuration: invalid duration seconds: NaN"),
    (r#"{{ mustToDuration "-Infinity" }}"#, "error calling mustToDuration: invalid duration seconds: -Inf"),
    (r#"{{ set (fromJson "null") "a" 1 }}"#, "error calling set: assignment to entry in nil map"),
    // The package for time quotes in its own way.
    (
        r#"{{ mustDateModify "\n\u00e9" (toDate "" "") }}"#,
        r#"error calling mustDateModify: time: invalid duration "\x0a\xc3\xa9""#,
    ),
    (
        r#"{{ mustToDate "2006\n" "x\"" }}"#,
        r#"error calling mustToDate: parsing time "x\"" as "2006\x0a": cannot parse "x\"" as "2006""#,
    ),
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
fn what_a_pointer_points_to_is_what_is_ranged_over() {
    let error = render("{{ range .Capabilities }}{{ end }}").expect_err("no list");
    assert!(error.contains("range can't iterate over {{v1.37.0 v1.37.0 1 37} [v1 "), "{error}");
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

/// A values file, what `--set` adds and what comes of it, mostly when the argument ends too early.
const SET: &[(&str, &str)] = &[
    ("a[0].b=", r#"[{"b":"","x":1},"q",["y"],null]"#),
    ("a[1].", r#"[{"x":1},{},["y"],null]"#),
    ("a[2][0].", r#"[{"x":1},"q",[{}],null]"#),
    ("a[3][0].", r#"[{"x":1},"q",["y"],null]"#),
    ("a[3].b=", r#"[{"x":1},"q",["y"],{"b":""}]"#),
    ("a[9].", r#"[{"x":1},"q",["y"],null]"#),
];

#[test]
fn set_changes_elements_in_place() {
    for (argument, wanted) in SET {
        let file: serde_json::Value = serde_json::from_str(r#"{"a": [{"x": 1}, "q", ["y"], null]}"#).expect("JSON");
        let mut values = file.as_object().expect("a mapping").clone();
        chart::values::set::typed(argument, &mut values).expect("no error");
        assert_eq!(goyaml::json_text(&values["a"]), *wanted, "{argument}");
    }
}
