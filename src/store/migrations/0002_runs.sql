-- One row a run: the projection of its events, for lists.
CREATE TABLE runs (
  id TEXT PRIMARY KEY NOT NULL,
  workflow TEXT NOT NULL,
  mode TEXT NOT NULL,
  issue_id TEXT,
  card_id TEXT,
  kanban_app TEXT,
  prompt TEXT,
  agent TEXT NOT NULL,
  stub_reason TEXT,
  model TEXT,
  branch TEXT NOT NULL,
  worktree_path TEXT NOT NULL,
  base TEXT NOT NULL,
  base_commit TEXT,
  head TEXT,
  pid INTEGER,
  status TEXT NOT NULL,
  failure_code TEXT,
  failure_detail TEXT,
  exit_code INTEGER,
  session_id TEXT,
  usage_json TEXT,
  cost_usd REAL,
  limits_json TEXT NOT NULL DEFAULT '{}',
  labels_json TEXT NOT NULL DEFAULT '{}',
  created_at TEXT NOT NULL,
  started_at TEXT,
  ended_at TEXT,
  merged_at TEXT,
  merge_commit TEXT,
  aborted_at TEXT,
  -- Where it is in its life, as recovery needs it: a run that is being aborted has the status it had before.
  phase TEXT NOT NULL DEFAULT 'queued',
  -- The event that queued it last; the order of the queue.
  queued_seq INTEGER,
  -- Whether it holds its card and issue.
  live INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX runs_by_status ON runs (status, created_at DESC, id DESC);
CREATE INDEX runs_by_time ON runs (created_at DESC, id DESC);
CREATE INDEX runs_by_app ON runs (kanban_app, created_at DESC, id DESC);
CREATE INDEX runs_queue ON runs (queued_seq) WHERE status = 'queued';
CREATE INDEX runs_by_phase ON runs (phase);
CREATE INDEX runs_live_card ON runs (card_id) WHERE live = 1 AND card_id IS NOT NULL;
CREATE INDEX runs_live_issue ON runs (issue_id) WHERE live = 1 AND issue_id IS NOT NULL;
