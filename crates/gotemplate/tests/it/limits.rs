//! Hostile templates: depth, cycles, budgets. None of them may take the process down.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use gotemplate::{Error, Functions, LimitError, Limits, List, Map, Run, TemplateSet, Type, Value};

/// `include` as a host would write it, and a function that nests its argument in a list.
fn functions() -> Functions {
    let mut functions = Functions::new();
    functions.fixed("include", &[Type::Str, Type::Any], |run, args| {
        let name = args[0].as_str().unwrap_or_default();
        Ok(Value::Str(run.execute(&name.lossy(), &args[1])?))
    });
    functions.fixed("nest", &[Type::Any], |_, args| Ok(Value::from(vec![args[0].clone()])));
    functions
}

fn render_in(text: &str, data: &Value, run: &mut Run<'_>) -> Result<String, Error> {
    let mut set = TemplateSet::new(Arc::new(functions()));
    set.parse("t", text)?;
    Arc::new(set).execute("t", data, run).map(|s| s.to_string())
}

fn render(text: &str, data: &Value) -> Result<String, Error> {
    render_in(text, data, &mut Run::default())
}

#[test]
fn template_depth_ends_in_go_s_error() {
    let error =
        render(r#"{{ define "r" }}{{ template "r" . }}{{ end }}{{ template "r" . }}"#, &Value::Nil).unwrap_err();
    let expected =
        r#"template: t:1:28: executing "r" at <{{template "r" .}}>: exceeded maximum template depth (100000)"#;
    assert_eq!(error.to_string(), expected);
}

#[test]
fn functions_that_execute_themselves_are_stopped() {
    let text = r#"{{ define "r" }}{{ include "r" . }}{{ end }}{{ include "r" . }}"#;
    let error = render(text, &Value::Nil).unwrap_err();
    assert!(matches!(error, Error::Limit(LimitError::Depth(20_000))), "{error}");
}

#[test]
fn deep_nesting_parses_prints_and_is_freed() {
    let depth = 9_000;
    let parens = format!("{{{{ {}1{} }}}}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(render(&parens, &Value::Nil).unwrap(), "1");
    let unclosed = format!("{{{{ {}1 }}}}", "(".repeat(depth));
    assert!(render(&unclosed, &Value::Nil).is_err());
    let ifs = format!("{}x{}", "{{ if 1 }}".repeat(depth), "{{ end }}".repeat(depth));
    assert_eq!(render(&ifs, &Value::Nil).unwrap(), "x");
    let chain = format!("{{{{ if 0 }}}}{}{{{{ else }}}}y{{{{ end }}}}", "{{ else if 0 }}".repeat(depth));
    assert_eq!(render(&chain, &Value::Nil).unwrap(), "y");
}

#[test]
fn deeply_nested_values_are_printed_and_freed() {
    let text = "{{ $x := 1 }}{{ range 50000 }}{{ $x = nest $x }}{{ end }}{{ print $x | len }}";
    assert_eq!(render(text, &Value::Nil).unwrap(), "100001");
}

#[test]
fn a_map_inside_itself_prints_to_an_end() {
    let map = Map::new();
    map.insert("self", map.clone());
    assert!(render("{{ . }}", &Value::Map(map.clone())).unwrap().contains("CYCLE"));
    map.remove("self");
}

#[test]
fn budgets_stop_the_run() {
    let limited = |text: &str, limits: Limits| match render_in(text, &Value::Nil, &mut Run::new(limits)) {
        Err(Error::Limit(limit)) => limit,
        other => panic!("{other:?}"),
    };
    let steps = Limits { steps: 1000, ..Limits::default() };
    assert_eq!(limited("{{ range 1000000000 }}{{ end }}", steps), LimitError::Steps(1000));
    let output = Limits { output: 1000, ..Limits::default() };
    assert_eq!(limited("{{ range 1000000000 }}x{{ end }}", output.clone()), LimitError::Output(1000));
    assert_eq!(limited(r#"{{ $x := printf "%999999d" 1 }}"#, output), LimitError::Output(1000));
    let mut run = Run::default().with_cancel(Arc::new(AtomicBool::new(true)));
    let cancelled = render_in("{{ range 1000000000 }}{{ end }}", &Value::Nil, &mut run).unwrap_err();
    assert!(matches!(cancelled, Error::Limit(LimitError::Cancelled)));
}

#[test]
fn a_fork_keeps_its_definitions() {
    let mut base = TemplateSet::new(Arc::new(functions()));
    base.parse("a", r#"{{ define "x" }}base{{ end }}{{ template "x" }}"#).unwrap();
    let base = Arc::new(base);
    let mut fork = base.fork();
    fork.parse("b", r#"{{ define "x" }}fork{{ end }}{{ template "x" }}{{ template "a" }}"#).unwrap();
    let run = &mut Run::default();
    assert_eq!(Arc::new(fork).execute("b", &Value::Nil, run).unwrap(), "forkfork");
    assert_eq!(base.execute("a", &Value::Nil, run).unwrap(), "base");
    assert!(matches!(base.execute("b", &Value::Nil, run), Err(Error::NoTemplate { .. })));
}

#[test]
fn functions_reach_the_host_s_state() {
    let mut functions = Functions::new();
    functions.fixed("count", &[], |run, _| {
        let count = run.state::<i64>().ok_or("no counter")?;
        *count += 1;
        Ok(Value::Int(*count))
    });
    let mut set = TemplateSet::new(Arc::new(functions));
    set.parse("t", "{{ count }}{{ count }}").unwrap();
    let mut count = 0i64;
    let output = Arc::new(set).execute("t", &Value::Nil, &mut Run::default().with_state(&mut count));
    assert_eq!(output.unwrap(), "12");
    assert_eq!(count, 2);
}

#[test]
fn errors_carry_their_causes() {
    let text = "{{ define \"in\" }}\n{{ index . 3 }}{{ end }}{{ include \"in\" . }}";
    let data = Value::List(List::new(vec![]));
    let Err(Error::Exec(outer)) = render(text, &data) else { panic!("no error") };
    assert_eq!((&*outer.template, outer.line, outer.column), ("t", 2, 27));
    let cause = outer.cause.as_ref().unwrap();
    assert_eq!(cause.function, "include");
    let Some(Error::Exec(inner)) = cause.error.template() else { panic!("no inner error") };
    assert_eq!((&*inner.template, &*inner.file, inner.line, inner.column), ("in", "t", 2, 3));
    assert_eq!(inner.message, "error calling index: index out of range: 3");
}

#[test]
fn the_parts_of_a_template_are_bounded() {
    let error = |text: &str| render(text, &Value::Nil).expect_err("too large").to_string();
    assert_eq!(
        error(&"{{1}}".repeat(600_000)),
        "template: t:1: templates have more than 1000000 parts",
        "texts, actions and operands count"
    );
    assert!(error(&format!("{{{{ .a{} }}}}", ".b".repeat(1_000_000))).ends_with("more than 1000000 parts"));
    // One set, several texts.
    let mut set = TemplateSet::new(Arc::new(functions()));
    set.parse("a", &"{{1}}".repeat(100_000)).expect("small enough");
    assert!(set.parse("b", &"{{1}}".repeat(500_000)).is_err());
}

#[test]
fn blocks_nest_only_so_deep() {
    let nested = |deep: usize| format!("{}{}", "{{if 1}}".repeat(deep), "{{end}}".repeat(deep));
    let chained = |long: usize| format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(long));
    assert!(render(&nested(5_000), &Value::Nil).is_ok() && render(&chained(5_000), &Value::Nil).is_ok());
    for text in [nested(20_000), chained(20_000)] {
        let error = render(&text, &Value::Nil).expect_err("too deep").to_string();
        assert_eq!(error, "template: t:1: blocks are nested more than 10000 deep");
    }
}

#[test]
fn many_definitions_take_linear_time() {
    let text: String = (0..60_000).map(|i| format!("{{{{define \"t{i}\"}}}}x{{{{end}}}}")).collect();
    assert_eq!(render(&(text + "y"), &Value::Nil).expect("definitions"), "y");
}

#[test]
fn values_that_share_parts_are_not_written_out_for_ever() {
    let text = "{{ $x := nest 1 }}{{ range 60 }}{{ $x = pair $x $x }}{{ end }}";
    let mut functions = functions();
    functions.fixed("pair", &[Type::Any, Type::Any], |_, args| Ok(Value::from(args.to_vec())));
    functions.fixed("walk", &[Type::Any], |_, _| Ok(Value::Nil));
    functions.go_deep(&["walk"]);
    for call in ["print $x", "printf \"%v\" $x", "html $x", "$x", "walk $x"] {
        let mut set = TemplateSet::new(Arc::new(functions.clone()));
        set.parse("t", &format!("{text}{{{{ {call} }}}}")).expect("a template");
        let mut run = Run::new(Limits { claim: 1 << 20, ..Limits::default() });
        let error = Arc::new(set).execute("t", &Value::Nil, &mut run).expect_err("too large");
        assert!(matches!(error, Error::Limit(LimitError::Output(_))), "{call}: {error}");
    }
}
