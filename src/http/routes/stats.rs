//! Honesty figures.

use axum::Json;
use axum::extract::State;

use crate::app::request::StatsFilter;
use crate::app::view::StatsView;
use crate::http::Door;
use crate::http::docs::Answers;
use crate::http::problem::Problem;
use crate::http::read::Query;
use crate::http::read::since::Moment;

/// How often what was called done was done
///
/// By workflow, agent and model.
#[utoipa::path(
    get, path = "/api/stats", tag = "service", operation_id = "stats",
    params(
        ("since" = inline(Option<Moment>), Query,
            description = "Of runs made at or after: RFC 3339, unix seconds, or an age (`24h`, `7d`)"),
        ("app" = Option<String>, Query, max_length = 512, description = "Of this `kanban_app`"),
        ("workflow" = Option<String>, Query, max_length = 512, description = "Of this workflow"),
    ),
    responses((status = 200, body = StatsView, description = "The figures"), Answers<422>),
)]
pub async fn stats(State(door): State<Door>, mut query: Query) -> Result<Json<StatsView>, Problem> {
    let filter = StatsFilter {
        since: query.since(),
        app: query.text("app"),
        workflow: query.text("workflow"),
    };
    query.finish()?;
    Ok(Json(door.app.stats(filter).await?))
}
