//! Random values: arguments of `--set` and its kin, and charts in charts whose values are merged.

use super::Case;
use super::random::Random;
use super::yaml;

const PIECES: &[&str] = &[
    "a",
    "b",
    "c",
    "d0",
    "l0",
    ".",
    ".",
    "=",
    "=",
    ",",
    "[0]",
    "[1]",
    "[2]",
    "[",
    "]",
    "{",
    "}",
    "\\,",
    "\\.",
    "\\=",
    "\\",
    "1",
    "0",
    "true",
    "null",
    "x y",
    "\"",
    "'",
    "-1",
    "1.5",
    "007",
    "é",
    "\n",
    " ",
    "9223372036854775808",
    "[-1]",
    "[70000]",
    "[x]",
    "{x,y}",
    "{1,,2}",
    "{}",
    "False",
    "1e3",
    "nil",
    "0x1F",
    "[0][1]",
    "a.b",
    "a=1",
    "b=x",
    "+1",
    "{\"a\":1}",
    "[1,2]",
];

const JSON: &[&str] = &[
    "1",
    "\"x\"",
    "null",
    "true",
    "[1,2]",
    "{\"k\":1}",
    "{\"k\":{\"m\":[1.5]}}",
    "1.0",
    "{}",
    "[]",
    "x",
    "{",
    "12345678901234567890",
    "1e3",
    "[1,",
    "\"a,b\"",
    " 7 ",
];

/// An argument of `--set`.
pub(crate) fn set(random: &mut Random) -> String {
    if random.chance(40) {
        let mut text = String::new();
        for _ in 0..1 + random.below(8) {
            text.push_str(random.pick(PIECES));
        }
        return text;
    }
    let mut text = path(random);
    text.push('=');
    text.push_str(random.pick(PIECES));
    if random.chance(30) {
        text.push(',');
        text.push_str(&path(random));
        text.push('=');
        text.push_str(random.pick(PIECES));
    }
    text
}

fn path(random: &mut Random) -> String {
    let mut text =
        random.pick(&["a", "b", "c", "d0", "l0", "set0", "set1", "global", "sub", "new", "nested", "a\\.b"]).to_owned();
    while random.chance(45) {
        text.push_str(random.pick(&[".a", ".b", ".x", "[0]", "[1]", "[3]", ".deep", "[0].a", ".l0[1]", "\\.y"]));
    }
    text
}

/// An argument of `--set-json`.
pub(crate) fn json(random: &mut Random) -> String {
    match random.below(4) {
        0 => random
            .pick(&[
                "{\"a\":1}",
                "{\"a\":{\"b\":null}}",
                "{",
                "{\"d0\":{\"x\":[1,2]}}",
                " {\"a\":1} ",
                "{} x",
                "{\"b\":1.50}",
                "{\"a\":1,}",
            ])
            .to_owned(),
        1 => set(random),
        _ => format!("{}={}", path(random), random.pick(JSON)) + if random.chance(20) { ",z=1" } else { "" },
    }
}

/// What is said on the command line, for any case.
pub(crate) fn arguments(random: &mut Random, case: &mut Case) {
    for _ in 0..random.below(3) {
        case.set.push(set(random));
    }
    if random.chance(30) {
        case.string.push(set(random));
    }
    if random.chance(30) {
        case.json.push(json(random));
    }
    if random.chance(20) {
        case.literal.push(set(random));
    }
}

