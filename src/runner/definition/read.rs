//! The sources that lie in the repository, read from a commit and never from a checkout.

use super::super::Context;
use super::{NotRead, Part};
use crate::dod::written::{BadText, front_matter, repository};
use crate::dod::{ItemSpec, SourceKind, item};
use crate::git::{TreeFile, TreeKind};
use crate::run::CommitId;

/// The most bytes of one file with items, and of one page.
pub(super) const FILE_MAX: usize = 256 * 1024;
/// The most files of `.agent_runner/dod`.
const FILES_MAX: usize = 100;
/// The most pages of one app.
const PAGES_MAX: usize = 200;

/// The folder that is the service's in a repository.
pub(super) const OURS: &str = ".agent_runner";

/// The pattern of an app's pages; nothing if no path can have the app's name in it.
pub(super) fn pages_of(pattern: &str, app: &str) -> Option<String> {
    let name = !app.contains(['/', '\0']) && !matches!(app, "" | "." | "..");
    name.then(|| pattern.replace("{kanban_app}", &item::pattern_for(app)))
}

/// The folder that every path that fits the pattern lies in; nothing if that is the root.
fn folder_of(pattern: &str) -> Option<String> {
    let plain = |part: &&str| !part.contains(['*', '?', '[', ']', '{', '}', '\\']);
    let parts: Vec<&str> = pattern.split('/').collect();
    let folders = &parts[..parts.len().saturating_sub(1)];
    let folder: Vec<&str> = folders.iter().copied().take_while(plain).collect();
    (!folder.is_empty()).then(|| folder.join("/"))
}

/// What the repository and the app's page write at this commit, in the order in which later ones take the place of
/// earlier ones.
pub(super) async fn parts(
    context: &Context,
    commit: &CommitId,
    app: Option<&str>,
) -> Result<Vec<Part>, NotRead> {
    let pages = app.and_then(|app| pages_of(&context.config.app_pages, app));
    let mut asked = vec![OURS.to_owned()];
    if let Some(pattern) = &pages {
        match folder_of(pattern) {
            Some(folder) => asked.push(folder),
            None => asked.clear(),
        }
    }
    let files = context.repository.files_at(commit, &asked).await?;
    let mut bad = Vec::new();
    let mut parts = Vec::new();
    for (file, text) in texts(context, dod_files(&files, &mut bad), &mut bad).await? {
        match repository::items(&file.path, &text) {
            Ok(items) => parts.push(part(SourceKind::Repository, &file.path, items)),
            Err(more) => bad.extend(more),
        }
    }
    let fitting = pages.map_or_else(Vec::new, |pattern| pages_in(&files, &pattern, &mut bad));
    let mut before: Option<String> = None;
    for (file, text) in texts(context, fitting, &mut bad).await? {
        match front_matter::items(&file.path, &text) {
            Ok(items) if items.is_empty() => {}
            Ok(items) => {
                if let Some(first) = &before {
                    bad.push(place(
                        &file.path,
                        &format!("`{first}` has `e2e_checks` as well: an app has them in one page"),
                    ));
                }
                parts.push(part(SourceKind::AppPage, &file.path, items));
                before = Some(file.path.clone());
            }
            Err(more) => bad.extend(more),
        }
    }
    if bad.is_empty() {
        Ok(parts)
    } else {
        let commit = commit.clone();
        Err(NotRead::Bad { commit, bad })
    }
}

fn part(kind: SourceKind, path: &str, items: Vec<ItemSpec>) -> Part {
    Part::of(kind, Some(path.to_owned()), items)
}

fn place(path: &str, detail: &str) -> BadText {
    BadText {
        path: path.to_owned(),
        place: None,
        detail: detail.to_owned(),
    }
}

/// The files of `.agent_runner/dod`, by name.
fn dod_files<'a>(files: &'a [TreeFile], bad: &mut Vec<BadText>) -> Vec<&'a TreeFile> {
    let mut found = Vec::new();
    for file in files {
        let is_folder = [OURS, repository::FOLDER].contains(&file.path.as_str());
        if is_folder {
            bad.push(place(&file.path, "must be a folder"));
        }
        let inside = file.path.strip_prefix(repository::FOLDER);
        let Some(name) = inside.and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        if name.contains('/') || !name.ends_with(".toml") {
            continue;
        }
        if file.kind == TreeKind::File {
            found.push(file);
        } else {
            bad.push(place(
                &file.path,
                "must be a regular file: links are not followed",
            ));
        }
    }
    if found.len() > FILES_MAX {
        bad.push(place(
            repository::FOLDER,
            &format!("has over {FILES_MAX} files"),
        ));
        found.clear();
    }
    found
}

/// The pages of an app. A link is no page.
fn pages_in<'a>(files: &'a [TreeFile], pattern: &str, bad: &mut Vec<BadText>) -> Vec<&'a TreeFile> {
    let fits = |file: &&TreeFile| file.kind == TreeKind::File && item::fits(pattern, &file.path);
    let mut found: Vec<_> = files.iter().filter(fits).collect();
    if found.len() > PAGES_MAX {
        let detail = format!("over {PAGES_MAX} pages fit; narrow the setting `app_pages`");
        bad.push(place(pattern, &detail));
        found.clear();
    }
    found
}

/// The texts of these files.
async fn texts<'a>(
    context: &Context,
    files: Vec<&'a TreeFile>,
    bad: &mut Vec<BadText>,
) -> Result<Vec<(&'a TreeFile, String)>, NotRead> {
    let bytes = context.repository.bytes_of(&files, FILE_MAX).await?;
    let mut texts = Vec::new();
    for (file, bytes) in files.into_iter().zip(bytes) {
        match bytes.map(String::from_utf8) {
            Some(Ok(text)) => texts.push((file, text)),
            Some(Err(_)) => bad.push(place(&file.path, "is not UTF-8")),
            None => {
                let detail = format!("has over {} KiB", FILE_MAX / 1024);
                bad.push(place(&file.path, &detail));
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apps_name_stands_for_itself_and_leads_nowhere_else() {
        let fits = |app: &str, path: &str| {
            pages_of("apps/{kanban_app}/*.md", app)
                .is_some_and(|pattern| item::fits(&pattern, path))
        };
        assert!(fits("shop", "apps/shop/page.md"));
        assert!(!fits("shop", "apps/shop/docs/page.md"));
        assert!(fits("a{b}*", "apps/a{b}*/page.md"));
        for app in [
            "*",
            "?hop",
            "{shop,x}",
            "[a-z]hop",
            "..",
            ".",
            "",
            "shop/docs",
            "../shop",
        ] {
            assert!(!fits(app, "apps/shop/page.md"), "{app}");
            assert!(!fits(app, "apps/shop/docs/page.md"), "{app}");
            assert!(!fits(app, "page.md"), "{app}");
        }
    }

    #[test]
    fn only_the_folder_of_the_pages_is_listed() {
        assert_eq!(folder_of("apps/shop/*.md").as_deref(), Some("apps/shop"));
        assert_eq!(folder_of(r"apps/a\*/*.md").as_deref(), Some("apps"));
        assert_eq!(folder_of("**/x.md"), None);
        assert_eq!(folder_of("page.md"), None);
    }
}
