//! The tools: what each takes, in words for a model, and what it answers.
//!
//! Each answer is text for the model to read; the same as JSON is in its `_meta`, where programs find it. (Claude Code shows
//! its model `structuredContent` in the place of the text, where there is any.) What a tool cannot do it says in the same
//! way (`isError`), because a model does not see errors of the protocol.

use std::sync::Arc;

use axum::http::request::Parts;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, MetaObject, PaginatedRequestParams, ServerCapabilities,
    ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::app::request::NewEvidence;
use crate::app::{App, Refused};
use crate::dod::Author;
use crate::http::caller::Caller;
use crate::run::RunId;

const DEFINITION_OF_DONE: &str = "definition_of_done";
const ATTACH_EVIDENCE: &str = "attach_evidence";
const CHECK_RESULTS: &str = "check_results";

/// Where in `_meta` an answer is as JSON.
const ANSWER: &str = "agent_runner_api/answer";

/// What a client is told of the whole.
const INSTRUCTIONS: &str = "\
What your run must show before it can merge. Read it with definition_of_done, attach what shows it with attach_evidence \
after you have committed, and read what the service's own checks came to with check_results.";

/// The tools of one run's agent.
#[derive(Clone)]
pub(super) struct Tools {
    app: Arc<App>,
    all: Arc<[Tool]>,
}

/// What `attach_evidence` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    item_key: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    url: Option<String>,
}

/// A tool's answer: for the model, and for programs.
struct Said {
    text: String,
    value: Value,
}

impl Said {
    fn of(text: String, value: &impl Serialize) -> Said {
        Said {
            text,
            value: serde_json::to_value(value).unwrap_or_default(),
        }
    }
}

impl Tools {
    pub(super) fn new(app: Arc<App>) -> Tools {
        Tools {
            app,
            all: all().into(),
        }
    }

    /// Does what the tool is for, to its end, also when the client hangs up in the middle.
    async fn call(&self, run: RunId, tool: &str, arguments: JsonObject) -> Result<Said, String> {
        let app = self.app.clone();
        let words = |refused: Refused| refused.to_string();
        match tool {
            DEFINITION_OF_DONE => {
                let definition = app.own_definition(run).await.map_err(words)?;
                Ok(Said::of(definition.text(), &definition))
            }
            CHECK_RESULTS => {
                let results = app.own_results(run).await.map_err(words)?;
                Ok(Said::of(results.text(), &results))
            }
            ATTACH_EVIDENCE => {
                let attach: Attach = serde_json::from_value(Value::Object(arguments))
                    .map_err(|error| error.to_string())?;
                let attached = tokio::spawn(async move { attached(&app, run, attach).await });
                match attached.await {
                    Ok(said) => said.map_err(words),
                    Err(_) => Err("the service could not do it; try again".to_owned()),
                }
            }
            other => Err(format!("there is no tool `{other}`")),
        }
    }
}

async fn attached(app: &App, run: RunId, attach: Attach) -> Result<Said, Refused> {
    let keys = app.own_definition(run).await?.items;
    let known = keys.iter().any(|item| item.item_key == attach.item_key);
    let evidence = NewEvidence {
        item_id: None,
        item_key: Some(attach.item_key),
        kind: attach.kind,
        payload_path: attach.path,
        payload_url: attach.url,
        payload_text: attach.text,
        author: Some(Author::Agent),
        attached_by: None,
    };
    let view = app.attach(&run.to_string(), evidence, None).await?;
    let key = view.item_key.as_deref().unwrap_or_default();
    let mut text = format!(
        "Attached to `{key}`. It speaks of commit {}: if you change the work after that, commit and attach again.",
        view.commit
    );
    if !known {
        let keys: Vec<_> = keys.iter().map(|item| item.item_key.as_str()).collect();
        text.push_str(&format!(
            " `{key}` was no item of the Definition of Done, so it was added as one that is not required; the items are: {}.",
            keys.join(", ")
        ));
    }
    Ok(Said::of(text, &view))
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let mut info = ServerConfig::new(capabilities).with_instructions(INSTRUCTIONS);
        info.server_info = Implementation::new("agent_runner_api", env!("CARGO_PKG_VERSION"));
        info
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.all.to_vec()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.all.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let parts = context.extensions.get::<Parts>();
        let Some(Caller::Agent(run)) = parts.and_then(|parts| parts.extensions.get::<Caller>())
        else {
            return Err(ErrorData::invalid_request("the run is not known", None));
        };
        let arguments = request.arguments.unwrap_or_default();
        let result = match self.call(*run, &request.name, arguments).await {
            Ok(said) => {
                let result = CallToolResult::success(vec![ContentBlock::text(said.text)]);
                let meta = JsonObject::from_iter([(ANSWER.to_owned(), said.value)]);
                result.with_meta(Some(MetaObject(meta)))
            }
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        };
        Ok(result.into())
    }
}

fn all() -> Vec<Tool> {
    let nothing = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let attach = json!({
        "type": "object",
        "properties": {
            "item_key": {"type": "string", "description": "The item, as definition_of_done names it"},
            "kind": {"type": "string", "enum": ["text", "file", "url"], "description": "May be left out"},
            "text": {"type": "string", "description": "What shows it, in words; for example a command and what it printed"},
            "path": {"type": "string", "description": "A regular file in your worktree, from its root; it is copied"},
            "url": {"type": "string", "description": "An http or https address where it can be seen; it is not fetched"},
        },
        "required": ["item_key"],
        "additionalProperties": false,
    });
    let tool = |name: &'static str, description: &'static str, schema: &Value| {
        Tool::new(
            name,
            description,
            schema.as_object().cloned().unwrap_or_default(),
        )
    };
    vec![
        tool(
            DEFINITION_OF_DONE,
            "What this run must show before it can merge: each item, whether it is required, where it stands, what is \
             missing, and the commands that the service itself will run for it.",
            &nothing,
        ),
        tool(
            ATTACH_EVIDENCE,
            "Attach evidence for one item: exactly one of text, path and url. Commit your work first: evidence speaks of \
             the commit that your branch is at, and no longer counts when the work changes. Somebody else accepts it.",
            &attach,
        ),
        tool(
            CHECK_RESULTS,
            "The newest result of each check that the service ran: passed or why not, the tests it counted, and the end of \
             what it printed.",
            &nothing,
        ),
    ]
}
