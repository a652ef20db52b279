-- What is asked often does not grow with the history. Each index is made once; a database of a million runs takes some seconds.

-- How many runs have each status: counted as they change, not when somebody asks.
CREATE TABLE run_counts (
  status TEXT PRIMARY KEY NOT NULL,
  runs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO run_counts (status, runs) SELECT status, count(*) FROM runs GROUP BY status;
CREATE TRIGGER runs_count_new AFTER INSERT ON runs
BEGIN
  INSERT INTO run_counts (status, runs) VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET runs = runs + 1;
END;
CREATE TRIGGER runs_count_gone AFTER DELETE ON runs
BEGIN
  UPDATE run_counts SET runs = runs - 1 WHERE status = OLD.status;
END;
CREATE TRIGGER runs_count_changed AFTER UPDATE OF status ON runs WHEN OLD.status <> NEW.status
BEGIN
  UPDATE run_counts SET runs = runs - 1 WHERE status = OLD.status;
  INSERT INTO run_counts (status, runs) VALUES (NEW.status, 1) ON CONFLICT (status) DO UPDATE SET runs = runs + 1;
END;

-- Lists of an app by status.
CREATE INDEX runs_by_app_and_status ON runs (kanban_app, status, created_at DESC, id DESC) WHERE kanban_app IS NOT NULL;
-- Both queues, in their order.
DROP INDEX runs_queue;
CREATE INDEX runs_queue ON runs (queued_seq, id) WHERE status = 'queued';
CREATE INDEX runs_merge_queue ON runs (base, queued_seq, id) WHERE phase = 'merge_queued';
-- Who is at work on a card or issue, the first one first.
DROP INDEX runs_live_card;
DROP INDEX runs_live_issue;
CREATE INDEX runs_live_card ON runs (card_id, created_at) WHERE live = 1 AND card_id IS NOT NULL;
CREATE INDEX runs_live_issue ON runs (issue_id, created_at) WHERE live = 1 AND issue_id IS NOT NULL;
-- Which run a merge is of.
CREATE INDEX runs_by_merge ON runs (merge_commit, id) WHERE merge_commit IS NOT NULL;
-- Places that are there.
CREATE INDEX worktrees_there ON worktrees (run_id) WHERE removed_at IS NULL;
-- The newest word of a check.
DROP INDEX dod_evidence_by_check;
CREATE INDEX dod_evidence_by_check ON dod_evidence (check_key, id) WHERE check_key IS NOT NULL;
-- Output of ended runs: when it was let go, and whose turn is next.
ALTER TABLE runs ADD COLUMN output_pruned_at TEXT;
ALTER TABLE runs ADD COLUMN over_at TEXT GENERATED ALWAYS AS (coalesce(merged_at, aborted_at)) VIRTUAL;
CREATE INDEX runs_with_output ON runs (over_at, id) WHERE output_pruned_at IS NULL AND over_at IS NOT NULL;
CREATE INDEX runs_output_pruned ON runs (output_pruned_at, id) WHERE output_pruned_at IS NOT NULL;
-- Keys past their time.
CREATE INDEX idempotency_by_time ON idempotency (created_at);
