//! The text of the unit: the template, filled in. Pure.

use std::path::Path;

/// The template, with `@NAMES@` where something is filled in.
const TEMPLATE: &str = include_str!("../../../packaging/agent_runner_api.service");

/// What the template is filled with.
#[derive(Debug)]
pub struct Unit<'a> {
    /// This program, absolute.
    pub program: &'a Path,
    /// Its flags.
    pub flags: Vec<String>,
    /// Where it starts.
    pub working_directory: &'a Path,
    /// The PATH that programs are looked for on.
    pub path: &'a str,
    /// An optional file with variables.
    pub environment_file: &'a Path,
}

impl Unit<'_> {
    /// The text of the unit file.
    pub fn text(&self) -> String {
        let mut command = vec![quoted(&self.program.to_string_lossy(), Dollars::Doubled)];
        command.extend(self.flags.iter().map(|flag| quoted(flag, Dollars::Doubled)));
        let path = quoted(&format!("PATH={}", self.path), Dollars::Kept);
        TEMPLATE
            .replace("@WORKING_DIRECTORY@", &bare(self.working_directory))
            .replace("@ENVIRONMENT_FILE@", &bare(self.environment_file))
            .replace("@PATH@", &path)
            .replace("@EXEC_START@", &command.join(" "))
    }
}

/// Whether `$` would begin a variable: on command lines it does, in other settings it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dollars {
    Doubled,
    Kept,
}

/// One word of a setting that takes several (systemd.syntax(7), systemd.service(5) "Command lines").
fn quoted(word: &str, dollars: Dollars) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    for c in word.chars() {
        match c {
            '%' => out.push_str("%%"),
            '$' if dollars == Dollars::Doubled => out.push_str("$$"),
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+%$".contains(c);
    match !word.is_empty() && out.chars().all(plain) {
        true => out,
        false => format!("\"{out}\""),
    }
}

/// A path in a setting that takes the rest of its line: only `%` means something there.
fn bare(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_systemd_would_take_them_apart() {
        let cases = [
            ("--port=8486", "--port=8486"),
            ("/home/a b/x", "\"/home/a b/x\""),
            ("50%", "50%%"),
            ("$HOME", "$$HOME"),
            ("say \"hi\"\\", "\"say \\\"hi\\\"\\\\\""),
            ("", "\"\""),
            ("a;b", "\"a;b\""),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word, Dollars::Doubled), expected, "{word}");
        }
        assert_eq!(
            quoted("PATH=/a$b:/c d", Dollars::Kept),
            "\"PATH=/a$b:/c d\""
        );
    }

    #[test]
    fn nothing_of_the_template_is_left_to_fill_in() {
        let unit = Unit {
            program: Path::new("/opt/agent_runner_api"),
            flags: vec!["--port=1".into(), "--repo-root=/r p".into()],
            working_directory: Path::new("/r p"),
            path: "/usr/bin:/bin",
            environment_file: Path::new("/home/u/.config/agent_runner_api/environment"),
        };
        let text = unit.text();
        let left = text
            .lines()
            .filter(|line| !line.starts_with('#') && line.contains('@'));
        assert_eq!(left.count(), 0, "{text}");
        assert!(text.contains("\nExecStart=/opt/agent_runner_api --port=1 \"--repo-root=/r p\"\n"));
        assert!(text.contains("\nWorkingDirectory=/r p\n"));
        assert!(text.contains("\nEnvironment=PATH=/usr/bin:/bin\n"));
    }
}
