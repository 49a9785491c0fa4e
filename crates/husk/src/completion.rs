//! Completion scripts: for each place on a command line the words that may follow.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The words of a program: by the words before (`repo add`, empty at the start), what may follow and what it is.
pub(crate) type Words = BTreeMap<String, Vec<(String, String)>>;

/// The shells that a script can be made for.
pub(crate) const SHELLS: &[&str] = &["bash", "fish", "powershell", "zsh"];

/// Makes the script of a shell.
pub(crate) fn script(shell: &str, program: &str, words: &Words, described: bool) -> Option<String> {
    match shell {
        "bash" => Some(bash(program, words)),
        "fish" => Some(fish(program, words, described)),
        "powershell" => Some(powershell(program, words)),
        "zsh" => Some(zsh(program, words)),
        _ => None,
    }
}

fn list(words: &[(String, String)]) -> String {
    words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ")
}

/// The places but the first, as alternatives of a `case` in which the place and the next word are joined by a blank.
fn places(words: &Words) -> String {
    let quoted = |place: &String| match place.contains(' ') {
        true => format!("\"{place}\""),
        false => format!("\" {place}\""),
    };
    words.keys().filter(|place| !place.is_empty()).map(quoted).collect::<Vec<_>>().join("|")
}

fn cases(words: &Words, name: &str) -> String {
    words.iter().fold(String::new(), |mut text, (place, words)| {
        let _ = writeln!(text, "        \"{place}\") {name}=\"{}\" ;;", list(words));
        text
    })
}

fn bash(program: &str, words: &Words) -> String {
    format!(
        "# bash completion for {program}\n\
         _{program}_complete() {{\n    \
             local current=\"${{COMP_WORDS[COMP_CWORD]}}\" place=\"\" offered=\"\" i\n    \
             for ((i = 1; i < COMP_CWORD; i++)); do\n        \
                 case \"$place ${{COMP_WORDS[i]}}\" in\n            \
                     {}) place=\"${{place:+$place }}${{COMP_WORDS[i]}}\" ;;\n        \
                 esac\n    \
             done\n    \
             case \"$place\" in\n{}    \
             esac\n    \
             COMPREPLY=($(compgen -W \"$offered\" -- \"$current\"))\n    \
             if [ ${{#COMPREPLY[@]}} -eq 0 ]; then COMPREPLY=($(compgen -f -- \"$current\")); fi\n\
         }}\n\
         complete -o filenames -F _{program}_complete {program}\n",
        places(words),
        cases(words, "offered"),
    )
}

fn zsh(program: &str, words: &Words) -> String {
    format!(
        "#compdef {program}\n\
         # zsh completion for {program}\n\
         _{program}() {{\n    \
             local place=\"\" offered=\"\" i\n    \
             for ((i = 2; i < CURRENT; i++)); do\n        \
                 case \"$place ${{words[i]}}\" in\n            \
                     {}) place=\"${{place:+$place }}${{words[i]}}\" ;;\n        \
                 esac\n    \
             done\n    \
             case \"$place\" in\n{}    \
             esac\n    \
             compadd -- ${{=offered}} || _files\n\
         }}\n\
         if [ \"${{funcstack[1]}}\" = \"_{program}\" ]; then _{program}; else compdef _{program} {program}; fi\n",
        places(words),
        cases(words, "offered"),
    )
}

fn fish(program: &str, words: &Words, described: bool) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let places: Vec<String> = words.keys().filter(|place| !place.is_empty()).map(|place| quoted(place)).collect();
    let mut text = format!(
        "# fish completion for {program}\n\
         function __{program}_is_at\n    \
             set -l place ''\n    \
             for word in (commandline -opc)[2..-1]\n        \
                 set -l next (string trim -- \"$place $word\")\n        \
                 if contains -- $next {}\n            \
                     set place $next\n        \
                 end\n    \
             end\n    \
             test \"$place\" = \"$argv[1]\"\n\
         end\n",
        places.join(" ")
    );
    for (place, words) in words {
        for (word, about) in words {
            let what = match word.strip_prefix("--") {
                Some(flag) => format!("-l {flag}"),
                None => format!("-f -a {}", quoted(word)),
            };
            let about = if described && !about.is_empty() { format!(" -d {}", quoted(about)) } else { String::new() };
            let _ = writeln!(text, "complete -c {program} -n \"__{program}_is_at {}\" {what}{about}", quoted(place));
        }
    }
    text
}

fn powershell(program: &str, words: &Words) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let table = words.iter().fold(String::new(), |mut text, (place, words)| {
        let words: Vec<String> = words.iter().map(|(word, _)| quoted(word)).collect();
        let _ = writeln!(text, "        {} = @({})", quoted(place), words.join(", "));
        text
    });
    format!(
        "# powershell completion for {program}\n\
         Register-ArgumentCompleter -Native -CommandName '{program}' -ScriptBlock {{\n    \
             param($word, $ast, $position)\n    \
             $table = @{{\n{table}    }}\n    \
             $place = ''\n    \
             foreach ($element in ($ast.CommandElements | Select-Object -Skip 1)) {{\n        \
                 $next = \"$place $element\".Trim()\n        \
                 if ($table.ContainsKey($next)) {{ $place = $next }}\n    \
             }}\n    \
             $table[$place] | Where-Object {{ $_ -like \"$word*\" }} | ForEach-Object {{\n        \
                 [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)\n    \
             }}\n\
         }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn words() -> Words {
        let word = |word: &str| (word.to_owned(), format!("it's {word}"));
        BTreeMap::from([
            (String::new(), vec![word("repo"), word("install"), word("--debug")]),
            ("install".to_owned(), vec![word("--set"), word("--set-file")]),
            ("repo".to_owned(), vec![word("add"), word("list")]),
            ("repo add".to_owned(), vec![word("--username")]),
        ])
    }

    #[test]
    fn bash_completes() {
        let script = script("bash", "prog", &words(), true).unwrap();
        let ask = |line: &[&str]| {
            let quoted: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
            let text = format!(
                "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _prog_complete; echo \"${{COMPREPLY[*]}}\"",
                quoted.join(" "),
                line.len() - 1
            );
            let output = Command::new("bash").args(["-uc", &text]).output().unwrap();
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        assert_eq!(ask(&["prog", ""]), "repo install --debug");
        assert_eq!(ask(&["prog", "--debug", "repo", "a"]), "add");
        assert_eq!(ask(&["prog", "repo", "add", "x", "--u"]), "--username");
        assert_eq!(ask(&["prog", "install", "--set"]), "--set --set-file");
    }

    #[test]
    fn every_shell_has_every_word() {
        for shell in SHELLS {
            let script = script(shell, "prog", &words(), true).unwrap();
            for word in ["repo", "add", "username", "set-file"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
        assert!(script("tcsh", "prog", &words(), true).is_none());
        let fish = |described| script("fish", "prog", &words(), described).unwrap();
        assert!(fish(true).contains("-d 'it\\'s add'") && !fish(false).contains("it\\'s"));
    }
}
