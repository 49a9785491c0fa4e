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
