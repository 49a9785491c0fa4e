//! Whatever the input: no panic, and what is written reads back as it was.

use proptest::prelude::*;
use serde_json::{Map, Value};

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "[ a:#'\"\\n\\t-]{0,10}",
        "(yes|no|on|null|~|1e3|0x1f|017|1:30|2001-01-01|\\.inf|=|- a|\u{e9}\u{2028}\u{1f600})",
        "(word ){10,30}end",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-1e6f64..1e6).prop_map(Value::from),
        text.clone().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(text.clone(), inner, 0..5).prop_map(|m| Value::Object(Map::from_iter(m))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_values_read_back(value in any_value()) {
        let text = goyaml::to_yaml(&value).expect("no control characters");
        let back = goyaml::parse(&text).expect("own output");
        prop_assert_eq!(goyaml::json_text(&back), goyaml::json_text(&value), "{}", text);
    }

    #[test]
    fn pretty_values_read_back(value in any_value()) {
        // Version 3 writes a block that starts with a tab so that its own reader only can read it.
        prop_assume!(!value.to_string().contains("\\t"));
        let text = goyaml::to_yaml_pretty(&value);
        let back = goyaml::parse(&text).expect("own output");
        prop_assert_eq!(goyaml::json_text(&back), goyaml::json_text(&value), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[ -~\\n\\t]{0,60}") {
        let _ = goyaml::parse(&text);
        let _ = goyaml::parse_strict(&text);
    }

    #[test]
    fn no_yaml_shaped_text_panics(text in "([a-c]|: |- |\\n|  |\\[|\\]|\\{|\\}|,|&a |\\*a|<<|\\||>|'|\"|\\?|!!int |---|#|\\t){0,30}") {
        let _ = goyaml::parse(&text);
    }
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..9 {
        let one = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", [one.as_str(); 10].join(", ")));
    }
    assert_eq!(goyaml::parse(&text).expect_err("bomb").to_string(), "yaml: document contains excessive aliasing");
}

#[test]
fn a_block_scalar_may_end_the_text() {
    for (text, value) in [
        ("a: |\n  x", "x"),
        ("a: |+\n  x", "x"),
        ("a: |-\n  x", "x"),
        ("a: |\n  x\n", "x\n"),
        ("a: |\n  x\n  ", "x\n"),
        ("a: |+\n  x\n\n  ", "x\n\n"),
        ("a: >\n  x\n  y", "x y"),
        ("a: |", ""),
    ] {
        assert_eq!(goyaml::parse(text).expect(text), serde_json::json!({"a": value}), "{text:?}");
    }
}

#[test]
fn self_reference_is_refused() {
    assert_eq!(goyaml::parse("a: &x [*x]\n").expect_err("loop").to_string(), "yaml: anchor 'x' value contains itself");
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        let deep = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        assert!(goyaml::parse(&deep).expect_err("too deep").to_string().contains("exceeded max depth"));
    }
    let chain: String =
        (1..3000).fold(String::from("a0: &a0 [x]\n"), |s, i| s + &format!("a{i}: &a{i} [*a{}]\n", i - 1));
    assert!(goyaml::parse(&chain).is_err());
    assert!(goyaml::parse(&format!("{}{}", "[".repeat(300), "]".repeat(300))).is_ok());
}

#[test]
fn strict_reading_names_the_line_of_a_repeated_key() {
    assert_eq!(
        goyaml::parse_strict("a: 1\nb: 2\na: 3\n").expect_err("repeated").to_string(),
        "yaml: unmarshal errors:\n  line 3: key \"a\" already set in map"
    );
    assert!(goyaml::parse_strict("a: 1\nb: 2\n").is_ok());
}
