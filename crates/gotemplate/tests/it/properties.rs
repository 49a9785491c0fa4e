//! Laws that hold for any input.

use std::borrow::Cow;
use std::sync::Arc;

use gotemplate::{Functions, Limits, Map, MissingKey, Run, TemplateSet, Value, format, quote};
use proptest::prelude::*;

fn render(text: &str, data: &Value) -> Result<String, String> {
    let mut set = TemplateSet::new(Arc::new(Functions::new())).with_missing_key(MissingKey::Zero);
    set.parse("t", text).map_err(|error| error.to_string())?;
    let limits = Limits { steps: 10_000, output: 100_000, template_depth: 50, ..Limits::default() };
    let output = Arc::new(set).execute("t", data, &mut Run::new(limits));
    output.map(|s| s.to_string()).map_err(|error| error.to_string())
}

/// Pieces that templates are made of, so that random texts get beyond the first token.
fn template() -> impl Strategy<Value = String> {
    let pieces = [
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "{{/* c */}}",
        " ",
        "\n",
        "if ",
        "else ",
        "end ",
        "range ",
        "with ",
        "define ",
        "block ",
        "template ",
        "break ",
        "continue ",
        "nil ",
        "true ",
        "\"a\" ",
        "`b` ",
        "'c' ",
        "1 ",
        "-2.5e3 ",
        "0x1F ",
        "1i ",
        "$",
        "$x ",
        "$x := ",
        "$i, $e := ",
        "= ",
        ".",
        ".m",
        ".l ",
        ".m.a ",
        "(",
        ")",
        "| ",
        "print ",
        "printf \"%v|%d|%q\" ",
        "len ",
        "index ",
        "slice ",
        "eq ",
        "lt ",
        "and ",
        "or ",
        "not ",
        "é",
        ",",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

fn data() -> Value {
    let inner = Value::Map(Map::from_iter([("a", Value::Int(1)), ("b", Value::Nil)]));
    Value::Map(Map::from_iter([("m", inner), ("l", Value::from(vec![Value::Float(1.5), Value::Nil]))]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_renders_or_is_refused(text in template()) {
        let _ = render(&text, &data());
    }

    #[test]
    fn any_characters_render_or_are_refused(text in "\\PC{0,40}") {
        let _ = render(&text, &data());
        let _ = render(&format!("{{{{ {text} }}}}"), &data());
    }

    #[test]
    fn text_without_actions_comes_back(text in "[^{]{0,60}") {
        prop_assert_eq!(render(&text, &Value::Nil), Ok(text));
    }

    #[test]
    fn quoted_strings_are_read_back(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(quote::unquote(&quote::quoted(&bytes)).map(Cow::into_owned), Some(bytes.clone()));
        prop_assert_eq!(quote::unquote(&quote::quoted_ascii(&bytes)).map(Cow::into_owned), Some(bytes));
    }

    #[test]
    fn string_constants_mean_themselves(text in any::<String>()) {
        let template = format!("{{{{ {} }}}}", quote::quoted(text.as_bytes()));
        prop_assert_eq!(render(&template, &Value::Nil), Ok(text));
    }

    #[test]
    fn printed_floats_are_read_back(float in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
        let text = format::to_string(&Value::Float(float)).to_string();
        prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits());
        prop_assert_eq!(gotemplate::number::parse_float(&text).unwrap().to_bits(), float.to_bits());
    }

    #[test]
    fn formats_never_panic(format in "[%#+\\-0 .*\\[\\]1-9a-zA-Zé]{0,20}", float in any::<f64>(), int in any::<i64>(), text in any::<String>()) {
        let args = [Value::Float(float), Value::Int(int), Value::from(text), data(), Value::Nil];
        let _ = format::sprintf(format.as_bytes(), &args);
    }
}
