//! Laws that hold for any input.

use std::sync::Arc;

use gotemplate::{Map, Run, TemplateSet, Value};
use proptest::prelude::*;

use crate::environment;

fn render(text: &str, value: Value) -> Result<String, String> {
    let mut set = TemplateSet::new(Arc::new(sprig::functions(&environment())));
    set.parse("t", text).map_err(|error| error.to_string())?;
    let data = Value::Map(Map::from_iter([("x", value)]));
    Arc::new(set).execute("t", &data, &mut Run::default()).map(|s| s.to_string()).map_err(|error| error.to_string())
}

/// Any JSON value.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::Float),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|entries| Value::Map(Map::from_iter(entries))),
        ]
    })
}

proptest! {
    #[test]
    fn json_reads_what_it_writes(value in value()) {
        for style in [sprig::json::Style::default(), sprig::json::Style { escape_html: false, indent: Some("  ") }] {
            let text = sprig::json::encode(&value, style).unwrap();
            let again = sprig::json::decode(text.as_bytes()).unwrap();
            prop_assert!(sprig::deep_equal(&value, &again), "{text}");
        }
    }

    #[test]
    fn json_never_panics(text in any::<Vec<u8>>()) {
        let _ = sprig::json::decode(&text);
    }

    #[test]
    fn base64_and_base32_are_reversible(text in any::<String>()) {
        prop_assert_eq!(render("{{ .x | b64enc | b64dec }}", text.clone().into()), Ok(text.clone()));
        prop_assert_eq!(render("{{ .x | b32enc | b32dec }}", text.clone().into()), Ok(text));
    }

    #[test]
    fn encryption_is_reversible(text in "[^\0]{0,80}") {
        prop_assert_eq!(render("{{ .x | encryptAES \"k\" | decryptAES \"k\" }}", text.clone().into()), Ok(text));
    }

    #[test]
    fn quoted_expressions_match_their_text(text in "[ -~é☺]{0,20}") {
        let expression = format!("^(?:\\Q{}\\E)$", text.replace("\\E", ""));
        let regexp = sprig::Regexp::new(&expression).unwrap();
        prop_assert!(regexp.is_match(text.replace("\\E", "").as_bytes()));
    }

    #[test]
    fn regular_expressions_never_panic(expression in r"[\\\[\](){}|*+?.^$a-c:,\-PQEdpx<>=!0-9é]{0,24}") {
        if let Ok(regexp) = sprig::Regexp::new(&expression) {
            let _ = regexp.find_iter("abc é 12".as_bytes()).count();
        }
    }

    #[test]
    fn dates_are_read_as_they_are_written(seconds in -60_000_000_000i64..250_000_000_000) {
        let text = "{{ $l := \"2006-01-02T15:04:05Z07:00\" }}{{ dateInZone $l (int64 .x) \"UTC\" | mustToDate $l | unixEpoch }}";
        prop_assert_eq!(render(text, Value::Int64(seconds)), Ok(seconds.to_string()));
    }

    #[test]
    fn durations_are_read_as_they_are_written(nanoseconds in any::<i64>()) {
        let duration = sprig::Duration(nanoseconds);
        prop_assert_eq!(sprig::Duration::parse(&duration.to_string()), Some(duration));
    }

    #[test]
    fn layouts_never_panic(layout in any::<String>(), text in any::<String>()) {
        let data = Value::Map(Map::from_iter([("l", layout), ("t", text)]));
        let _ = render("{{ date .x.l 0 }}{{ toDate .x.l .x.t }}", data);
    }

    #[test]
    fn merging_keeps_what_the_target_has(target in value(), source in value()) {
        let target = Map::from_iter([("k", target)]);
        let before = sprig::deep_copy(&Value::Map(target.clone())).unwrap();
        let source = Map::from_iter([("k", source.clone()), ("other", source)]);
        sprig::merge(&target, &source, false).unwrap();
        let kept = before.as_map().and_then(|map| map.get("k")).unwrap();
        if !sprig::is_empty(&kept) && kept.as_map().is_none() {
            prop_assert!(sprig::deep_equal(&kept, &target.get("k").unwrap()));
        }
        // Merging the same again changes nothing.
        let once = sprig::deep_copy(&Value::Map(target.clone())).unwrap();
        sprig::merge(&target, &source, false).unwrap();
        prop_assert!(sprig::deep_equal(&once, &Value::Map(target)));
    }

    #[test]
    fn versions_are_ordered(a in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}(-[a-z]{1,3}(\\.[0-9]{1,2})?)?", b in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}") {
        let parse = |text: &str| sprig::semver::Version::parse(text);
        if let (Ok(a), Ok(b)) = (parse(&a), parse(&b)) {
            prop_assert_eq!(a.compare(&b), b.compare(&a).reverse());
            let range = sprig::semver::Constraint::parse(&format!(">={b}-0")).unwrap();
            let floor = parse(&format!("{b}-0")).unwrap();
            prop_assert_eq!(range.check(&a), a.compare(&floor).is_ge());
        }
    }
}
