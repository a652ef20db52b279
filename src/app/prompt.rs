//! The prompt that an agent gets: the workflow's template, filled in. What clients and issues say goes in as data, once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use minijinja::{Environment, UndefinedBehavior, context};

use super::refused::{FieldProblem, Refused};
use crate::config::Issues;
use crate::dod::ItemSpec;
use crate::process::short;
use crate::shape::request::NewRun;

/// The most bytes of an issue that go into a prompt.
const ISSUE_MAX: u64 = 1024 * 1024;
/// How many steps a template may take: thousands of times what a prompt needs, and still milliseconds.
const FUEL: u64 = 1_000_000;
/// How long the command that prints an issue may take.
const ISSUE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether this text is a template.
///
/// # Errors
/// Where it is not, with what is wrong.
pub fn check_template(template: &str) -> Result<(), String> {
    environment()
        .template_from_str(template)
        .map(|_| ())
        .map_err(|error| format!("{error:#}"))
}

/// The filled-in template.
///
/// # Errors
/// It asks for something that there is not.
pub fn fill(
    template: &str,
    request: &NewRun,
    branch: &str,
    dod: &[ItemSpec],
    sparse: &[String],
    issue_body: Option<&str>,
) -> Result<String, Refused> {
    environment()
        .render_str(
            template,
            context! {
                issue_id => request.issue_id.clone(),
                card_id => request.card_id.clone(),
                kanban_app => request.kanban_app.clone(),
                prompt => request.prompt.clone(),
                issue => context! { body => issue_body },
                branch => branch,
                sparse => sparse.to_vec(),
                dod => minijinja::Value::from(minijinja::value::Serde(dod)),
            },
        )
        .map_err(|error| Refused::Workflow(format!("its template cannot be filled in: {error:#}")))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

/// The text of an issue, from where the configuration says it is; nothing if it says nothing.
///
/// # Errors
/// There is no such issue, or it cannot be read.
pub async fn issue_body(
    issues: &Issues,
    repo_root: &Path,
    issue_id: &str,
) -> Result<Option<String>, Refused> {
    let refuse = |detail: String| Refused::Invalid(vec![FieldProblem::new("/issue_id", detail)]);
    if let Some(command) = &issues.command {
        let argv: Vec<String> = command
            .iter()
            .map(|word| word.replace("{issue_id}", issue_id))
            .collect();
        let printed = short::run(&argv, repo_root, ISSUE_TIMEOUT, ISSUE_MAX)
            .await
            .map_err(|error| refuse(format!("`issues.command` did not give the issue: {error}")))?;
        return Ok(Some(printed));
    }
    let Some(pattern) = &issues.glob else {
        return Ok(None);
    };
    let (root, pattern, issue_id) = (repo_root.to_owned(), pattern.clone(), issue_id.to_owned());
    let file = {
        let issue_id = issue_id.clone();
        tokio::task::spawn_blocking(move || find(&root, &pattern, &issue_id))
            .await
            .map_err(anyhow::Error::new)?
            .map_err(refuse)?
    };
    let Some(file) = file else {
        return Err(refuse(format!(
            "no file of `issues.glob` is issue `{issue_id}`"
        )));
    };
    let text = std::fs::File::open(&file)
        .and_then(|file| {
            use std::io::Read as _;
            let mut text = String::new();
            file.take(ISSUE_MAX).read_to_string(&mut text)?;
            Ok(text)
        })
        .map_err(|error| refuse(format!("{} cannot be read: {error}", file.display())))?;
    Ok(Some(text))
}

/// The first file below `root`, in the order of names, that the pattern fits.
fn find(root: &Path, pattern: &str, issue_id: &str) -> Result<Option<PathBuf>, String> {
    let pattern = pattern.replace("{issue_id}", &escaped(issue_id));
    let glob = globset::GlobBuilder::new(&pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| format!("`issues.glob` is no pattern: {error}"))?
        .compile_matcher();
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && entry.file_name() != ".git" {
                folders.push(path);
            } else if kind.is_file()
                && path
                    .strip_prefix(root)
                    .is_ok_and(|path| glob.is_match(path))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found.into_iter().next())
}

/// The id as it stands, with no character that means anything to a glob.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\' | '/') {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_data_and_not_template() {
        let request = NewRun {
            prompt: Some("{{ branch }}{% raw %}".to_owned()),
            ..NewRun::default()
        };
        let filled = fill("<{{ prompt }}>", &request, "auto/x", &[], &[], None).unwrap();
        assert_eq!(filled, "<{{ branch }}{% raw %}>");
    }

    #[test]
    fn a_template_that_asks_for_what_is_not_there_is_refused() {
        let filled = fill(
            "{{ nonsense }}",
            &NewRun::default(),
            "auto/x",
            &[],
            &[],
            None,
        );
        assert!(matches!(filled, Err(Refused::Workflow(_))));
        assert!(check_template("{{ open").is_err());
    }

    #[test]
    fn a_template_that_never_ends_is_refused() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        let filled = fill(endless, &NewRun::default(), "auto/x", &[], &[], None);
        assert!(matches!(filled, Err(Refused::Workflow(_))));
    }

    #[test]
    fn an_issue_is_found_by_its_id_and_not_by_a_pattern_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("issues")).unwrap();
        std::fs::write(folder.path().join("issues/7-x.md"), "seven").unwrap();
        let find = |id| find(folder.path(), "issues/{issue_id}-*.md", id).unwrap();
        assert!(find("7").is_some());
        assert!(find("*").is_none());
        assert!(find("8").is_none());
    }
}
