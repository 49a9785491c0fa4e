//! Random charts, rendered by Helm's own packages and by this workspace: outputs and error texts must agree.
//!
//! Three kinds of case: templates over values (most of them), charts in charts whose values are merged, and YAML documents
//! alone. What differs is made small and printed. The same seed gives the same cases.

mod ask;
mod functions;
mod idioms;
mod random;
mod shrink;
mod template;
mod values;
mod yaml;

use ask::{Answer, Helm, ours};
use random::Random;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// One question.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// `render`, `yaml` or `strict`.
    pub(crate) kind: &'static str,
    pub(crate) files: Vec<(String, String)>,
    pub(crate) values: Vec<String>,
    pub(crate) json: Vec<String>,
    pub(crate) set: Vec<String>,
    pub(crate) string: Vec<String>,
    pub(crate) literal: Vec<String>,
    pub(crate) text: String,
}

impl Case {
    pub(crate) fn add(&mut self, name: &str, text: String) {
        self.kind = "render";
        self.files.push((name.to_owned(), text));
    }
}

/// Cases that are asked at once.
const BATCH: usize = 250;

/// How often Helm is started anew before a difference counts: one missed eleven-digit pointer in a hundred.
const STARTS: usize = 40;

/// What stands for the answer to a question that Helm did not survive.
const DIED: &str = "DIED";

/// What one run found.
#[derive(Default)]
struct Counts {
    asked: usize,
    failed: usize,
    out_of_time: usize,
    /// Helm itself came to an end: a value that holds itself, printed, takes all of Go's stack.
    died: usize,
    /// Helm contradicts itself from one process to the next.
    unsteady: usize,
    different: usize,
    /// The case that took us longest.
    slowest: (Duration, usize),
}

/// How a run goes.
pub(crate) struct Plan {
    pub(crate) cases: usize,
    pub(crate) seed: u64,
    /// Stop after so many differences.
    pub(crate) stop_after: usize,
    /// A built helm-engine.
    pub(crate) engine: Option<PathBuf>,
    /// Only cases of this kind: `template`, `values` or `yaml`.
    pub(crate) only: Option<String>,
    /// Begin with this case.
    pub(crate) first: usize,
}

/// Shows what both make of one template, over the values that random templates see.
pub(crate) fn one(engine: Option<PathBuf>, template: &str) -> Result<(), String> {
    let mut case = Case::default();
    case.add("Chart.yaml", CHART.to_owned());
    case.add("values.yaml", skeleton(&mut Random::new(1)));
    case.add("templates/NOTES.txt", template.to_owned());
    let (theirs, mine) = Helm::start(engine)?.ask(std::slice::from_ref(&case), || ours(&case))?;
    println!("helm: {:?} {:?}\nhusk: {:?} {:?}", theirs[0].out, theirs[0].err, mine.out, mine.err);
    Ok(())
}

pub(crate) fn helm(plan: &Plan) -> Result<(), String> {
    let mut helm = Helm::start(plan.engine.clone())?;
    let begun = Instant::now();
    let table = functions::table();
    let mut counts = Counts::default();
    std::panic::set_hook(Box::new(|_| {}));
    counts.asked = plan.first.min(plan.cases);
    while counts.asked < plan.cases && counts.different < plan.stop_after {
        let wanted = BATCH.min(plan.cases - counts.asked);
        // A seed for each case: one can be repeated without those before it.
        let cases: Vec<Case> = (0..wanted)
            .map(|i| {
                case(
                    &mut Random::new(plan.seed.wrapping_mul(1_000_003) + (counts.asked + i) as u64),
                    &table,
                    plan.only.as_deref(),
                )
            })
            .collect();
        let (theirs, mine) = match helm.ask(&cases, || cases.iter().map(timed).collect::<Vec<(Answer, Duration)>>()) {
            Ok(both) => both,
            Err(_) => (one_by_one(plan, &mut helm, &cases)?, cases.iter().map(timed).collect()),
        };
        let (mine, took): (Vec<Answer>, Vec<Duration>) = mine.into_iter().unzip();
        for (i, took) in took.into_iter().enumerate() {
            counts.slowest = counts.slowest.max((took, counts.asked + i));
        }
        if plan.first + 1 == plan.cases {
            report(plan.first, &cases[0], &theirs[0], &mine[0]);
        }
        if theirs.iter().any(|answer| answer.err == "TOO LONG") {
            // It is still busy with what it was told to leave.
            helm = Helm::start(plan.engine.clone())?;
        }
        for (i, (helm_says, husk_says)) in theirs.iter().zip(&mine).enumerate() {
            counts.failed += usize::from(!helm_says.err.is_empty());
            counts.out_of_time += usize::from(helm_says.err == "TOO LONG");
            counts.died += usize::from(helm_says.err == DIED);
            if differ(helm_says, husk_says) && counts.different < plan.stop_after {
                if unsteady(plan, &cases[i], helm_says)? {
                    counts.unsteady += 1;
                    continue;
                }
                counts.different += 1;
                let small = shrink::shrink(cases[i].clone(), |smaller| first_different(plan, &mut helm, smaller))?;
                let (theirs, _) = helm.ask(std::slice::from_ref(&small), || ())?;
                report(counts.asked + i, &small, &theirs[0], &ours(&small));
            }
        }
        counts.asked += wanted;
    }
    let _ = std::panic::take_hook();
    println!(
        "seed {}: {} cases, of which {} are errors in Helm, {} took Helm too long, {} ended it and in {} it differs from itself; {} differ; {:.0} s (case {}: {:.1} s)",
        plan.seed,
        counts.asked,
        counts.failed,
        counts.out_of_time,
        counts.died,
        counts.unsteady,
        counts.different,
        begun.elapsed().as_secs_f64(),
        counts.slowest.1,
        counts.slowest.0.as_secs_f64()
    );
    if counts.different == 0 { Ok(()) } else { Err("husk and helm do not say the same".to_owned()) }
}