/// Charts in charts, with conditions, tags, aliases and imported values; every one shows the values that it gets.
pub(crate) fn family(random: &mut Random) -> Case {
    let mut case = Case::default();
    let keys = ["a", "b", "c", "global", "exports", "data"];
    let shown = "kind: X\njson: {{ .Values | toJson | quote }}\ntyped: {{ printf \"%#v\" .Values | quote }}\nchart: {{ .Chart.Name }} {{ .Chart.IsRoot }} {{ keys .Subcharts | sortAlpha }}\n";
    let mut head = "apiVersion: v2\nname: top\nversion: 0.1.0\n".to_owned();
    let mut top = yaml::values(random, &keys);
    let names = ["sub", "other", "third"];
    let count = 1 + random.below(3);
    let mut listed = String::new();
    for name in &names[..count] {
        if random.chance(80) {
            for turn in 0..1 + usize::from(random.chance(15)) {
                listed.push_str(&format!(
                    "- name: {name}\n  version: {}\n",
                    random.pick(&["0.1.0", "0.1.0", "'>=0.1.0'", "'*'", "'^0.2.0'", "0.1.x"])
                ));
                if random.chance(40) {
                    listed.push_str(&format!(
                        "  condition: {}\n",
                        random.pick(&[
                            "sub.enabled",
                            "other.enabled,sub.enabled",
                            "global.on",
                            "a",
                            "nosuch.x",
                            "b.a",
                            "flag"
                        ])
                    ));
                }
                if random.chance(25) {
                    listed.push_str("  tags: [front, back]\n");
                }
                if random.chance(25) || turn > 0 {
                    listed.push_str(&format!("  alias: {}\n", random.pick(&["ali", "bob", "sub", "data"])));
                }
                if random.chance(40) {
                    listed.push_str("  import-values:\n");
                    for _ in 0..1 + random.below(2) {
                        listed.push_str(random.pick(&[
                            "  - data\n",
                            "  - child: a\n    parent: b\n",
                            "  - child: data\n    parent: .\n",
                            "  - child: exports.data\n    parent: imported.deep\n",
                            "  - nosuch\n",
                            "  - child: c.a\n    parent: c\n",
                            "  - child: nosuch\n    parent: z\n",
                            "  - 1\n",
                            "  - child: a\n",
                        ]));
                    }
                }
            }
        }
        if random.chance(40) {
            top.push_str(&format!("{name}:\n"));
            for key in ["a", "c", "enabled", "global"] {
                if random.chance(50) {
                    top.push_str(&format!(
                        "  {key}: {}\n",
                        random.pick(&["1", "true", "false", "null", "{a: 1}", "{b: null}", "x", "[1]", "{}"])
                    ));
                }
            }
        }
        let mut own = yaml::values(random, &keys);
        if random.chance(50) {
            own.push_str(random.pick(&[
                "exports:\n  data:\n    e: 1\n    f: {g: 2}\n",
                "exports: {data: {a: null}}\n",
                "exports: 1\n",
            ]));
        }
        let (version, kind) =
            (random.pick(&["0.1.0", "0.1.0", "0.2.0-rc.1"]), if random.chance(5) { "type: library\n" } else { "" });
        case.add(
            &format!("charts/{name}/Chart.yaml"),
            format!("apiVersion: v2\nname: {name}\nversion: {version}\n{kind}"),
        );
        case.add(&format!("charts/{name}/values.yaml"), own);
        case.add(&format!("charts/{name}/templates/v.yaml"), shown.to_owned());
        if random.chance(25) {
            case.add(
                &format!("charts/{name}/charts/deep/Chart.yaml"),
                "apiVersion: v2\nname: deep\nversion: 0.1.0\n".to_owned(),
            );
            case.add(&format!("charts/{name}/charts/deep/values.yaml"), yaml::values(random, &keys));
            case.add(&format!("charts/{name}/charts/deep/templates/v.yaml"), shown.to_owned());
        }
    }
    if !listed.is_empty() {
        head.push_str(&format!("dependencies:\n{listed}"));
    }
    if random.chance(30) {
        top.push_str(random.pick(&[
            "tags: {front: false}\n",
            "tags: {front: true, back: false}\n",
            "tags: 1\n",
            "flag: true\n",
            "flag: 1\n",
        ]));
    }
    case.add("Chart.yaml", head);
    case.add("values.yaml", top);
    case.add("templates/v.yaml", shown.to_owned());
    for _ in 0..random.below(3) {
        let mut user = yaml::values(random, &keys);
        for name in &names[..count] {
            if random.chance(40) {
                let pool: &[&str] = &[
                    "{enabled: false}",
                    "{enabled: true, a: null}",
                    "{c: {a: 9}}",
                    "{global: {z: 1}}",
                    "{deep: {a: 7, b: null}}",
                    "null",
                    "1",
                ];
                // Of two charts with a mistake Helm names either.
                user.push_str(&format!("{name}: {}\n", random.pick(if *name == "sub" { pool } else { &pool[..5] })));
            }
        }
        case.values.push(user);
    }
    if random.chance(40) {
        arguments(random, &mut case);
    }
    case
}
