//! The scripts that a command runs, as far as its text tells: whoever may change them may change what the check shows.
//!
//! A small reading of `sh`, and no shell: variables, substitutions and what a script itself calls are not followed. What
//! it does not find, an item names in `protects`.

/// Programs that run the file that is named after them.
const INTERPRETERS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "python", "python3", "node", "deno", "bun", "tsx", "ruby",
    "perl", "php", "lua", "Rscript", "pwsh", "source", ".",
];
/// Words that stand before the program that they run.
const BEFORE: &[&str] = &[
    "env", "exec", "time", "nice", "nohup", "command", "timeout", "xvfb-run", "uv", "poetry",
    "pipenv", "run", "if", "then", "else", "while", "until", "do", "!", "{", "(",
];

/// Paths, from the root of the repository, of files that the command would run if they are there.
#[must_use]
pub fn of_command(cmd: &str) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folder = String::new();
    for simple in simple_commands(cmd) {
        let mut words = simple
            .iter()
            .skip_while(|word| is_assignment(word) || is_before(word))
            .map(String::as_str);
        let Some(program) = words.next() else {
            continue;
        };
        let named = if program == "cd" {
            folder = match words.next().and_then(|to| below(&folder, to)) {
                Some(to) => to,
                // Nobody knows where the rest is run.
                None => break,
            };
            continue;
        } else if program.contains('/') {
            Some(program)
        } else if INTERPRETERS.contains(&program) {
            words.find(|word| !word.starts_with('-'))
        } else {
            None
        };
        if let Some(path) = named.and_then(|path| below(&folder, path))
            && !path.is_empty()
            && !paths.contains(&path)
        {
            paths.push(path);
        }
    }
    paths
}

/// `NAME=value` before a program.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// A word, an option or a number that stands before the program.
fn is_before(word: &str) -> bool {
    BEFORE.contains(&word)
        || word.starts_with('-')
        || word
            .trim_end_matches(['s', 'm', 'h'])
            .parse::<f64>()
            .is_ok()
}

/// The path that `path` is when it is written in `folder`; nothing if that is outside of the repository or not known.
fn below(folder: &str, path: &str) -> Option<String> {
    if path.starts_with(['/', '~']) || path.contains('$') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The words of each simple command.
fn simple_commands(cmd: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    let mut letters = cmd.chars();
    let end = |word: &mut String, commands: &mut Vec<Vec<String>>| {
        if let Some(last) = commands.last_mut()
            && !word.is_empty()
        {
            last.push(std::mem::take(word));
        }
    };
    while let Some(c) = letters.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => quote = Some(c),
            ('\\', None) => word.extend(letters.next().filter(|c| *c != '\n')),
            (';' | '&' | '|' | '\n' | '(' | ')' | '`', None) => {
                end(&mut word, &mut commands);
                commands.push(Vec::new());
            }
            (c, None) if c.is_whitespace() || matches!(c, '<' | '>') => {
                end(&mut word, &mut commands);
            }
            (c, None) => word.push(c),
        }
    }
    end(&mut word, &mut commands);
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_found_where_a_command_names_them() {
        for (cmd, paths) in [
            ("./scripts/check.sh --fast", &["scripts/check.sh"][..]),
            ("python3 -u tests/run.py tests/a", &["tests/run.py"]),
            ("cargo test --manifest-path app/Cargo.toml", &[]),
            ("A=1 B=2 sh -e 'tools/my check.sh'", &["tools/my check.sh"]),
            (
                "cd app && ./run && cd .. && bash b.sh",
                &["app/run", "b.sh"],
            ),
            (
                "timeout 60 ./a; env X=1 node b.js | ./c",
                &["a", "b.js", "c"],
            ),
            ("if ./a; then ./b; fi", &["a", "b"]),
            ("x=$(scripts/a.sh)", &["scripts/a.sh"]),
            ("../outside.sh; /usr/bin/true; $HOME/x; sh ~/y", &[]),
            ("cd $DIR && ./a", &[]),
            ("./a & ./a\n./b", &["a", "b"]),
            ("", &[]),
        ] {
            assert_eq!(of_command(cmd), paths, "{cmd}");
        }
    }
}