/// Asks one question after the other, after one of them had ended Helm.
fn one_by_one(plan: &Plan, helm: &mut Helm, cases: &[Case]) -> Result<Vec<Answer>, String> {
    *helm = Helm::start(plan.engine.clone())?;
    let mut answers = Vec::new();
    for case in cases {
        match helm.ask(std::slice::from_ref(case), || ()) {
            Ok((mut answer, ())) => answers.append(&mut answer),
            Err(_) => {
                answers.push(Answer { err: DIED.to_owned(), ..Answer::default() });
                *helm = Helm::start(plan.engine.clone())?;
            }
        }
    }
    Ok(answers)
}

fn timed(case: &Case) -> (Answer, Duration) {
    let begun = Instant::now();
    (ours(case), begun.elapsed())
}

fn differ(theirs: &Answer, ours: &Answer) -> bool {
    // Of two mistakes in one mapping Go names either.
    let either = ["unsupported map key of type", "json: unsupported value"];
    if [theirs, ours]
        .iter()
        .all(|answer| either.iter().any(|text| answer.err.contains(text) || answer.out.contains(text)))
    {
        return false;
    }
    // Which zone a time is in Go's source has to say, even when UTC is the local one.
    let of_time =
        [theirs, ours].iter().any(|answer| answer.out.contains("time.Date(") || answer.err.contains("time.Date("));
    theirs != ours
        && !of_time
        && theirs.err != "TOO LONG"
        && theirs.err != DIED
        && ![&theirs.out, &theirs.err].iter().any(|text| text.contains("toml: line "))
}

/// Asks in small groups, so that a hit early in the list costs little.
fn first_different(plan: &Plan, helm: &mut Helm, cases: &[Case]) -> Result<Option<usize>, String> {
    for (group, cases) in cases.chunks(40).enumerate() {
        let (theirs, mine) = helm.ask(cases, || cases.iter().map(ours).collect::<Vec<Answer>>())?;
        for (at, (theirs, mine)) in theirs.iter().zip(&mine).enumerate() {
            if differ(theirs, mine) && !unsteady(plan, &cases[at], theirs)? {
                return Ok(Some(group * 40 + at));
            }
        }
    }
    Ok(None)
}

/// Whether Helm says something else when it is started anew: where Go puts its heap is drawn for each process, so a pointer
/// is printed with twelve digits or, in one process of nine, with eleven; what is made of the print (a length, a checksum)
/// is not the template's.
fn unsteady(plan: &Plan, case: &Case, said: &Answer) -> Result<bool, String> {
    for _ in 0..STARTS {
        let (again, _) = Helm::start(plan.engine.clone())?.ask(std::slice::from_ref(case), || ())?;
        if again[0] != *said {
            return Ok(true);
        }
    }
    Ok(false)
}

fn report(number: usize, case: &Case, theirs: &Answer, ours: &Answer) {
    println!("--- case {number} ({})", case.kind);
    for (name, text) in case.files.iter().filter(|(name, text)| !text.is_empty() && name != "Chart.yaml") {
        println!("{name}: {text:?}");
    }
    for (flag, list) in [
        ("-f", &case.values),
        ("--set-json", &case.json),
        ("--set", &case.set),
        ("--set-string", &case.string),
        ("--set-literal", &case.literal),
    ] {
        list.iter().for_each(|text| println!("{flag} {text:?}"));
    }
    if !case.text.is_empty() {
        println!("text: {:?}", case.text);
    }
    println!("helm: {:?} {:?}\nhusk: {:?} {:?}", theirs.out, theirs.err, ours.out, ours.err);
}

