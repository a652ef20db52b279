-- The Definition of Done of each run.
CREATE TABLE dod_items (
  id TEXT PRIMARY KEY NOT NULL,
  run_id TEXT NOT NULL REFERENCES runs (id),
  item_key TEXT NOT NULL,
  title TEXT NOT NULL,
  required INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('pending', 'done', 'validated', 'failed')),
  accepts_json TEXT NOT NULL,
  validator TEXT NOT NULL,
  position INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  UNIQUE (run_id, item_key)
) STRICT;