fn case(random: &mut Random, table: &[functions::Callee], only: Option<&str>) -> Case {
    let turn = match only {
        Some("template") => 0,
        Some("values") => 17,
        Some("yaml") => 15,
        _ => random.below(20),
    };
    match turn {
        0..=14 => templates(random, table),
        15..=16 => Case {
            kind: if random.chance(80) { "yaml" } else { "strict" },
            text: yaml::document(random),
            ..Case::default()
        },
        17..=18 => values::family(random),
        _ => settings(random),
    }
}

const CHART: &str =
    "apiVersion: v2\nname: top\nversion: 0.1.0\nappVersion: \"1.2\"\nkeywords: [k1, k2]\nannotations: {x: \"y\"}\n";

/// Values that the grammar's paths find something in, some of it odd.
fn skeleton(random: &mut Random) -> String {
    let mut text = String::from(
        "s0: text\ns1: 'two words'\ns2: \"\"\ns3: \"multi\\nline\\n\"\ni0: 3\nf0: 1.5\nf1: 1e6\nfloat0: 12345678.9\nb0: true\nb1: false\nn0: null\nl0: [1, a, null, {a: 1}]\nl1: []\nl2: [3, 1, 2]\nt0: [x, y, x]\nd0: {a: one, b: 2, c: {d: e}}\n\
         d1: {a: other, x: [1], c: {f: g}}\nd2: {}\nempty: {}\nq0: [{a: 1, b: 2}, {a: x}]\nnested: {deep: {er: 7}, list: [{z: 1}]}\n",
    );
    text.push_str(
        "keys: {\"a b\": 1, 1: one, true: [x, {y: z}], '': empty, é: {\"x: y\": null, '#': 1.0}, \"1e3\": \"1e3\", on: \"off\", 1.5: {}, \"'q'\": '\"q\"', a.b/c: \"multi\\nline\\n\"}\n\
         tpls: {a: \"{{ .Release.Name }}-{{ .Values.s0 | upper }}\", b: \"{{ .v | toJson }}\", c: '{{ \"{{ .Values.s1 | quote }}\" }}'}\n",
    );
    for i in 0..4 {
        text.push_str(&format!("odd{i}: {}\n", yaml::scalar(random)));
    }
    text
}

fn templates(random: &mut Random, table: &[functions::Callee]) -> Case {
    let mut case = Case::default();
    case.add("Chart.yaml", CHART.to_owned());
    let mut odd = skeleton(random);
    // Most odd values should load; the rest is the business of the other kinds.
    for _ in 0..20 {
        if goyaml::parse(&odd).is_ok_and(|value| value.is_object()) {
            break;
        }
        odd = skeleton(random);
    }
    case.add("values.yaml", odd);
    case.add("f.txt", "line one\nline two\n".to_owned());
    case.add("d/g.json", "{\"a\": 1}".to_owned());
    case.add("templates/_named.tpl", template::Grammar::new(random, table).definitions());
    case.add("templates/NOTES.txt", template::Grammar::new(random, table).text());
    if random.chance(30) {
        let fixed = "data:\n  a: {{ .Values.s0 | quote }}\n  b: {{ .Values.keys | toJson | quote }}\n";
        case.add("templates/d.yaml", fixed.to_owned());
    }
    if random.chance(25) {
        case.add("templates/c.yaml", template::Grammar::new(random, table).manifest());
    }
    case.set.push(format!(
        "set0={}",
        random.pick(&["1", "x", "true", "null", "0", "-5", "1.5", "{a,b}", "9007199254740993"])
    ));
    if random.chance(50) {
        case.json.push(format!("set1={}", random.pick(&["1", "[1,2]", "{\"a\":1}", "\"s\"", "1.5", "null"])));
        case.string.push("set2=42".to_owned());
    }
    case
}

/// What is said on the command line, and what becomes of it.
fn settings(random: &mut Random) -> Case {
    let mut case = Case::default();
    case.add("Chart.yaml", CHART.to_owned());
    case.add(
        "templates/NOTES.txt",
        "{{ printf \"%#v\" .Values }}\n{{ .Values | toJson }}\n{{ .Values | toYaml }}\n{{ .Values | toToml }}"
            .to_owned(),
    );
    case.add("values.yaml", yaml::values(random, &["a", "b", "c", "d0", "l0", "nested"]));
    for _ in 0..random.below(3) {
        case.values.push(if random.chance(70) {
            yaml::values(random, &["a", "b", "c", "d0", "l0"])
        } else {
            yaml::document(random)
        });
    }
    values::arguments(random, &mut case);
    case
}
